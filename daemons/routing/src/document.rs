//! What somebody wants of an app's routes: the value of `/convoy/routes/<app>`, or an entry of a routes file.

use std::collections::BTreeSet;
use std::time::Duration;

use convoy_health::{Check, Rules, RulesError, StatusSet, StatusSetError};
use convoy_keys::{AppName, Endpoint, EndpointError, InstanceName};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, StatusCode};
use thiserror::Error;

use crate::policy::{ActiveCheck, Balance, Concurrency, HashSource, Policy, Protocol, Retries, Sticky};
use crate::rule::{Action, Canary, FieldRules, Maintenance, Redirect, Rule, RuleTimeouts};
use crate::written::{
    FullMaintenance, FullRedirect, Written, WrittenCheck, WrittenConcurrency, WrittenFields, WrittenHsts,
    WrittenMaintenance, WrittenProtocol, WrittenRedirect, WrittenSticky, WrittenTarget,
};
use crate::{HostPattern, PathPattern, PatternError};

/// Longest document read: a page for maintenance fits in.
const LONGEST: usize = 256 * 1024;
/// More rules than this in one document are a slip of a script.
const RULES_MAX: usize = 1000;
/// Two years, what the preload lists of browsers ask for.
const HSTS_AGE: u64 = 63_072_000;
/// How long a request waits for its turn, unless somebody says otherwise.
const QUEUE_WAIT: Duration = Duration::from_secs(1);

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
    pub policy: Policy,
    /// Targets beside those that announce themselves; used when there are no others.
    pub targets: Vec<StaticTarget>,
    /// What happens to which requests.
    pub rules: Vec<Rule>,
}

impl Document {
    /// Parses the value of `/convoy/routes/<app>`.
    pub fn parse(value: &[u8]) -> Result<Self, DocumentError> {
        if value.len() > LONGEST {
            return Err(DocumentError::TooLong(value.len()));
        }
        let written = Written::parse(serde_json::from_slice(value)?)?;
        if written.app.is_some() {
            return Err(wrong("app", "the key names the app already; leave it out"));
        }
        Self::of(written, true)
    }

    /// `named` is whether the app has names of its own (`<app>.<domain>`).
    pub(crate) fn of(mut written: Written, named: bool) -> Result<Self, DocumentError> {
        let policy = policy(&written)?;
        let targets = targets(&written.targets)?;
        let below = std::mem::take(&mut written.routes);
        if below.len() > RULES_MAX {
            return Err(wrong("routes", format!("{} are too many, {RULES_MAX} are allowed", below.len())));
        }
        let first = rule(&written, named, None)?;
        let mut rules = Vec::with_capacity(below.len() + 1);
        for written in &below {
            rules.push(inner_rule(written, &first)?);
        }
        rules.insert(0, first);
        Ok(Self { policy, targets, rules })
    }
}

/// A rule of the second level: it has no policy, and the hosts of the first one unless it has its own.
fn inner_rule(written: &Written, first: &Rule) -> Result<Rule, DocumentError> {
    let rule_only = Written {
        targets: Vec::new(),
        balance: None,
        sticky: None,
        check: None,
        slow_start: None,
        hold: None,
        retries: None,
        retry_budget: None,
        concurrency: None,
        protocol: None,
        weights: std::collections::BTreeMap::new(),
        routes: Vec::new(),
        app: None,
        ..written.clone()
    };
    if rule_only != *written {
        return Err(wrong(
            "routes",
            "targets, balance, sticky, check, slow_start, hold, retries, retry_budget, concurrency, protocol, \
             weights, app and further routes belong to the whole app; write them beside routes, not inside",
        ));
    }
    rule(written, first.own_names, Some(first))
}

