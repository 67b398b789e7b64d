//! Waiting until every reader has noticed that the instance is no longer offered.

use std::collections::BTreeSet;
use std::time::Duration;

use convoy_keys::AppName;
use convoy_store::{Mirror, Revision, Store};
use tokio::time::timeout;

/// How a drain ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drained {
    /// Each reader serves a state without the instance.
    Proved {
        /// How many readers there are.
        readers: usize,
    },
    /// Time was up before these had said so.
    TimedOut {
        /// Their names.
        behind: BTreeSet<String>,
    },
}

/// Waits until all of the app's load balancers and edge routers serve `revision` or a later one, at most `limit`.
///
/// Each of them keeps the revision that it serves under `/convoy/applied/<app>/`, on a lease of its own, so one
/// that died does not count for long. Where there is none, there is nobody to wait for.
pub async fn wait_for_readers(store: &Store, app: &AppName, revision: Revision, limit: Duration) -> Drained {
    let prefix = format!("/convoy/applied/{app}/");
    let mut feed = store.follow(&[&prefix]);
    let mut mirror = Mirror::default();
    let waited = timeout(limit, async {
        loop {
            let event = feed.next().await;
            mirror.apply(&event);
            if mirror.has_listed() && behind(&mirror, &prefix, revision).is_empty() {
                return mirror.len();
            }
        }
    })
    .await;
    match waited {
        Ok(readers) => Drained::Proved { readers },
        Err(_) => Drained::TimedOut { behind: behind(&mirror, &prefix, revision) },
    }
}

/// The readers that still serve an older state. A value that is no revision is nobody to wait for.
fn behind(mirror: &Mirror, prefix: &str, revision: Revision) -> BTreeSet<String> {
    mirror
        .iter()
        .filter_map(|(key, entry)| {
            let serves = std::str::from_utf8(&entry.value).ok()?.trim().parse::<i64>().ok()?;
            let name = key.strip_prefix(prefix)?;
            (serves < revision.get()).then(|| name.to_owned())
        })
        .collect()
}
