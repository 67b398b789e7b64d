//! The policy of an app.

use std::time::Duration;

use convoy_health::{Check, Rules, RulesError, StatusSet, StatusSetError};
use http::HeaderName;

use super::rule::{field_name, host_header};
use super::{DocumentError, wrong};
use crate::policy::{ActiveCheck, Balance, Concurrency, HashSource, Policy, Protocol, Retries, Sticky};
use crate::written::{FullSticky, Written, WrittenCheck, WrittenConcurrency, WrittenProtocol, WrittenSticky};

/// How long a request waits for its turn, unless somebody says otherwise.
const QUEUE_WAIT: Duration = Duration::from_secs(1);

pub(super) fn policy(written: &Written) -> Result<Policy, DocumentError> {
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
        Some(WrittenSticky::Switch(true)) => FullSticky::default(),
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
