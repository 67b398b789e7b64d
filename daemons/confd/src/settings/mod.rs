//! confd's settings: its command line over its environment over `confd.toml`.
//!
//! In confd itself the file wins over the command line, against its own documentation. What is documented counts.

mod flags;

pub use flags::{FlagError, usage};

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::fields::{self, FieldError, Fields};
use flags::{FLAGS, Given, truth};

/// Where everything is when nothing is said.
const CONFDIR: &str = "/etc/confd";
const CONFIG_FILE: &str = "/etc/confd/confd.toml";

/// confd's settings can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// The command line.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// The file.
    #[error("{path}, {error}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong in it.
        error: FieldError,
    },
    /// One value.
    #[error("{name}: {what}")]
    Value {
        /// Where it was set.
        name: String,
        /// What is wrong, and what to do.
        what: String,
    },
}

/// The members of etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nodes {
    /// Whatever the machine is configured for.
    Configured,
    /// These URLs.
    Urls(Vec<String>),
    /// Those that a service record names, in this scheme.
    Record {
        /// Its name.
        name: String,
        /// `http` or `https`.
        scheme: String,
    },
}

/// User name and password, certificates.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// For etcd's authentication.
    pub user: Option<(String, String)>,
    /// The authority of etcd's certificates.
    pub ca: Option<PathBuf>,
    /// Our own certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl std::fmt::Debug for Access {
    /// Leaves the password out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("user", &self.user.as_ref().map(|(name, _)| name))
            .field("ca", &self.ca)
            .field("identity", &self.identity)
            .finish()
    }
}

/// How much is done about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extent {
    /// Everything.
    #[default]
    Whole,
    /// The files are made, but nobody is asked or told.
    FilesOnly,
    /// Nothing, but it is said what would be done.
    Nothing,
}

/// Everything that confd is told from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The members of etcd.
    pub nodes: Nodes,
    /// How to get in.
    pub access: Access,
    /// Taken in place of each resource's prefix.
    pub prefix: Option<String>,
    /// The folder with `conf.d` and `templates`.
    pub confdir: PathBuf,
    /// Make all files once, and end.
    pub onetime: bool,
    /// How much is done.
    pub extent: Extent,
    /// Keep staged files that were not put in place.
    pub keep_stage_file: bool,
    /// How often files on disk are looked at, if somebody said so.
    pub interval: Option<Duration>,
    /// How much is logged, if somebody said so.
    pub log_level: Option<String>,
    /// What was given and has no effect, for people.
    pub warnings: Vec<String>,
}

/// Where values come from, the first that has one wins.
struct Sources<'a> {
    flags: Given,
    variable: &'a dyn Fn(&str) -> Option<String>,
    file: Option<Fields<'a>>,
    path: PathBuf,
}

impl Settings {
    /// Whether the command line asks for the version only.
    pub fn asks_for_version(arguments: &[String]) -> bool {
        flags::parse(arguments).is_ok_and(|given| given.contains_key("version"))
    }

    /// Resolves the settings. `variable` is the environment; `read` gives the text of a file, or none where there is no
    /// such file.
    pub fn resolve(
        arguments: &[String],
        variable: &dyn Fn(&str) -> Option<String>,
        read: &dyn Fn(&std::path::Path) -> Result<Option<String>, String>,
    ) -> Result<Self, SettingsError> {
        let flags = flags::parse(arguments)?;
        let named = flags.get("config-file").and_then(|values| values.last().cloned());
        let named = named.or_else(|| variable("CONFD_CONFIG_FILE").filter(|path| !path.is_empty()));
        let path = PathBuf::from(named.unwrap_or_else(|| CONFIG_FILE.to_owned()));
        let wrong = |what| SettingsError::Value { name: path.display().to_string(), what };
        let document = read(&path).map_err(wrong)?.unwrap_or_default();
        let in_file = |error| SettingsError::File { path: path.clone(), error };
        let table = fields::parse(&document).map_err(in_file)?;
        let file = Some(Fields::of_file(table.get_ref(), &document));
        Sources { flags, variable, file, path: path.clone() }.settle()
    }
}

