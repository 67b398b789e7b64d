//! What somebody wants of an app's routes: the value of `/convoy/routes/<app>`, or an entry of a routes file.

mod policy;
mod rule;

use std::collections::BTreeSet;
use std::sync::Arc;

use convoy_keys::{AppName, Endpoint, EndpointError, InstanceName};
use thiserror::Error;

use crate::PatternError;
use crate::policy::Policy;
use crate::rule::Rule;
use crate::shared::Shared;
use crate::written::{Written, WrittenTarget};

/// Longest document read: a page for maintenance fits in.
const LONGEST: usize = 256 * 1024;
/// More rules than this in one document are a slip of a script.
const RULES_MAX: usize = 1000;

/// Why a document is of no use.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// Larger than any that somebody wrote.
    #[error("it has {0} bytes, {LONGEST} are allowed")]
    TooLong(usize),
    /// No JSON, an unknown word, or a value of another type.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A host or path that can't be one.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A target that can't be one.
    #[error("targets: {0}")]
    Target(#[from] EndpointError),
    /// Something of the active check.
    #[error("check: {0}")]
    Check(String),
    /// A value that is out of range or contradicts another one.
    #[error("{word}: {problem}")]
    Value {
        /// The word that it belongs to.
        word: &'static str,
        /// What is wrong, and what to write.
        problem: String,
    },
}

fn wrong(word: &'static str, problem: impl Into<String>) -> DocumentError {
    DocumentError::Value { word, problem: problem.into() }
}

/// A target that stands in the document itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticTarget {
    /// Its address, as a name.
    pub name: InstanceName,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Its share; 100 is ordinary.
    pub weight: u16,
}

/// A document that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// How requests are shared among targets.
    pub policy: Arc<Policy>,
    /// Targets beside those that announce themselves; used when there are no others.
    pub targets: Box<[StaticTarget]>,
    /// What happens to which requests.
    pub rules: Box<[Rule]>,
}

impl Document {
    /// Parses the value of `/convoy/routes/<app>`.
    pub fn parse(value: &[u8]) -> Result<Self, DocumentError> {
        Self::parse_with(value, &mut Shared::default())
    }

    /// What is equal to what `shared` has seen is kept once.
    pub(crate) fn parse_with(value: &[u8], shared: &mut Shared) -> Result<Self, DocumentError> {
        if value.len() > LONGEST {
            return Err(DocumentError::TooLong(value.len()));
        }
        let written = Written::parse(serde_json::from_slice(value)?)?;
        if written.app.is_some() {
            return Err(wrong("app", "the key names the app already; leave it out"));
        }
        Self::of(written, true, shared)
    }

    /// `named` is whether the app has names of its own (`<app>.<domain>`).
    pub(crate) fn of(mut written: Written, named: bool, shared: &mut Shared) -> Result<Self, DocumentError> {
        let policy = shared.policy(policy::policy(&written)?);
        let targets = targets(&written.targets)?;
        let below = std::mem::take(&mut written.routes);
        if below.len() > RULES_MAX {
            return Err(wrong("routes", format!("{} are too many, {RULES_MAX} are allowed", below.len())));
        }
        let mut rules = Vec::with_capacity(below.len() + 1);
        let first = rule::rule(&written, named, None, shared)?;
        for written in &below {
            rules.push(rule::inner_rule(written, &first, shared)?);
        }
        rules.insert(0, first);
        Ok(Self { policy, targets: targets.into(), rules: rules.into() })
    }
}
fn targets(written: &[WrittenTarget]) -> Result<Vec<StaticTarget>, DocumentError> {
    let mut known = BTreeSet::new();
    let mut targets = Vec::with_capacity(written.len());
    for target in written {
        let (text, weight) = match target {
            WrittenTarget::Address(text) => (text, 100),
            WrittenTarget::Weighted { address, weight } => (address, *weight),
        };
        let text = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        // The one name that means the same everywhere; others would need a resolver.
        let endpoint = match text.strip_prefix("localhost:") {
            Some(port) => Endpoint::parse(&format!("127.0.0.1:{port}")),
            None => Endpoint::parse(text),
        }?;
        let name = InstanceName::parse(&endpoint.to_string())
            .map_err(|error| wrong("targets", error.to_string()))?;
        if !known.insert(name.clone()) {
            return Err(wrong("targets", format!("{endpoint} stands there twice; use a weight instead")));
        }
        targets.push(StaticTarget { name, endpoint, weight });
    }
    Ok(targets)
}

/// A name for an entry of a file that has none: its host and path.
pub(crate) fn name_of(rule: &Rule) -> AppName {
    let host = rule.hosts.first().map_or_else(|| "any".to_owned(), ToString::to_string);
    let mut name: String = host
        .chars()
        .chain(rule.path.prefix().chars())
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .collect();
    name = name.trim_matches(['-', '.']).to_owned();
    if name.is_empty() {
        name.push_str("any");
    }
    name.truncate(50);
    AppName::parse(&name).unwrap_or_else(|_| plain_name())
}

