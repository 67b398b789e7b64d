//! Why an order came to nothing.

use instant_acme::{Error, Problem};
use thiserror::Error;

use crate::rules::Blame;

/// What the authority says when it counted too much (RFC 8555, section 6.7).
const RATE_LIMITED: &str = "urn:ietf:params:acme:error:rateLimited";
/// And when it knows no such account.
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
const ITS_OWN_FAULT: &str = "urn:ietf:params:acme:error:serverInternal";

/// Why an order did not end in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Failure {
    /// Another edge orders by now.
    #[error("another edge orders by now")]
    Lost,
    /// Nothing could be written, so nothing was done.
    #[error("the store does not take it: {0}")]
    Unwritten(String),
    /// What the other edges share can't be opened here.
    #[error("{0}")]
    Locked(String),
    /// The authority forgot the account.
    #[error("the authority does not know the account: {0}")]
    NoAccount(String),
    /// The authority or the way to it. The order may be gone on with.
    #[error("{0}")]
    Outage(String),
    /// The order is over.
    #[error("{0}")]
    Refused(String),
    /// The same, because the authority counted too much.
    #[error("{0}")]
    RateLimited(String),
}

impl Failure {
    /// Whose fault it is; none of what leaves no trace in the ledger.
    pub(super) fn blame(&self) -> Option<Blame> {
        match self {
            Self::Lost | Self::Unwritten(_) | Self::Locked(_) => None,
            Self::Outage(_) | Self::NoAccount(_) => Some(Blame::Outage),
            Self::Refused(_) => Some(Blame::Name),
            Self::RateLimited(_) => Some(Blame::RateLimit),
        }
    }

    /// Nothing is left of the order that could be gone on with.
    pub(super) fn ends_order(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::RateLimited(_) | Self::NoAccount(_))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => problem.into(),
            Error::Timeout(_) => Self::Outage("the authority does not come to an end".to_owned()),
            other => Self::Outage(with_causes(&other)),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let text = problem.to_string();
        match problem.r#type.as_deref() {
            Some(RATE_LIMITED) => Self::RateLimited(text),
            Some(NO_ACCOUNT) => Self::NoAccount(text),
            Some(ITS_OWN_FAULT) => Self::Outage(text),
            _ if problem.status.is_some_and(|status| status >= 500) => Self::Outage(text),
            _ => Self::Refused(text),
        }
    }
}

/// The error with its causes: that a connection failed is of no use without why.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, status: u16) -> Failure {
        Failure::from(Problem {
            r#type: Some(format!("urn:ietf:params:acme:error:{kind}")),
            detail: Some("no".to_owned()),
            status: Some(status),
            subproblems: Vec::new(),
        })
    }

    #[test]
    fn what_the_authority_says_decides_whose_fault_it_is() {
        for (failure, blame, ends) in [
            (problem("rateLimited", 429), Some(Blame::RateLimit), true),
            (problem("accountDoesNotExist", 400), Some(Blame::Outage), true),
            (problem("serverInternal", 500), Some(Blame::Outage), false),
            (problem("whatever", 503), Some(Blame::Outage), false),
            (problem("unauthorized", 403), Some(Blame::Name), true),
            (problem("dns", 400), Some(Blame::Name), true),
            (Failure::from(Error::Timeout(None)), Some(Blame::Outage), false),
            (Failure::from(Error::Str("x")), Some(Blame::Outage), false),
            (Failure::Lost, None, false),
        ] {
            assert_eq!((failure.blame(), failure.ends_order()), (blame, ends), "{failure:?}");
        }
    }
}