fn rule(written: &Written, named: bool, above: Option<&Rule>) -> Result<Rule, DocumentError> {
    let mut hosts = Vec::with_capacity(written.host.len());
    for text in &written.host {
        hosts.push(HostPattern::parse(text)?);
    }
    let own_names = match above {
        Some(above) if hosts.is_empty() => {
            hosts.clone_from(&above.hosts);
            above.own_names
        }
        Some(_) => false,
        None => named,
    };
    let path = match &written.path {
        Some(path) => PathPattern::parse(path, written.exact)?,
        None if written.exact => {
            return Err(wrong("exact", "it says that path is meant as it is; write a path"));
        }
        None => PathPattern::all(),
    };
    if above.is_none() && own_names && !path.is_all() {
        return Err(wrong("path", "the app's own names are for all paths; write the path inside routes"));
    }
    let rewrite = match (&written.rewrite, written.strip_path) {
        (Some(_), true) => return Err(wrong("strip_path", "rewrite says already what the path becomes")),
        (None, true) => Some("".into()),
        (Some(text), false) if text == "/" => Some("".into()),
        (Some(text), false) => Some(PathPattern::parse(text, false)?.prefix().into()),
        (None, false) => None,
    };
    let rule = Rule {
        hosts,
        own_names,
        action: action(written, &path)?,
        path,
        rewrite,
        host_header: written.host_header.as_deref().map(host_header).transpose()?,
        https: written.https,
        hsts: written.hsts.as_ref().map(hsts).transpose()?.flatten(),
        canary: canary(written)?,
        request_fields: fields("request_headers", &written.request_headers)?,
        response_fields: fields("response_headers", &written.response_headers)?,
        body_max: written.body_max.map(|size| size.0),
        timeouts: timeouts(written)?,
    };
    Ok(rule)
}

fn action(written: &Written, path: &PathPattern) -> Result<Action, DocumentError> {
    let maintenance = match &written.maintenance {
        None | Some(WrittenMaintenance::Switch(false)) => None,
        Some(WrittenMaintenance::Switch(true)) => Some(FullMaintenance::default()),
        Some(WrittenMaintenance::Full(full)) => Some(full.clone()),
    };
    if let Some(full) = maintenance {
        return Ok(Action::Maintenance(Maintenance {
            status: status("maintenance", full.status.unwrap_or(503), |code| (400..600).contains(&code))?,
            retry_after: full.retry_after.map(HeaderValue::from),
            page: full.page.map(bytes::Bytes::from),
        }));
    }
    let full = match &written.redirect {
        None => return Ok(Action::Forward),
        Some(WrittenRedirect::To(to)) => FullRedirect { to: to.clone(), status: None, keep_path: true },
        Some(WrittenRedirect::Full(full)) => full.clone(),
    };
    let is_location = full.to.starts_with('/') && !full.to.starts_with("//")
        || full.to.starts_with("https://")
        || full.to.starts_with("http://");
    if !is_location || !full.to.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(wrong("redirect", "write a path (/new) or an address (https://b.example)"));
    }
    if full.keep_path && full.to.starts_with('/') && path.rest(&full.to).is_some() {
        return Err(wrong("redirect", "it leads to where it came from, for ever"));
    }
    let code = full.status.unwrap_or(308);
    Ok(Action::Redirect(Redirect {
        status: status("redirect", code, |code| matches!(code, 301 | 302 | 303 | 307 | 308))?,
        to: if full.keep_path { full.to.trim_end_matches('/') } else { &full.to }.into(),
        keep_path: full.keep_path,
    }))
}

fn status(word: &'static str, code: u16, allowed: fn(u16) -> bool) -> Result<StatusCode, DocumentError> {
    StatusCode::from_u16(code)
        .ok()
        .filter(|_| allowed(code))
        .ok_or_else(|| wrong(word, format!("status {code} makes no sense here")))
}

fn host_header(text: &str) -> Result<HeaderValue, DocumentError> {
    crate::Host::parse(text).map_err(|error| wrong("host_header", error.to_string()))?;
    HeaderValue::from_str(text).map_err(|error| wrong("host_header", error.to_string()))
}

