//! Routes of other proxies' key layouts, read and never written: vulcand's and Traefik's.
//!
//! What can't be followed is not followed in part: a rule that also wants a method or a field would be for more requests
//! than it says. Such rules are left out, and told.

mod expression;
mod traefik;
mod vulcand;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use convoy_keys::AppName;
use thiserror::Error;

use crate::Document;
use crate::document::DocumentError;
use crate::shared::Shared;
use crate::written::{Written, WrittenTarget};
use expression::Place;

/// Whose layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layout {
    /// `<root>/backends/…`, `<root>/frontends/…`
    Vulcand,
    /// `<root>/http/routers/…`, `<root>/http/services/…`
    Traefik,
}

/// A layout below a prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// Whose.
    pub layout: Layout,
    /// All keys begin with it; it ends with a slash.
    pub prefix: String,
}

/// Why a text names nothing to import.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is nothing to import; write vulcand, vulcand:/some/prefix, traefik or traefik:some/prefix")]
pub struct ImportError(String);

impl FromStr for Import {
    type Err = ImportError;

    fn from_str(text: &str) -> Result<Self, ImportError> {
        let (name, prefix) = text.split_once(':').map_or((text, None), |(name, prefix)| (name, Some(prefix)));
        let (layout, usual) = match name {
            "vulcand" => (Layout::Vulcand, "/vulcand"),
            "traefik" => (Layout::Traefik, "traefik"),
            _ => return Err(ImportError(text.to_owned())),
        };
        let prefix = prefix.unwrap_or(usual).trim_end_matches('/');
        if prefix.is_empty() {
            return Err(ImportError(text.to_owned()));
        }
        Ok(Self { layout, prefix: format!("{prefix}/") })
    }
}

impl fmt::Display for Import {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.layout {
            Layout::Vulcand => "vulcand",
            Layout::Traefik => "traefik",
        };
        write!(formatter, "{name}:{}", self.prefix)
    }
}

/// What was made of some keys.
#[derive(Debug, Default, PartialEq)]
pub struct Imported {
    /// Documents, by the names of the frontends or routers.
    pub documents: BTreeMap<AppName, Document>,
    /// Keys that are not followed, and why.
    pub ignored: BTreeMap<String, String>,
}

impl Import {
    /// Reads keys and values below the prefix.
    pub fn read<'a>(&self, entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Imported {
        let entries: BTreeMap<&str, &str> = entries
            .into_iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(&*self.prefix)?, value)))
            .collect();
        match self.layout {
            Layout::Vulcand => vulcand::read(self, &entries),
            Layout::Traefik => traefik::read(self, &entries),
        }
    }

    fn key(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }
}

impl Imported {
    fn ignore(&mut self, key: String, why: impl fmt::Display) {
        self.ignored.insert(key, why.to_string());
    }

    /// A rule for each of the places, all of them for the same targets.
    fn add(&mut self, key: String, name: &str, places: &[Place], first: Written) {
        let routes = places.iter().map(|place| Written {
            host: vec![place.host.clone()],
            path: place.path.clone(),
            exact: place.exact,
            body_max: first.body_max,
            ..Written::default()
        });
        let mut routes: Vec<_> = routes.collect();
        if routes.is_empty() {
            return self.ignore(key, "the rule is for nothing");
        }
        // The first one carries what is for all of them.
        let head = routes.remove(0);
        let written = Written { host: head.host, path: head.path, exact: head.exact, routes, ..first };
        let document = Document::of(written, false, &mut Shared::default());
        match (app(name), document) {
            (Some(app), Ok(document)) => {
                self.documents.insert(app, document);
            }
            (None, _) => self.ignore(key, format!("{name:?} can't be the name of an app")),
            (_, Err(error)) => self.ignore(key, error as DocumentError),
        }
    }
}

/// Names of routers may have characters that those of apps have not.
fn app(name: &str) -> Option<AppName> {
    let fitting: String = name
        .chars()
        .take(63)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .collect();
    AppName::parse(fitting.trim_start_matches(['.', '_', '-'])).ok()
}

