//! What happens to the requests of some hosts and paths.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use convoy_keys::AppName;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::shared::Ordinary;
use crate::{HostPattern, PathPattern};

/// Changes to the fields of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldRules {
    /// Taken out first.
    pub remove: Vec<HeaderName>,
    /// Put in, whatever was there.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Put in beside what is there.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

impl FieldRules {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Whether a field of the message does not pass.
    pub fn takes_out(&self, name: &str) -> bool {
        let is_it = |own: &HeaderName| own.as_str().eq_ignore_ascii_case(name);
        self.remove.iter().any(is_it) || self.set.iter().any(|(own, _)| is_it(own))
    }

    /// What is put in behind those that pass.
    pub fn own(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.set.iter().chain(&self.add)
    }
}

/// Limits in time that differ from the router's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleTimeouts {
    /// One connection to a target.
    pub connect: Option<Duration>,
    /// From the request to the head of its answer.
    pub response: Option<Duration>,
    /// An answer that doesn't move.
    pub stall: Option<Duration>,
    /// A request body that doesn't come any further.
    pub request_body: Option<Duration>,
    /// A tunnel without traffic.
    pub tunnel: Option<Duration>,
}

/// An answer that sends the client elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// Where to, without a slash at its end; a path or a whole address.
    pub to: Box<str>,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    /// Whether what follows the rule's path, and the query, are appended.
    pub keep_path: bool,
}

/// A share of the requests for another app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// The app.
    pub app: AppName,
    /// Of a hundred requests.
    pub percent: u8,
    /// Requests with this field set to `always` or `never` decide for themselves.
    pub header: Option<HeaderName>,
}

/// The answer while a service is worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// 503, as a rule.
    pub status: StatusCode,
    /// Seconds.
    pub retry_after: Option<HeaderValue>,
    /// HTML; a plain page without it.
    pub page: Option<bytes::Bytes>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A target answers it.
    Forward,
    /// We send it elsewhere.
    Redirect(Redirect),
    /// We say that the service is worked on.
    Maintenance(Maintenance),
}

/// What becomes of requests, apart from which ones they are. Most rules have the same: the plain one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Treatment {
    /// What happens.
    pub action: Action,
    /// Replaces the rule's path in what the target sees; none to leave it.
    pub rewrite: Option<Box<str>>,
    /// The `Host` field that targets see; none for the client's.
    pub host_header: Option<HeaderValue>,
    /// Plain HTTP is sent to HTTPS.
    pub https: bool,
    /// Strict-Transport-Security, for answers over TLS.
    pub hsts: Option<HeaderValue>,
    /// A share of the requests goes to another app.
    pub canary: Option<Canary>,
    /// What targets see differently.
    pub request_fields: FieldRules,
    /// What clients see differently.
    pub response_fields: FieldRules,
    /// Largest request body, in bytes.
    pub body_max: Option<u64>,
    /// Limits in time.
    pub timeouts: RuleTimeouts,
}

impl Default for Treatment {
    /// Targets answer, and nothing is changed.
    fn default() -> Self {
        Self {
            action: Action::Forward,
            rewrite: None,
            host_header: None,
            https: false,
            hsts: None,
            canary: None,
            request_fields: FieldRules::default(),
            response_fields: FieldRules::default(),
            body_max: None,
            timeouts: RuleTimeouts::default(),
        }
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its hosts, beside the app's own names.
    pub hosts: Box<[HostPattern]>,
    /// Its paths.
    pub path: PathPattern,
    /// Whether it is for the app's own names, too.
    pub own_names: bool,
    /// What happens; the same one for rules that treat their requests alike.
    pub treatment: Arc<Treatment>,
}

impl std::ops::Deref for Rule {
    type Target = Treatment;

    fn deref(&self) -> &Treatment {
        &self.treatment
    }
}

impl Rule {
    /// Everything of the app's own names goes to its targets, unchanged.
    pub fn plain() -> Self {
        Self {
            hosts: Box::default(),
            path: PathPattern::all(),
            own_names: true,
            treatment: Treatment::ordinary(),
        }
    }

    /// The path that the target sees, when it is another one than `path`.
    pub fn rewritten(&self, path: &str) -> Option<String> {
        let replacement = self.rewrite.as_deref()?;
        let rest = self.path.rest(path)?;
        let mut rewritten = String::with_capacity(replacement.len() + rest.len() + 1);
        rewritten.push_str(replacement);
        rewritten.push_str(rest);
        if !rewritten.starts_with('/') {
            rewritten.insert(0, '/');
        }
        Some(rewritten)
    }

    /// Where a redirect leads for this path and query.
    pub fn location(&self, redirect: &Redirect, path: &str, query: Option<&str>) -> String {
        let mut location = redirect.to.to_string();
        if redirect.keep_path {
            location.push_str(self.path.rest(path).unwrap_or(path));
            if let Some(query) = query {
                location.push('?');
                location.push_str(query);
            }
        }
        location
    }
}

impl Ordinary for Treatment {
    fn ordinary() -> Arc<Self> {
        static PLAIN: LazyLock<Arc<Treatment>> = LazyLock::new(Arc::default);
        Arc::clone(&PLAIN)
    }
}

/// A rule with the identity under which the router remembers it.
#[derive(Debug)]
pub struct NumberedRule {
    /// Unique in this process.
    pub id: u64,
    /// The rule.
    pub rule: Rule,
}

impl std::ops::Deref for NumberedRule {
    type Target = Rule;

    fn deref(&self) -> &Rule {
        &self.rule
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_replaced() {
        for (pattern, rewrite, path, expected) in [
            ("/api", "", "/api/x", Some("/x")),
            ("/api", "", "/api", Some("/")),
            ("/api", "/v1", "/api/x", Some("/v1/x")),
            ("/", "/v1", "/x", Some("/v1/x")),
            ("/api", "/v1", "/other", None),
        ] {
            let path_pattern = PathPattern::parse(pattern, false).unwrap();
            let treatment = Treatment { rewrite: Some(rewrite.into()), ..Treatment::default() };
            let rule = Rule { path: path_pattern, treatment: Arc::new(treatment), ..Rule::plain() };
            assert_eq!(rule.rewritten(path).as_deref(), expected, "{pattern} {path}");
        }
        assert_eq!(Rule::plain().rewritten("/x"), None);
    }

    #[test]
    fn a_redirect_keeps_the_path_or_not() {
        let redirect =
            |keep_path| Redirect { to: "https://b.example".into(), status: StatusCode::FOUND, keep_path };
        let rule = Rule { path: PathPattern::parse("/old", false).unwrap(), ..Rule::plain() };
        assert_eq!(rule.location(&redirect(true), "/old/x", Some("y=1")), "https://b.example/x?y=1");
        assert_eq!(rule.location(&redirect(false), "/old/x", Some("y=1")), "https://b.example");
    }
}
