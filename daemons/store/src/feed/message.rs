//! One answer on a watch stream, in our terms.

use etcd_client::{Event, WatchResponse};

use crate::{Change, Revision, failure::Failure, wire, wire::Header};

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// A watch was made.
    Created,
    /// A watch was ended by the server.
    Ended(Ending),
    /// Something changed in the range of this number.
    Changes { range: usize, changes: Vec<Change> },
    /// A sign of life.
    Progress,
}

/// Why a watch was ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// The revision to start from is gone.
    Compacted(i64),
    /// Anything else.
    Cancelled(String),
}

/// The number a watch gets on its stream; 0 would let the server choose.
pub(super) fn watch_id(range: usize) -> i64 {
    i64::try_from(range).unwrap_or(i64::MAX - 1) + 1
}

/// Reads an answer.
pub(super) fn read(answer: &WatchResponse) -> Result<(Header, Message), Failure> {
    let header = Header::read(answer.header())?;
    // A compacted start is answered without a reason, and the stream then stays open and silent.
    let message = if answer.compact_revision() > 0 {
        Message::Ended(Ending::Compacted(answer.compact_revision()))
    } else if answer.canceled() {
        Message::Ended(Ending::Cancelled(answer.cancel_reason().to_owned()))
    } else if answer.created() {
        Message::Created
    } else if answer.events().is_empty() {
        Message::Progress
    } else {
        let range = usize::try_from(answer.watch_id() - 1).unwrap_or(usize::MAX);
        Message::Changes { range, changes: answer.events().iter().filter_map(change).collect() }
    };
    Ok((header, message))
}

/// Reads one event. The client library panics when asked for a kind it doesn't know, so it is not asked: what a
/// key is after the event tells as much. Only a key that is gone has version 0.
fn change(event: &Event) -> Option<Change> {
    let pair = event.kv()?;
    if pair.version() == 0 {
        let key = wire::key_of(pair)?;
        return Some(Change::Delete { key, mod_revision: Revision::new(pair.mod_revision()) });
    }
    wire::entry(pair.clone()).map(Change::Put)
}