fn hsts(written: &WrittenHsts) -> Result<Option<HeaderValue>, DocumentError> {
    let (age, subdomains, preload) = match *written {
        WrittenHsts::Switch(false) => return Ok(None),
        WrittenHsts::Switch(true) => (HSTS_AGE, false, false),
        WrittenHsts::MaxAge(age) => (age, false, false),
        WrittenHsts::Full { max_age, include_subdomains, preload } => (max_age, include_subdomains, preload),
    };
    let text = format!(
        "max-age={age}{}{}",
        if subdomains { "; includeSubDomains" } else { "" },
        if preload { "; preload" } else { "" },
    );
    HeaderValue::from_str(&text).map(Some).map_err(|error| wrong("hsts", error.to_string()))
}

fn canary(written: &Written) -> Result<Option<Canary>, DocumentError> {
    let Some(canary) = &written.canary else { return Ok(None) };
    if canary.percent > 100 {
        return Err(wrong("canary", format!("{} of a hundred is no share", canary.percent)));
    }
    let header = canary.header.as_deref().map(|name| field_name("canary", name)).transpose()?;
    Ok(Some(Canary { app: canary.app.clone(), percent: canary.percent, header }))
}

fn fields(word: &'static str, written: &WrittenFields) -> Result<FieldRules, DocumentError> {
    let pairs = |pairs: &std::collections::BTreeMap<String, String>| {
        pairs
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_str(value).map_err(|_| {
                    wrong(word, format!("the value of {name} has a character that no field may have"))
                })?;
                Ok((field_name(word, name)?, value))
            })
            .collect::<Result<Vec<_>, DocumentError>>()
    };
    Ok(FieldRules {
        remove: written.remove.iter().map(|name| field_name(word, name)).collect::<Result<_, _>>()?,
        set: pairs(&written.set)?,
        add: pairs(&written.add)?,
    })
}

