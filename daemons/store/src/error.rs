//! Errors: which operation, on which key, at which endpoint, why, and what to do.

use std::fmt;

/// What kind of trouble it is. Fit for a metric label ([`ErrorKind::as_str`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The settings can't work: a malformed endpoint, a file that can't be read.
    Settings,
    /// No connection, or it broke.
    Unreachable,
    /// No answer within the deadline.
    Deadline,
    /// The member answered that the cluster has no leader, or it changed under the request.
    NoLeader,
    /// The cluster has more requests than it can work off.
    Busy,
    /// User, password or permission.
    Refused,
    /// The request is larger than the server takes (1.5 MiB by default).
    TooLarge,
    /// The transaction has more operations than the server takes (128 by default).
    TooManyOperations,
    /// The server's space is used up; it takes no writes.
    NoSpace,
    /// The revision asked for has been compacted away.
    Compacted,
    /// The lease is gone.
    LeaseLost,
    /// Somebody else announced the key after us.
    Replaced,
    /// An answer that makes no sense.
    Malformed,
    /// Any other refusal by the server.
    Rejected,
    /// The task that would have answered is gone.
    Closed,
}

impl ErrorKind {
    /// A short name in `snake_case`, stable between releases.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Unreachable => "unreachable",
            Self::Deadline => "deadline",
            Self::NoLeader => "no_leader",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::TooManyOperations => "too_many_operations",
            Self::NoSpace => "no_space",
            Self::Compacted => "compacted",
            Self::LeaseLost => "lease_lost",
            Self::Replaced => "replaced",
            Self::Malformed => "malformed",
            Self::Rejected => "rejected",
            Self::Closed => "closed",
        }
    }

    /// What whoever reads the message can do about it.
    fn advice(self) -> &'static str {
        match self {
            Self::Settings => "correct the [etcd] settings",
            Self::Unreachable => "check that etcd runs there and that the network lets this machine through",
            Self::Deadline => "check the load of etcd and the network to it",
            Self::NoLeader => "bring back a majority of etcd's members",
            Self::Busy => "lower the load on etcd",
            Self::Refused => "check etcd's user, password and role for this key",
            Self::TooLarge => "store a smaller value or raise etcd's --max-request-bytes",
            Self::TooManyOperations => "split the transaction or raise etcd's --max-txn-ops",
            Self::NoSpace => "compact and defragment etcd, then disarm its alarm",
            Self::Compacted => "list again",
            Self::LeaseLost => "a new lease is needed",
            Self::Replaced => "stop one of the two owners",
            Self::Malformed => "check that the endpoint is etcd 3.4 or newer",
            Self::Rejected => "see etcd's log",
            Self::Closed => "the owner was dropped",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed operation on the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct StoreError(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    kind: ErrorKind,
    operation: &'static str,
    subject: String,
    endpoint: Option<String>,
    detail: String,
    uncertain: bool,
}

impl StoreError {
    pub(crate) fn new(
        kind: ErrorKind,
        operation: &'static str,
        subject: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self(Box::new(Parts {
            kind,
            operation,
            subject: subject.into(),
            endpoint: None,
            detail: detail.into(),
            uncertain: false,
        }))
    }

    pub(crate) fn at(mut self, endpoint: impl Into<String>) -> Self {
        self.0.endpoint = Some(endpoint.into());
        self
    }

    pub(crate) fn uncertain(mut self, uncertain: bool) -> Self {
        self.0.uncertain = uncertain;
        self
    }

    /// What kind of trouble it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The endpoint that failed last, where one was asked at all.
    pub fn endpoint(&self) -> Option<&str> {
        self.0.endpoint.as_deref()
    }

    /// True for a write that went out and got no answer: it may have been made, or not.
    pub fn is_uncertain(&self) -> bool {
        self.0.uncertain
    }

    pub(crate) fn says(&self, text: &str) -> bool {
        self.0.detail.contains(text)
    }

    fn text(&self) -> String {
        let Parts { kind, operation, subject, endpoint, detail, uncertain } = &*self.0;
        let mut text = format!("{operation} {subject}");
        if let Some(endpoint) = endpoint {
            text.push_str(" at ");
            text.push_str(endpoint);
        }
        text.push_str(": ");
        text.push_str(detail);
        if *uncertain {
            text.push_str("; the write may or may not have been made");
        }
        text.push_str("; ");
        text.push_str(kind.advice());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_operation_key_endpoint_cause_and_what_to_do() {
        let error = StoreError::new(ErrorKind::Deadline, "put", "/a/b", "no answer within 3s")
            .at("http://127.0.0.1:2379")
            .uncertain(true);
        assert_eq!(
            error.to_string(),
            "put /a/b at http://127.0.0.1:2379: no answer within 3s; the write may or may not have been made; \
             check the load of etcd and the network to it"
        );
        assert_eq!(error.kind().as_str(), "deadline");
    }
}
