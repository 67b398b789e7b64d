//! What the store says, and how far it is believed.
//!
//! A unit is unloaded on positive evidence only: its entry was deleted, or a listing lacks it, and the store is the
//! one that this machine knows, no older than it was. A store that was wiped, replaced or has gone back in time loses
//! entries that nobody deleted; their units run on, unclaimed, until an entry claims them.

use std::collections::{BTreeMap, BTreeSet};

use convoy_keys::{CLUSTER, ClusterKey, ClusterRecord, Record, ScheduleRecord};
use convoy_store::{Change, Entry, Snapshot};
use convoy_unit_files::UnitName;
use tokio::time::Instant;

use super::{News, Roster, Wish, failures};

/// A key whose value can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The key.
    pub key: String,
    /// Why.
    pub error: String,
}

/// What the store answered when asked for its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmation {
    /// It has this one.
    Named(String),
    /// It has none.
    Nameless,
    /// It could not be asked.
    Unanswered,
}

impl Roster {
    /// The whole schedule of this machine.
    pub fn take_listing(&mut self, snapshot: &Snapshot, now: Instant) -> Vec<Skipped> {
        let mut skipped = Vec::new();
        let cluster = snapshot.entries.get(CLUSTER).and_then(|entry| cluster(entry, &mut skipped));
        let revision = snapshot.revision.get();
        let trusted = cluster.is_some() && cluster == self.cluster && revision >= self.revision;
        let mut wishes = BTreeMap::new();
        let mut unread = BTreeSet::new();
        for entry in snapshot.entries.values() {
            let Some(name) = self.scheduled(&entry.key, &mut skipped) else { continue };
            match wish(entry) {
                Ok(wish) => drop(wishes.insert(name, wish)),
                Err(problem) => {
                    skipped.push(problem);
                    unread.insert(name);
                }
            }
        }
        for (name, unit) in &mut self.units {
            if wishes.contains_key(name) || unread.contains(name) {
                continue;
            }
            unit.wish = None;
            let Some(held) = unit.held.as_mut().filter(|_| !unit.gone) else { continue };
            if trusted && !held.unclaimed {
                unit.gone = true;
            } else if !held.unclaimed {
                held.unclaimed = true;
                self.news.push(News::Unclaimed(name.clone()));
            }
        }
        for (name, wish) in wishes {
            self.claim(&name, wish, now);
        }
        self.units.retain(|_, unit| unit.held.is_some() || unit.wish.is_some() || unit.writing);
        if cluster.is_some() {
            self.cluster = cluster;
            self.revision = revision;
        }
        self.unsaved = true;
        skipped
    }

    /// Changes of this machine's schedule, in order.
    pub fn take_changes(&mut self, changes: &[Change], now: Instant) -> Vec<Skipped> {
        let mut skipped = Vec::new();
        for change in changes {
            match change {
                Change::Put(entry) if entry.key == CLUSTER => {
                    if let Some(name) = cluster(entry, &mut skipped) {
                        self.cluster = Some(name);
                    }
                }
                // Nobody deletes it in good order: whoever asks next will see.
                Change::Delete { key, .. } if key == CLUSTER => {}
                Change::Put(entry) => {
                    let Some(name) = self.scheduled(&entry.key, &mut skipped) else { continue };
                    match wish(entry) {
                        Ok(wish) => self.claim(&name, wish, now),
                        Err(problem) => skipped.push(problem),
                    }
                }
                Change::Delete { key, .. } => {
                    let Some(name) = self.scheduled(key, &mut skipped) else { continue };
                    if let Some(unit) = self.units.get_mut(&name) {
                        unit.wish = None;
                        unit.suspect = unit.held.is_some();
                        if !unit.suspect && !unit.writing {
                            self.units.remove(&name);
                        }
                    }
                }
            }
            self.revision = self.revision.max(change.mod_revision().get());
        }
        self.unsaved = true;
        skipped
    }

    /// The store's own name, asked for after entries were deleted.
    pub fn take_confirmation(&mut self, confirmation: &Confirmation, now: Instant) {
        self.confirming = false;
        let ours = match confirmation {
            Confirmation::Unanswered => {
                self.confirm_at = Some(now + failures::RETRY);
                return;
            }
            Confirmation::Named(name) => self.cluster.as_ref() == Some(name),
            Confirmation::Nameless => false,
        };
        self.confirm_at = None;
        // The feed goes on as if nothing had happened: it has to begin anew.
        self.relist |= !ours;
        for (name, unit) in self.units.iter_mut().filter(|(_, unit)| unit.suspect) {
            unit.suspect = false;
            if ours {
                unit.gone = true;
            } else if let Some(held) = unit.held.as_mut().filter(|held| !held.unclaimed) {
                held.unclaimed = true;
                self.news.push(News::Unclaimed(name.clone()));
            }
        }
        self.unsaved = true;
    }

    fn claim(&mut self, name: &UnitName, wish: Wish, now: Instant) {
        let unit = self.units.entry(name.clone()).or_default();
        unit.gone = false;
        unit.suspect = false;
        if let Some(held) = &mut unit.held {
            held.unclaimed = false;
            if unit.wish.as_ref().is_some_and(|old| {
                old.desired != wish.desired || old.restarts != wish.restarts || old.hash != wish.hash
            }) {
                held.failures = 0;
                // What waited for a better moment has it.
                unit.again_at = unit.again_at.map(|_| now);
            }
            // A record that was made anew counts from the beginning; what runs is not restarted for that.
            if let Some(run) = held.run.as_mut().filter(|run| run.restarts > wish.restarts) {
                run.restarts = wish.restarts;
            }
        }
        if unit.wish.as_ref() != Some(&wish) {
            unit.refused = crate::reserved::reason(name);
            if let Some(why) = &unit.refused {
                self.news.push(News::Refused(name.clone(), why.clone()));
            }
            // Perhaps the text is there by now.
            if let super::Fetch::Failed { again_at, .. } = &mut unit.fetch {
                *again_at = now;
            }
        }
        unit.wish = Some(wish);
    }

    /// The unit of an entry of this machine's schedule; none for other keys.
    fn scheduled(&self, key: &str, skipped: &mut Vec<Skipped>) -> Option<UnitName> {
        match ClusterKey::parse(key) {
            Some(ClusterKey::Schedule(machine, unit)) if machine == self.machine => Some(unit),
            Some(ClusterKey::Cluster) => None,
            _ => {
                skipped.push(Skipped { key: key.to_owned(), error: "it names no unit".to_owned() });
                None
            }
        }
    }
}

fn wish(entry: &Entry) -> Result<Wish, Skipped> {
    let skip = |error: String| Skipped { key: entry.key.clone(), error };
    let record = ScheduleRecord::parse(&entry.value).map_err(|error| skip(error.to_string()))?;
    let is_hash = record.hash.len() == 64 && record.hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hash {
        return Err(skip("its hash is no SHA-256 in hexadecimal digits".to_owned()));
    }
    Ok(Wish {
        hash: record.hash.to_ascii_lowercase(),
        desired: record.desired,
        restarts: record.restarts,
        revision: entry.mod_revision,
    })
}

fn cluster(entry: &Entry, skipped: &mut Vec<Skipped>) -> Option<String> {
    match ClusterRecord::parse(&entry.value) {
        Ok(record) if !record.id.is_empty() => Some(record.id),
        Ok(_) => None,
        Err(error) => {
            skipped.push(Skipped { key: entry.key.clone(), error: error.to_string() });
            None
        }
    }
}