/// Not those that say how long a message is and what becomes of its connection: changing them breaks it.
fn field_name(word: &'static str, text: &str) -> Result<HeaderName, DocumentError> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| wrong(word, format!("{text:?} is no name of a field")))?;
    let framing = [CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    if framing.contains(&name) {
        return Err(wrong(
            word,
            format!("{name} is the router's own business (for Host there is host_header)"),
        ));
    }
    Ok(name)
}

fn timeouts(written: &Written) -> Result<RuleTimeouts, DocumentError> {
    let times = &written.timeouts;
    let time = |span: Option<convoy_config::Span>| match span {
        Some(span) if span.0.is_zero() => {
            Err(wrong("timeouts", "a limit of 0 would end everything at once; leave it out for the default"))
        }
        other => Ok(other.map(|span| span.0)),
    };
    Ok(RuleTimeouts {
        connect: time(times.connect)?,
        response: time(times.response)?,
        stall: time(times.stall)?,
        request_body: time(times.request_body)?,
        tunnel: time(times.tunnel)?,
    })
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

fn policy(written: &Written) -> Result<Policy, DocumentError> {
    let ordinary = Policy::default();
    let retries = Retries::default();
    Ok(Policy {
        balance: written.balance.as_deref().map_or(Ok(Balance::default()), balance)?,
        sticky: sticky(written)?,
        check: written.check.as_ref().map(check).transpose()?,
        slow_start: written.slow_start.map_or(ordinary.slow_start, |span| span.0),
        hold: written.hold.map_or(ordinary.hold, |span| span.0),
        retries: Retries {
            repeats: written.retries.unwrap_or(retries.repeats).min(10),
            budget: written.retry_budget.unwrap_or(retries.budget).min(100),
        },
        concurrency: written.concurrency.as_ref().map(concurrency).transpose()?,
        protocol: match written.protocol {
            None | Some(WrittenProtocol::Auto) => Protocol::Automatic,
            Some(WrittenProtocol::Http1) => Protocol::Http1,
            Some(WrittenProtocol::Http2) => Protocol::Http2,
        },
        weights: written.weights.clone(),
    })
}

fn balance(text: &str) -> Result<Balance, DocumentError> {
    let source = match text {
        "least-request" => return Ok(Balance::LeastRequest),
        "round-robin" => return Ok(Balance::RoundRobin),
        "hash:client" => HashSource::Client,
        "hash:path" => HashSource::Path,
        _ => match text.split_once(':').and_then(|(_, rest)| rest.split_once(':')) {
            Some(("header", name)) if text.starts_with("hash:") => {
                HashSource::Header(field_name("balance", name)?)
            }
            Some(("cookie", name)) if text.starts_with("hash:") => {
                HashSource::Cookie(cookie_name("balance", name)?)
            }
            _ => {
                return Err(wrong(
                    "balance",
                    format!(
                        "{text:?} is unknown; write least-request, round-robin, hash:client, hash:path, \
                         hash:header:NAME or hash:cookie:NAME"
                    ),
                ));
            }
        },
    };
    Ok(Balance::Hash(source))
}

fn cookie_name(word: &'static str, text: &str) -> Result<Box<str>, DocumentError> {
    // A cookie's name is a token, as that of a field.
    HeaderName::from_bytes(text.as_bytes())
        .map(|_| text.into())
        .map_err(|_| wrong(word, format!("{text:?} is no name of a cookie")))
}

fn sticky(written: &Written) -> Result<Option<Sticky>, DocumentError> {
    let full = match &written.sticky {
        None | Some(WrittenSticky::Switch(false)) => return Ok(None),
        Some(WrittenSticky::Switch(true)) => crate::written::FullSticky::default(),
        Some(WrittenSticky::Full(full)) => full.clone(),
    };
    Ok(Some(Sticky {
        cookie: cookie_name("sticky", full.cookie.as_deref().unwrap_or("convoy_target"))?,
        max_age: full.max_age.map(|span| span.0),
        secure: full.secure,
    }))
}

fn check(written: &WrittenCheck) -> Result<ActiveCheck, DocumentError> {
    let refuse = |error: &dyn std::fmt::Display| DocumentError::Check(error.to_string());
    let ordinary = Rules::default();
    let (ask, host, statuses, rules) = match written {
        WrittenCheck::Short(ask) => (ask, None, StatusSet::default(), ordinary),
        WrittenCheck::Full(full) => {
            let statuses = full.status.as_deref().map_or(Ok(StatusSet::default()), StatusSet::parse);
            let rules = Rules::new(
                full.interval.map_or(ordinary.interval(), |span| span.0),
                full.timeout.map_or(ordinary.timeout(), |span| span.0),
                full.rise.unwrap_or(ordinary.rise()),
                full.fall.unwrap_or(ordinary.fall()),
                Duration::ZERO,
            );
            let statuses = statuses.map_err(|error: StatusSetError| refuse(&error))?;
            let host = full.host.as_deref().map(|text| host_header(text).map(|_| text.into())).transpose()?;
            (&full.ask, host, statuses, rules.map_err(|error: RulesError| refuse(&error))?)
        }
    };
    let http = match Check::parse(ask).map_err(|error| refuse(&error))? {
        Check::Tcp => None,
        Check::Http(http) => Some(http),
        Check::None | Check::TcpPort(_) | Check::Engine => {
            return Err(DocumentError::Check(format!(
                "{ask:?} can't be asked from here; write tcp, http or http:/path"
            )));
        }
    };
    Ok(ActiveCheck { http, host, statuses, rules })
}

fn concurrency(written: &WrittenConcurrency) -> Result<Concurrency, DocumentError> {
    let concurrency = match written {
        WrittenConcurrency::Limit(limit) => Concurrency { limit: *limit, queue: *limit, wait: QUEUE_WAIT },
        WrittenConcurrency::Full(full) => Concurrency {
            limit: full.limit,
            queue: full.queue.unwrap_or(full.limit),
            wait: full.wait.map_or(QUEUE_WAIT, |span| span.0),
        },
    };
    if concurrency.limit == 0 || concurrency.limit > 1_000_000 {
        return Err(wrong("concurrency", "the limit is a number from 1 to 1000000"));
    }
    Ok(concurrency)
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

    fn parse(text: &str) -> Result<Document, String> {
        Document::parse(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_document_is_the_ordinary_case() {
        let document = parse("{}").unwrap();
        assert_eq!(
            document,
            Document { policy: Policy::default(), targets: vec![], rules: vec![Rule::plain()] }
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
