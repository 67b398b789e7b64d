//! Rules.

use std::collections::BTreeMap;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, StatusCode};

use super::{DocumentError, wrong};
use crate::rule::{Action, Canary, FieldRules, Maintenance, Redirect, Rule, RuleTimeouts, Treatment};
use crate::shared::Shared;
use crate::written::{
    FullMaintenance, FullRedirect, Written, WrittenFields, WrittenHsts, WrittenMaintenance, WrittenRedirect,
};
use crate::{HostPattern, PathPattern};

/// Two years, what the preload lists of browsers ask for.
const HSTS_AGE: u64 = 63_072_000;

/// A rule of the second level: it has no policy, and the hosts of the first one unless it has its own.
pub(super) fn inner_rule(
    written: &Written,
    first: &Rule,
    shared: &mut Shared,
) -> Result<Rule, DocumentError> {
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
        weights: BTreeMap::new(),
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
    rule(written, first.own_names, Some(first), shared)
}

pub(super) fn rule(
    written: &Written,
    named: bool,
    above: Option<&Rule>,
    shared: &mut Shared,
) -> Result<Rule, DocumentError> {
    let mut hosts = Vec::with_capacity(written.host.len());
    for text in &written.host {
        hosts.push(HostPattern::parse(text)?);
    }
    let own_names = match above {
        Some(above) if hosts.is_empty() => {
            hosts.extend_from_slice(&above.hosts);
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
    let treatment = Treatment {
        action: action(written, &path)?,
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
    Ok(Rule { hosts: hosts.into(), path, own_names, treatment: shared.treatment(treatment) })
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

pub(super) fn host_header(text: &str) -> Result<HeaderValue, DocumentError> {
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
    let pairs = |pairs: &BTreeMap<String, String>| {
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
pub(super) fn field_name(word: &'static str, text: &str) -> Result<HeaderName, DocumentError> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| wrong(word, format!("{text:?} is no name of a field")))?;
    let framing = [CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    if framing.contains(&name) || matches!(name.as_str(), "keep-alive" | "proxy-connection") {
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
