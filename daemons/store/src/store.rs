//! The store: single reads and writes, and the way to feeds and ownership.

use std::{collections::BTreeMap, fmt, sync::Arc};

use etcd_client::{
    Compare as WireCompare, CompareOp, DeleteOptions, GetOptions, KeyValue, PutOptions, Txn, TxnOp,
    TxnOpResponse,
};

use crate::{
    Answer, Compare, Entry, ErrorKind, Feed, KeyRange, LeaseSettings, Operation, Outcome, Ownership,
    Revision, Snapshot, StoreError, StoreSettings, Transaction,
    call::{Repeat, Task},
    endpoints::Endpoints,
    failure::Failure,
    wire::{self, Header},
};

/// The key that is counted to learn the store's revision; it need not exist.
const PROBE: &str = "/convoy/";

/// etcd refuses transactions of more than 128 operations (`--max-txn-ops`).
const READS_AT_ONCE: usize = 100;

/// etcd, seen by Convoy. Cheap to clone; all clones share one connection. Reads are linearizable: they see every
/// write that was answered before them, whichever member it went through.
#[derive(Clone)]
pub struct Store {
    endpoints: Arc<Endpoints>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("settings", self.endpoints.settings()).finish_non_exhaustive()
    }
}

impl Store {
    /// Checks the settings and reads the certificates. Connects with the first call, not before.
    pub fn new(settings: StoreSettings) -> Result<Self, StoreError> {
        Ok(Self { endpoints: Arc::new(Endpoints::new(settings)?) })
    }

    /// Reads one key.
    pub async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let task = Task { operation: "get", subject: key, repeat: Repeat::Read };
        let mut answer =
            self.endpoints.call(task, |mut session| async move { session.kv.get(key, None).await }).await?;
        Ok(answer.take_kvs().pop().and_then(wire::entry))
    }

    /// Reads all keys that begin with `prefix`. End it with `/` to keep siblings out.
    pub async fn list(&self, prefix: &str) -> Result<Snapshot, StoreError> {
        self.read(&[KeyRange::Prefix(prefix.to_owned())]).await
    }

    /// Reads several ranges, all at one revision.
    pub async fn read(&self, ranges: &[KeyRange]) -> Result<Snapshot, StoreError> {
        Ok(self.list_all(ranges).await?.1)
    }

    pub(crate) async fn list_all(&self, ranges: &[KeyRange]) -> Result<(Header, Snapshot), StoreError> {
        let mut first = None;
        let mut entries = BTreeMap::new();
        for ranges in ranges.chunks(READS_AT_ONCE) {
            let (header, pairs) = self.list_some(ranges, first.map(|header: Header| header.revision)).await?;
            first.get_or_insert(header);
            entries.extend(wire::entries(pairs));
        }
        let header = match first {
            Some(header) => header,
            None => self.header(PROBE).await?,
        };
        Ok((header, Snapshot { revision: header.revision, entries }))
    }

    /// Reads as many ranges as fit into one transaction, at this revision or now.
    async fn list_some(
        &self,
        ranges: &[KeyRange],
        revision: Option<Revision>,
    ) -> Result<(Header, Vec<KeyValue>), StoreError> {
        let subject = ranges.iter().map(KeyRange::as_str).collect::<Vec<_>>().join(" ");
        let task = Task { operation: "list", subject: &subject, repeat: Repeat::Read };
        let reads: Vec<_> = ranges
            .iter()
            .map(|range| {
                let options = revision
                    .map_or_else(GetOptions::new, |revision| GetOptions::new().with_revision(revision.get()));
                let options = if range.is_prefix() { options.with_prefix() } else { options };
                TxnOp::get(range.as_str(), Some(options))
            })
            .collect();
        let txn = Txn::new().and_then(reads);
        let answer = self
            .endpoints
            .call(task, |mut session| {
                let txn = txn.clone();
                async move { session.kv.txn(txn).await }
            })
            .await?;
        let header = Header::read(answer.header()).map_err(|failure| refuse("list", &subject, failure))?;
        let pairs = answer
            .op_responses()
            .into_iter()
            .flat_map(|answer| match answer {
                TxnOpResponse::Get(mut answer) => answer.take_kvs(),
                _ => Vec::new(),
            })
            .collect();
        Ok((header, pairs))
    }

    /// Writes one key, without a lease and whatever is there: for tools and tests.
    pub async fn put(&self, key: &str, value: &[u8]) -> Result<Revision, StoreError> {
        let task = Task { operation: "put", subject: key, repeat: Repeat::IfUnsent };
        let answer = self
            .endpoints
            .call(task, |mut session| async move { session.kv.put(key, value, None).await })
            .await?;
        revision_of("put", key, answer.header())
    }

    /// Removes one key, whatever is there: for tools and tests.
    pub async fn delete(&self, key: &str) -> Result<Revision, StoreError> {
        let task = Task { operation: "delete", subject: key, repeat: Repeat::IfUnsent };
        let answer = self
            .endpoints
            .call(task, |mut session| async move { session.kv.delete(key, None).await })
            .await?;
        revision_of("delete", key, answer.header())
    }

    /// Makes a transaction. After a lost answer it is made again only where that can not be told from making it
    /// once; else the error says that the outcome is unknown ([`StoreError::is_uncertain`]).
    pub async fn commit(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        let repeat = if transaction.repeatable() { Repeat::SameTwice } else { Repeat::IfUnsent };
        self.commit_as(transaction, repeat).await
    }

    pub(crate) async fn commit_as(
        &self,
        transaction: Transaction,
        repeat: Repeat,
    ) -> Result<Outcome, StoreError> {
        let subject = transaction.subject();
        let txn = to_wire(transaction);
        let answer = self
            .endpoints
            .call(Task { operation: "commit", subject: &subject, repeat }, |mut session| {
                let txn = txn.clone();
                async move { session.kv.txn(txn).await }
            })
            .await?;
        Ok(Outcome {
            succeeded: answer.succeeded(),
            revision: revision_of("commit", &subject, answer.header())?,
            answers: answer.op_responses().into_iter().filter_map(from_wire).collect(),
        })
    }

    /// The store's present revision.
    pub async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(self.header(PROBE).await?.revision)
    }

    /// The header of a linearizable read of a key that the user may read.
    pub(crate) async fn header(&self, key: &str) -> Result<Header, StoreError> {
        let task = Task { operation: "get", subject: key, repeat: Repeat::Read };
        let answer = self
            .endpoints
            .call(task, |mut session| async move {
                session.kv.get(key, Some(GetOptions::new().with_count_only())).await
            })
            .await?;
        Header::read(answer.header()).map_err(|failure| refuse("get", key, failure))
    }

    /// What a key was at a revision: none if it wasn't there.
    pub(crate) async fn get_at(&self, key: &str, revision: Revision) -> Result<Option<Entry>, StoreError> {
        let task = Task { operation: "get", subject: key, repeat: Repeat::Read };
        let mut answer = self
            .endpoints
            .call(task, |mut session| async move {
                let options = GetOptions::new().with_revision(revision.get());
                session.kv.get(key, Some(options)).await
            })
            .await?;
        Ok(answer.take_kvs().pop().and_then(wire::entry))
    }

    /// Follows all keys that begin with one of the prefixes. Needs a tokio runtime; the work ends when the feed
    /// is dropped.
    pub fn follow(&self, prefixes: &[&str]) -> Feed {
        self.follow_ranges(prefixes.iter().map(|prefix| KeyRange::Prefix((*prefix).to_owned())).collect())
    }

    /// The same for ranges of any kind, at least one.
    pub fn follow_ranges(&self, ranges: Vec<KeyRange>) -> Feed {
        Feed::start(self.clone(), ranges)
    }

    /// Takes a lease and keeps the keys under it that are declared later. Needs a tokio runtime.
    pub fn own(&self, settings: LeaseSettings) -> Ownership {
        Ownership::start(self.clone(), settings)
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
}