#[allow(clippy::expect_used)] // a constant
fn plain_name() -> AppName {
    AppName::parse("route").expect("letters are a name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Balance, HashSource};
    use crate::rule::Action;

    fn parse(text: &str) -> Result<Document, String> {
        Document::parse(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_document_is_the_ordinary_case() {
        let document = parse("{}").unwrap();
        assert_eq!(
            document,
            Document { policy: Arc::default(), targets: Box::default(), rules: [Rule::plain()].into() }
        );
    }

    #[test]
    fn everything_can_be_said() {
        let document = parse(
            r#"{
            "host": ["shop.example", "*.shop.example"], "https": true, "hsts": {"max_age": 100, "include_subdomains": true},
            "balance": "hash:cookie:session", "sticky": {"cookie": "at", "max_age": "1h"},
            "check": {"ask": "http:/healthz", "interval": "1s", "status": "200-299"},
            "slow_start": "10s", "hold": "500ms", "retries": 1, "retry_budget": 10,
            "concurrency": {"limit": 10, "queue": 5, "wait": "250ms"}, "protocol": "h2c", "weights": {"2": 10},
            "canary": {"app": "shop-next", "percent": 5, "header": "x-canary"},
            "request_headers": {"set": {"x-a": "1"}, "remove": ["cookie"]},
            "response_headers": {"add": {"x-b": "2"}},
            "body_max": "1MiB", "timeouts": {"response": "5s"}, "host_header": "inner.example",
            "targets": ["10.0.0.9:80", {"address": "localhost:81", "weight": 50}],
            "routes": [
              {"path": "/api", "strip_path": true},
              {"path": "/old", "redirect": "/new"},
              {"host": "www.shop.example", "redirect": {"to": "https://shop.example", "status": 301}},
              {"path": "/admin", "maintenance": {"page": "<p>soon", "retry_after": 60}}
            ]}"#,
        )
        .unwrap();
        assert_eq!(document.targets[1].endpoint.to_string(), "127.0.0.1:81");
        assert_eq!(document.policy.balance, Balance::Hash(HashSource::Cookie("session".into())));
        assert_eq!(document.policy.concurrency.unwrap().queue, 5);
        let [first, api, old, www, admin] = &document.rules[..] else { panic!("{:?}", document.rules) };
        assert_eq!(first.hsts.as_ref().unwrap(), "max-age=100; includeSubDomains");
        assert!(first.own_names && api.own_names && !www.own_names);
        assert_eq!(api.hosts, first.hosts, "a rule without a host has those above it");
        assert_eq!(api.rewritten("/api/x").as_deref(), Some("/x"));
        assert!(matches!(&old.action, Action::Redirect(redirect) if redirect.status == 308));
        assert!(matches!(&admin.action, Action::Maintenance(page) if page.status == 503));
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, expected) in [
            ("", "EOF"),
            ("[]", "invalid type"),
            (r#"{"pth": "/"}"#, "unknown field `pth`"),
            (r#"{"app": "a"}"#, "app: the key names the app"),
            (r#"{"host": "http://a"}"#, "\"http://a\" is no host"),
            (r#"{"path": "/x"}"#, "write the path inside routes"),
            (r#"{"routes": [{"path": "x"}]}"#, "is no path"),
            (r#"{"routes": [{"path": "/x", "targets": ["10.0.0.1:1"]}]}"#, "belong to the whole app"),
            (r#"{"targets": ["a.example:80"]}"#, "is no ip:port"),
            (r#"{"targets": ["10.0.0.1:80", "10.0.0.1:80"]}"#, "twice"),
            (r#"{"redirect": "//evil"}"#, "redirect: write a path"),
            (r#"{"redirect": "/x"}"#, "redirect: it leads to where it came from"),
            (r#"{"redirect": {"to": "https://a", "status": 200}}"#, "status 200 makes no sense"),
            (
                r#"{"request_headers": {"set": {"content-length": "1"}}}"#,
                "content-length is the router's own business",
            ),
            (
                r#"{"response_headers": {"add": {"Keep-Alive": "timeout=5"}}}"#,
                "keep-alive is the router's own business",
            ),
            (r#"{"request_headers": {"set": {"a": "b\r\nc: d"}}}"#, "has a character that no field may have"),
            (r#"{"balance": "random"}"#, "balance: \"random\" is unknown"),
            (r#"{"check": "engine"}"#, "can't be asked from here"),
            (r#"{"canary": {"app": "b", "percent": 101}}"#, "101 of a hundred"),
            (r#"{"timeouts": {"response": 0}}"#, "a limit of 0"),
            (r#"{"body_max": "big"}"#, "a size such as"),
            (r#"{"concurrency": 0}"#, "concurrency: the limit"),
            (r#"{"hold": "long"}"#, "is no time"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
