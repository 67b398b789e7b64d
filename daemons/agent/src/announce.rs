//! What the others are told: the machine's record and the states of its units, under one lease.

use std::collections::BTreeMap;
use std::time::Duration;

use convoy_keys::{MachineId, MachineRecord, Record, StateRecord, machine_key, state_key, states_prefix};
use convoy_store::{Answered, Compare, LeaseSettings, Ownership, OwnershipStatus, Store, Transaction};
use convoy_unit_files::UnitName;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long the machine counts as present while its agent is restarted or upgraded.
const RESTART_TTL: Duration = Duration::from_secs(120);
/// How long a stop waits for the store.
const FAREWELL: Duration = Duration::from_secs(4);

type Keys = BTreeMap<String, Vec<u8>>;

/// The machine's place in the store.
#[derive(Debug)]
pub(crate) struct Announcement {
    store: Store,
    machine: MachineId,
    record: MachineRecord,
    ownership: Ownership,
    declared: Keys,
}

impl Announcement {
    /// Asks for a lease. Nothing is announced before [`Announcement::tell`].
    pub(crate) fn begin(store: &Store, machine: MachineId, record: MachineRecord, ttl: Duration) -> Self {
        let ownership = store.own(LeaseSettings::new(ttl));
        Self { store: store.clone(), machine, record, ownership, declared: Keys::new() }
    }

    /// Tells how the units stand. True if that is news.
    pub(crate) fn tell(&mut self, states: &BTreeMap<UnitName, StateRecord>) -> bool {
        let keys = self.keys(&self.record, states);
        if keys == self.declared {
            return false;
        }
        self.declared.clone_from(&keys);
        self.ownership.declare(keys);
        true
    }

    fn keys(&self, record: &MachineRecord, states: &BTreeMap<UnitName, StateRecord>) -> Keys {
        let mut keys = Keys::new();
        if let Ok(json) = record.to_json() {
            keys.insert(machine_key(&self.machine), json);
        }
        for (unit, state) in states {
            if let Ok(json) = state.to_json() {
                keys.insert(state_key(&self.machine, unit), json);
            }
        }
        keys
    }

    /// How the lease stands.
    pub(crate) fn status(&self) -> watch::Receiver<OwnershipStatus> {
        self.ownership.status()
    }

    /// Keep-alives that were answered.
    pub(crate) fn answered(&self) -> watch::Receiver<Option<Answered>> {
        self.ownership.answered()
    }

    /// Removes states that an earlier run of the agent left under a lease of its own.
    pub(crate) fn sweep(&self, lease: i64) {
        let (store, prefix) = (self.store.clone(), states_prefix(&self.machine));
        tokio::spawn(async move {
            let Ok(left) = store.list(&prefix).await else { return };
            for entry in left.entries.into_values().filter(|entry| entry.lease != lease) {
                let unchanged = Compare::ModRevision { key: entry.key.clone(), revision: entry.mod_revision };
                if let Err(error) = store.commit(Transaction::new().when(unchanged).delete(entry.key)).await {
                    tracing::debug!(%error, "a state of an earlier run stays until its lease ends");
                }
            }
        });
    }

    /// The machine is being shut down: nothing is here any more, at once.
    pub(crate) async fn end(self) {
        if let Err(error) = self.ownership.release(FAREWELL).await {
            tracing::warn!(%error, "the machine could not be signed off; its lease ends by itself");
        }
    }

    /// The agent is being restarted: everything goes on, for a while without it. Gives the last sign of life, which
    /// holds for that while.
    pub(crate) async fn leave_for_a_moment(
        self,
        states: &BTreeMap<UnitName, StateRecord>,
    ) -> Option<Answered> {
        let record = MachineRecord { agent_restarts: true, ..self.record.clone() };
        let keys = self.keys(&record, states);
        let Self { store, ownership, .. } = self;
        drop(ownership);
        let longer = store.own(LeaseSettings::new(RESTART_TTL));
        longer.declare(keys);
        match timeout(FAREWELL, longer.applied()).await {
            Ok(Ok(_)) => *longer.answered().borrow(),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the restart could not be announced");
                None
            }
            Err(_) => {
                tracing::warn!("the restart could not be announced: the store does not answer");
                None
            }
        }
    }
}