pub(crate) fn revision_of(
    operation: &'static str,
    subject: &str,
    header: Option<&etcd_client::ResponseHeader>,
) -> Result<Revision, StoreError> {
    Header::read(header).map(|header| header.revision).map_err(|failure| refuse(operation, subject, failure))
}

fn refuse(operation: &'static str, subject: &str, failure: Failure) -> StoreError {
    StoreError::new(ErrorKind::Malformed, operation, subject, failure.detail)
}

fn to_wire(transaction: Transaction) -> Txn {
    let compares: Vec<_> = transaction.compares.into_iter().map(compare_to_wire).collect();
    let operations = |operations: Vec<Operation>| -> Vec<TxnOp> {
        operations.into_iter().map(operation_to_wire).collect()
    };
    Txn::new()
        .when(compares)
        .and_then(operations(transaction.then))
        .or_else(operations(transaction.otherwise))
}

fn compare_to_wire(compare: Compare) -> WireCompare {
    match compare {
        Compare::Absent { key } => WireCompare::create_revision(key, CompareOp::Equal, 0),
        Compare::Present { key } => WireCompare::create_revision(key, CompareOp::Greater, 0),
        Compare::Lease { key, lease } => WireCompare::lease(key, CompareOp::Equal, lease),
        Compare::ModRevision { key, revision } => {
            WireCompare::mod_revision(key, CompareOp::Equal, revision.get())
        }
        Compare::Value { key, value } => WireCompare::value(key, CompareOp::Equal, value),
    }
}

fn operation_to_wire(operation: Operation) -> TxnOp {
    match operation {
        Operation::Put { key, value, lease } => {
            TxnOp::put(key, value, Some(PutOptions::new().with_lease(lease).with_prev_key()))
        }
        Operation::Delete { key } => TxnOp::delete(key, Some(DeleteOptions::new().with_prev_key())),
        Operation::Get { key } => TxnOp::get(key, None),
        Operation::List { prefix } => TxnOp::get(prefix, Some(GetOptions::new().with_prefix())),
    }
}

fn from_wire(answer: TxnOpResponse) -> Option<Answer> {
    match answer {
        TxnOpResponse::Put(mut answer) => Some(Answer::Put(answer.take_prev_key().and_then(wire::entry))),
        TxnOpResponse::Delete(mut answer) => {
            Some(Answer::Deleted(answer.take_prev_kvs().pop().and_then(wire::entry)))
        }
        TxnOpResponse::Get(mut answer) => Some(Answer::Entries(wire::entries(answer.take_kvs()))),
        TxnOpResponse::Txn(_) => None,
    }
}
