//! What an error of the client library means for us.

use std::error::Error as _;

use etcd_client::Error;
use tonic::{Code, Status};

use crate::ErrorKind;

/// A failed attempt, judged.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) detail: String,
    /// The endpoint is to blame: leave it for the next.
    pub(crate) leave: bool,
    /// The request certainly never reached a server.
    pub(crate) unsent: bool,
}

impl Failure {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        let leave = matches!(
            kind,
            ErrorKind::Unreachable
                | ErrorKind::Deadline
                | ErrorKind::NoLeader
                | ErrorKind::Busy
                | ErrorKind::Malformed
        );
        Self { kind, detail: detail.into(), leave, unsent: false }
    }

    pub(crate) fn unsent(mut self) -> Self {
        self.unsent = true;
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::GRpcStatus(status) => judge(&status),
            Error::TransportError(error) => Self::new(ErrorKind::Unreachable, chain(&error)),
            Error::IoError(error) => Self::new(ErrorKind::Unreachable, error.to_string()),
            Error::LeaseKeepAliveError(_) => Self::new(ErrorKind::LeaseLost, "the lease is gone"),
            Error::WatchError(text) => Self::new(ErrorKind::Unreachable, text),
            Error::Utf8Error(error) => Self::new(ErrorKind::Malformed, error.to_string()),
            other => Self::new(ErrorKind::Rejected, other.to_string()),
        }
    }
}

fn judge(status: &Status) -> Failure {
    let message = status.message();
    let says = |text: &str| message.contains(text);
    let kind = match status.code() {
        Code::Unavailable if says("no leader") || says("leader changed") || says("not leader") => {
            ErrorKind::NoLeader
        }
        // What a member says that waited in vain for the quorum.
        Code::Unavailable if says("etcdserver: request timed out") => ErrorKind::NoLeader,
        Code::Unavailable
        | Code::Unknown
        | Code::Internal
        | Code::Cancelled
        | Code::Aborted
        | Code::DataLoss => ErrorKind::Unreachable,
        Code::Unimplemented => ErrorKind::Malformed,
        Code::DeadlineExceeded => ErrorKind::Deadline,
        Code::Unauthenticated | Code::PermissionDenied => ErrorKind::Refused,
        Code::InvalidArgument if says("user name is empty") || says("authentication failed") => {
            ErrorKind::Refused
        }
        Code::InvalidArgument if says("too large") => ErrorKind::TooLarge,
        Code::InvalidArgument if says("too many operations") => ErrorKind::TooManyOperations,
        Code::ResourceExhausted if says("larger than max") => ErrorKind::TooLarge,
        Code::ResourceExhausted if says("space exceeded") => ErrorKind::NoSpace,
        Code::ResourceExhausted => ErrorKind::Busy,
        Code::OutOfRange if says("compacted") => ErrorKind::Compacted,
        Code::OutOfRange if says("too large") => ErrorKind::TooLarge,
        Code::NotFound if says("lease not found") => ErrorKind::LeaseLost,
        _ => ErrorKind::Rejected,
    };
    let failure = Failure::new(kind, describe(status));
    if never_sent(status) { failure.unsent() } else { failure }
}

/// A connection that was never made carried no request.
fn never_sent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn describe(status: &Status) -> String {
    let mut text = status.message().to_owned();
    if let Some(source) = status.source() {
        append(&mut text, &chain(source));
    }
    if text.is_empty() {
        status.code().description().clone_into(&mut text);
    }
    text
}

/// The causes of an error, outermost first, each said once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        append(&mut text, &error.to_string());
        cause = error.source();
    }
    text
}

fn append(text: &mut String, more: &str) {
    if more.is_empty() || text.contains(more) {
        return;
    }
    if !text.is_empty() {
        text.push_str(": ");
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcds_answers_get_the_kind_that_tells_what_to_do() {
        for (code, message, kind, leave) in [
            (Code::Unavailable, "etcdserver: no leader", ErrorKind::NoLeader, true),
            (Code::Unavailable, "etcdserver: leader changed", ErrorKind::NoLeader, true),
            (Code::Unavailable, "etcdserver: request timed out", ErrorKind::NoLeader, true),
            (Code::Unavailable, "tcp connect error", ErrorKind::Unreachable, true),
            (Code::Unknown, "broken pipe", ErrorKind::Unreachable, true),
            (Code::InvalidArgument, "etcdserver: request is too large", ErrorKind::TooLarge, false),
            (
                Code::ResourceExhausted,
                "grpc: received message larger than max (2 vs. 1)",
                ErrorKind::TooLarge,
                false,
            ),
            (
                Code::InvalidArgument,
                "etcdserver: too many operations in txn request",
                ErrorKind::TooManyOperations,
                false,
            ),
            (
                Code::InvalidArgument,
                "etcdserver: duplicate key given in txn request",
                ErrorKind::Rejected,
                false,
            ),
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", ErrorKind::NoSpace, false),
            (Code::ResourceExhausted, "etcdserver: too many requests", ErrorKind::Busy, true),
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
                ErrorKind::Compacted,
                false,
            ),
            (Code::NotFound, "etcdserver: requested lease not found", ErrorKind::LeaseLost, false),
            (Code::PermissionDenied, "etcdserver: permission denied", ErrorKind::Refused, false),
            (Code::InvalidArgument, "etcdserver: user name is empty", ErrorKind::Refused, false),
        ] {
            let failure = judge(&Status::new(code, message));
            assert_eq!((failure.kind, failure.leave), (kind, leave), "{message}");
        }
    }

    #[test]
    fn a_status_without_a_word_still_says_something() {
        assert!(!judge(&Status::new(Code::Unknown, "")).detail.is_empty());
    }
}
