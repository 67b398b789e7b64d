//! Writes to units: guarded, so that two operators never undo each other's work.

use anyhow::{Context, Result, bail};
use convoy_keys::{Record, UnitRecord, unit_key};
use convoy_store::{Compare, Entry, Revision, Store, Transaction};
use convoy_unit_files::UnitName;

/// How often a write is tried that others get ahead of.
const TRIES: usize = 20;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was made, at this revision.
    Changed(Revision),
    /// It was so already.
    Unchanged,
    /// There is no such unit.
    Missing,
}

/// Writes what `change` makes of a unit's record (none: there is no such unit yet). `change` is called again whenever
/// somebody else wrote in between; when it gives none, nothing is written.
pub async fn unit(
    store: &Store,
    name: &UnitName,
    mut change: impl FnMut(Option<&UnitRecord>) -> Result<Option<UnitRecord>>,
) -> Result<Written> {
    let key = unit_key(name);
    for _ in 0..TRIES {
        let entry = store.get(&key).await?;
        let before = entry
            .as_ref()
            .map(|entry| {
                UnitRecord::parse(&entry.value)
                    .with_context(|| format!("{key} is broken; destroy {name} and submit it again"))
            })
            .transpose()?;
        let Some(after) = change(before.as_ref())? else {
            return Ok(if before.is_some() { Written::Unchanged } else { Written::Missing });
        };
        if before.as_ref() == Some(&after) {
            return Ok(Written::Unchanged);
        }
        let value = after.to_json()?;
        let transaction = Transaction::new().when(unchanged(&key, entry.as_ref())).put(&key, value.clone());
        match store.commit(transaction).await {
            Ok(outcome) if outcome.succeeded => return Ok(Written::Changed(outcome.revision)),
            Ok(_) => {}
            // The answer is lost: what is there now tells whether the write was made.
            Err(error) if error.is_uncertain() => {
                if let Some(entry) = store.get(&key).await?
                    && entry.value == value
                {
                    return Ok(Written::Changed(entry.mod_revision));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    bail!("{key}: others write it all the time; try again")
}

/// Removes a key if it is there, whoever writes it meanwhile.
pub async fn remove(store: &Store, key: &str) -> Result<Written> {
    for _ in 0..TRIES {
        let Some(entry) = store.get(key).await? else { return Ok(Written::Missing) };
        let transaction = Transaction::new().when(unchanged(key, Some(&entry))).delete(key);
        match store.commit(transaction).await {
            Ok(outcome) if outcome.succeeded => return Ok(Written::Changed(outcome.revision)),
            Ok(_) => {}
            Err(error) if error.is_uncertain() => {
                if store.get(key).await?.is_none() {
                    return Ok(Written::Changed(store.revision().await?));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    bail!("{key}: others write it all the time; try again")
}

fn unchanged(key: &str, entry: Option<&Entry>) -> Compare {
    match entry {
        None => Compare::Absent { key: key.to_owned() },
        Some(entry) => Compare::ModRevision { key: key.to_owned(), revision: entry.mod_revision },
    }
}