impl Sources<'_> {
    fn settle(&self) -> Result<Settings, SettingsError> {
        let mut warnings = Vec::new();
        match self.text("backend")?.as_deref() {
            None | Some("etcd" | "etcdv3") => {}
            Some(other) => {
                return Err(value("backend", format!("{other:?} is not supported; keys come from etcd")));
            }
        }
        if self.switch("client-insecure")? {
            return Err(value(
                "client-insecure",
                "certificates are always checked; name the authority with client-ca-keys",
            ));
        }
        for flag in FLAGS.iter().filter(|flag| !flag.has_effect) {
            if self.texts(flag.name)?.is_some() {
                warnings.push(format!("{} {}", flag.name, flag.what));
            }
        }
        let interval = self.number("interval")?.filter(|seconds| *seconds > 0);
        let settings = Settings {
            nodes: self.nodes()?,
            access: self.access()?,
            prefix: self.text("prefix")?.filter(|prefix| !prefix.is_empty()),
            confdir: self.text("confdir")?.map_or_else(|| PathBuf::from(CONFDIR), PathBuf::from),
            onetime: self.switch("onetime")?,
            extent: match (self.switch("noop")?, self.switch("sync-only")?) {
                (true, _) => Extent::Nothing,
                (false, true) => Extent::FilesOnly,
                (false, false) => Extent::Whole,
            },
            keep_stage_file: self.switch("keep-stage-file")?,
            interval: interval.map(|seconds| Duration::from_secs(u64::from(seconds))),
            log_level: self.log_level()?,
            warnings,
        };
        // Known, and without effect.
        self.switch("watch")?;
        Ok(self.with_unknown_fields(settings))
    }

    fn with_unknown_fields(&self, mut settings: Settings) -> Settings {
        let Some(file) = &self.file else { return settings };
        // People name a resource here, which is none of our business; confd doesn't mind either.
        let is_resource = |name: &str| name.eq_ignore_ascii_case("template");
        for (line, name) in file.unknown().into_iter().filter(|(_, name)| !is_resource(name)) {
            let meant = file.nearest(&name).map(|meant| format!("; is {meant} meant?")).unwrap_or_default();
            settings.warnings.push(format!(
                "{}, line {line}: {name} is not known and has no effect{meant}",
                self.path.display()
            ));
        }
        settings
    }

    fn nodes(&self) -> Result<Nodes, SettingsError> {
        let scheme = self.text("scheme")?.unwrap_or_else(|| "http".to_owned());
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err(value("scheme", format!("{scheme:?} is neither http nor https")));
        }
        let domain = self.text("srv-domain")?.filter(|domain| !domain.is_empty());
        let record = self.text("srv-record")?.filter(|record| !record.is_empty());
        let backend = self.text("backend")?.unwrap_or_else(|| "etcd".to_owned());
        let record = record.or_else(|| domain.map(|domain| format!("_{backend}._tcp.{domain}.")));
        if let Some(name) = record {
            return Ok(Nodes::Record { name, scheme });
        }
        let nodes = match self.texts("node")? {
            Some(nodes) => nodes,
            None => match (self.variable)("ETCDCTL_PEERS").filter(|peers| !peers.trim().is_empty()) {
                Some(peers) => vec![peers],
                None => return Ok(Nodes::Configured),
            },
        };
        let mut urls = Vec::new();
        for node in nodes.iter().flat_map(|list| list.split(',')).map(str::trim) {
            urls.push(url(node, &scheme).ok_or_else(|| {
                value("node", format!("{node:?} is no member of etcd; write it as 10.0.0.1:2379 or as a URL"))
            })?);
        }
        Ok(Nodes::Urls(urls))
    }

    fn access(&self) -> Result<Access, SettingsError> {
        let path = |name| {
            Ok::<_, SettingsError>(self.text(name)?.filter(|path| !path.is_empty()).map(PathBuf::from))
        };
        let identity = match (path("client-cert")?, path("client-key")?) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => {
                return Err(value(
                    "client-cert, client-key",
                    "one is set without the other; set both or none",
                ));
            }
        };
        let name = self.text("username")?.filter(|name| !name.is_empty());
        let password = self.text("password")?.unwrap_or_default();
        let user = match (self.switch("basic-auth")?, name) {
            (true, None) => return Err(value("basic-auth", "username and password belong to it")),
            (_, name) => name.map(|name| (name, password)),
        };
        Ok(Access { user, ca: path("client-ca-keys")?, identity })
    }

    fn log_level(&self) -> Result<Option<String>, SettingsError> {
        let Some(level) = self.text("log-level")? else { return Ok(None) };
        match level.as_str() {
            "panic" | "fatal" | "error" => Ok(Some("error".to_owned())),
            "warn" | "warning" => Ok(Some("warn".to_owned())),
            "info" | "debug" | "trace" => Ok(Some(level)),
            _ => Err(value("log-level", format!("{level:?} is no level; write debug, info, warn or error"))),
        }
    }

    /// All values of the source that has some.
    fn texts(&self, name: &str) -> Result<Option<Vec<String>>, SettingsError> {
        if let Some(values) = self.flags.get(name) {
            // Asked for, so that the file's counts as known.
            let _ = self.in_file(name);
            return Ok(Some(values.clone()));
        }
        if let Some(text) =
            variables(name).iter().find_map(|name| (self.variable)(name)).filter(|t| !t.is_empty())
        {
            let _ = self.in_file(name);
            return Ok(Some(vec![text]));
        }
        let Some(field) = self.in_file(name) else { return Ok(None) };
        let fail = |error| SettingsError::File { path: self.path.clone(), error };
        if field.is_list() {
            let texts = field.texts().map_err(fail)?;
            return Ok(Some(texts.into_iter().map(|text| text.text).collect()));
        }
        field.scalar().map(|text| Some(vec![text])).map_err(fail)
    }

    /// The file writes underscores, a plural, or leaves them out.
    fn in_file(&self, name: &str) -> Option<fields::Field<'_>> {
        let file = self.file.as_ref()?;
        let spellings: &[&str] = match name {
            "node" => &["nodes", "node"],
            "client-ca-keys" => &["client_cakeys", "client_ca_keys", "client-ca-keys"],
            "keep-stage-file" => &["keepstagefile", "keep_stage_file", "keep-stage-file"],
            _ => &[],
        };
        let underscores = name.replace('-', "_");
        let spellings = spellings.iter().copied().chain([name, underscores.as_str()]);
        // All are asked for, so that all count as known.
        spellings.fold(None, |found, spelling| found.or(file.get(spelling)))
    }

    fn text(&self, name: &str) -> Result<Option<String>, SettingsError> {
        Ok(self.texts(name)?.and_then(|mut values| values.pop()))
    }

    fn switch(&self, name: &str) -> Result<bool, SettingsError> {
        match self.text(name)? {
            None => Ok(false),
            Some(text) => {
                truth(&text).ok_or_else(|| value(name, format!("{text:?} is neither true nor false")))
            }
        }
    }

    fn number(&self, name: &str) -> Result<Option<u32>, SettingsError> {
        match self.text(name)? {
            None => Ok(None),
            Some(text) => {
                let number = text.parse().map_err(|_| value(name, format!("{text:?} is no whole number")));
                number.map(Some)
            }
        }
    }
}

/// What a setting is called in the environment.
fn variables(name: &str) -> Vec<String> {
    let name = name.replace('-', "_").to_uppercase();
    let own = format!("CONFD_{name}");
    match name.as_str() {
        "CLIENT_CA_KEYS" => vec![own, "CONFD_CLIENT_CAKEYS".to_owned()],
        "NODE" => vec!["CONFD_NODES".to_owned(), own],
        _ => vec![own],
    }
}

fn value(name: &str, what: impl Into<String>) -> SettingsError {
    SettingsError::Value { name: name.to_owned(), what: what.into() }
}

/// `host:port` as a URL.
fn url(node: &str, scheme: &str) -> Option<String> {
    let rest = node.strip_prefix("http://").or_else(|| node.strip_prefix("https://"));
    let plain = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ',' | '"' | '@'))
    };
    match rest {
        Some(rest) => plain(rest).then(|| node.trim_end_matches('/').to_owned()),
        None if node.contains("://") => None,
        None => (plain(node) && !node.contains('/')).then(|| format!("{scheme}://{node}")),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
