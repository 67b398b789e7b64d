//! From the client library's types to ours.

use std::collections::BTreeMap;

use etcd_client::{KeyValue, ResponseHeader};

use crate::{Entry, ErrorKind, Revision, failure::Failure};

/// What every answer tells about the store it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) cluster: u64,
    pub(crate) term: u64,
    pub(crate) revision: Revision,
}

impl Header {
    pub(crate) fn read(header: Option<&ResponseHeader>) -> Result<Self, Failure> {
        let header =
            header.ok_or_else(|| Failure::new(ErrorKind::Malformed, "an answer without a header"))?;
        Ok(Self {
            cluster: header.cluster_id(),
            term: header.raft_term(),
            revision: Revision::new(header.revision()),
        })
    }
}

/// The key as text. Other keys than UTF-8 are not Convoy's: they are left out, and said so.
pub(crate) fn key_of(pair: &KeyValue) -> Option<String> {
    if let Ok(key) = pair.key_str() {
        return Some(key.to_owned());
    }
    tracing::warn!(key = %pair.key().escape_ascii(), "Skipped a key in etcd that is no UTF-8; delete it.");
    None
}

pub(crate) fn entry(pair: KeyValue) -> Option<Entry> {
    let key = key_of(&pair)?;
    let (create, modified, version, lease) =
        (pair.create_revision(), pair.mod_revision(), pair.version(), pair.lease());
    let (_, value) = pair.into_key_value();
    Some(Entry {
        key,
        value,
        create_revision: Revision::new(create),
        mod_revision: Revision::new(modified),
        version,
        lease,
    })
}

pub(crate) fn entries(pairs: Vec<KeyValue>) -> BTreeMap<String, Entry> {
    pairs.into_iter().filter_map(entry).map(|entry| (entry.key.clone(), entry)).collect()
}