/// `http://10.0.0.1:80`
fn target(url: &str, weight: u16) -> Result<WrittenTarget, String> {
    let rest =
        url.strip_prefix("http://").ok_or_else(|| format!("{url:?} is not of the form http://ip:port"))?;
    let address = rest.split('/').next().unwrap_or_default();
    let address = if address.contains(':') { address.to_owned() } else { format!("{address}:80") };
    convoy_keys::Endpoint::parse(&address).map_err(|error| error.to_string())?;
    Ok(WrittenTarget::Weighted { address, weight })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Routes, Table};

    fn found(imported: &Imported, host: &str, path: &str) -> String {
        let mut routes = Routes::new();
        routes.replace_documents(imported.documents.clone(), 0);
        let table = Table::empty([].into()).next(&routes, 1);
        let Some(found) = table.find(host, path).unwrap() else { return String::new() };
        let targets: Vec<_> = found.service.slots().iter().map(|slot| slot.target.address_text()).collect();
        format!("{} {}", found.service.app(), targets.join(","))
    }

    #[test]
    fn vulcand_s_keys_are_followed() {
        let import: Import = "vulcand".parse().unwrap();
        let imported = import.read([
            ("/vulcand/backends/b1/backend", r#"{"Type":"http"}"#),
            ("/vulcand/backends/b1/servers/s1", r#"{"URL":"http://10.0.0.1:5000"}"#),
            ("/vulcand/backends/b1/servers/s2", r#"{"URL":"http://10.0.0.2:5000/"}"#),
            ("/vulcand/backends/b1/servers/s3", r#"{"URL":"http://name:5000"}"#),
            (
                "/vulcand/frontends/f1/frontend",
                r#"{"Type":"http","BackendId":"b1","Route":"Host(\"a.example\") && (PathRegexp(\"/api.*\") || Path(\"/x\"))","Settings":{"Limits":{"MaxBodyBytes":1000}}}"#,
            ),
            ("/vulcand/frontends/f2/frontend", r#"{"BackendId":"b1","Route":"Host(\"b.example\") && Method(\"GET\")"}"#),
            ("/vulcand/frontends/f3/frontend", r#"{"BackendId":"none","Route":"Host(\"<sub>.example\")"}"#),
            ("/vulcand/frontends/f4/frontend", r#"{"BackendId":"b1","Route":"Host(\"<sub>.c.example\")"}"#),
            ("/vulcand/frontends/f1/middlewares/m1", "{}"),
            ("/other/frontends/f5/frontend", "nonsense"),
        ]);
        assert_eq!(found(&imported, "a.example", "/api/x"), "f1 10.0.0.1:5000,10.0.0.2:5000");
        assert_eq!(found(&imported, "a.example", "/x"), "f1 10.0.0.1:5000,10.0.0.2:5000");
        assert_eq!(found(&imported, "a.example", "/y"), "");
        assert_eq!(found(&imported, "x.c.example", "/"), "f4 10.0.0.1:5000,10.0.0.2:5000");
        assert_eq!(found(&imported, "b.example", "/"), "", "a rule is followed whole or not at all");
        let ignored: Vec<_> = imported.ignored.keys().map(String::as_str).collect();
        assert_eq!(
            ignored,
            [
                "/vulcand/backends/b1/servers/s3",
                "/vulcand/frontends/f1/middlewares/m1",
                "/vulcand/frontends/f2/frontend",
                "/vulcand/frontends/f3/frontend"
            ]
        );
        assert!(imported.ignored["/vulcand/frontends/f2/frontend"].contains("Method"));
    }

    #[test]
    fn traefik_s_keys_are_followed() {
        let import: Import = "traefik".parse().unwrap();
        let imported = import.read([
            ("traefik/http/routers/r1/rule", "Host(`a.example`, `www.a.example`) && PathPrefix(`/api`)"),
            ("traefik/http/routers/r1/service", "s1"),
            ("traefik/http/routers/r1/entrypoints/0", "web"),
            ("traefik/HTTP/services/s1/LoadBalancer/servers/0/url", "http://10.0.0.1:80"),
            ("traefik/http/services/s1/loadbalancer/servers/0/weight", "3"),
            ("traefik/http/services/s1/loadbalancer/servers/1/url", "http://10.0.0.2:80"),
            ("traefik/http/services/s1/loadbalancer/healthcheck/path", "/health"),
            ("traefik/http/services/s1/loadbalancer/healthcheck/interval", "10s"),
            ("traefik/http/routers/r2/rule", "HostRegexp(`^[^.]+\\.b\\.example$`) || Host(`b.example`)"),
            ("traefik/http/routers/r2/service", "s1"),
            ("traefik/http/routers/r3/rule", "Host(`c.example`) && !PathPrefix(`/x`)"),
            ("traefik/http/routers/r3/service", "s1"),
            ("traefik/http/middlewares/m1/stripprefix/prefixes/0", "/x"),
        ]);
        assert_eq!(found(&imported, "www.a.example", "/api/x"), "r1 10.0.0.1:80,10.0.0.2:80");
        assert_eq!(found(&imported, "x.b.example", "/"), "r2 10.0.0.1:80,10.0.0.2:80");
        assert_eq!(found(&imported, "b.example", "/"), "r2 10.0.0.1:80,10.0.0.2:80");
        assert_eq!(found(&imported, "c.example", "/"), "");
        let r1 = &imported.documents[&AppName::parse("r1").unwrap()];
        assert_eq!((r1.targets[0].weight, r1.targets[1].weight), (300, 100));
        assert_eq!(r1.policy.check.as_ref().unwrap().http.as_ref().unwrap().path, "/health");
        let ignored: Vec<_> = imported.ignored.keys().map(String::as_str).collect();
        assert_eq!(
            ignored,
            [
                "traefik/http/middlewares/m1/stripprefix/prefixes/0",
                "traefik/http/routers/r1/entrypoints/0",
                "traefik/http/routers/r3/rule"
            ]
        );
    }

    #[test]
    fn what_to_import_is_named() {
        for (text, shown) in [
            ("vulcand", "vulcand:/vulcand/"),
            ("traefik", "traefik:traefik/"),
            ("vulcand:/edge/", "vulcand:/edge/"),
        ] {
            assert_eq!(text.parse::<Import>().unwrap().to_string(), shown);
        }
        for text in ["", "nginx", "vulcand:", "traefik:/"] {
            assert!(text.parse::<Import>().is_err(), "{text}");
        }
    }
}
