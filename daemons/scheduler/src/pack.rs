//! Writes into transactions: together what belongs together, and as few transactions as possible.

use convoy_keys::MachineId;

use crate::event::Event;
use crate::step::{Batch, Write};

/// Most writes in a transaction, unless a group alone has more. etcd takes 128 operations and as many comparisons.
const AIM: usize = 100;
/// Most writes in any transaction: what etcd takes, less the leader's guard.
const MOST: usize = 126;

/// Writes that are made together.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    pub(crate) writes: Vec<Write>,
    pub(crate) present: Vec<String>,
    pub(crate) absent: Vec<String>,
    pub(crate) events: Vec<Event>,
    /// It makes up for something that was lost.
    pub(crate) is_urgent: bool,
    /// The machine that gets something.
    pub(crate) machine: Option<MachineId>,
}

/// Packs parcels: the urgent ones first, those for one machine next to each other, otherwise in the order given.
pub(crate) fn pack(mut parcels: Vec<Parcel>) -> Vec<Batch> {
    parcels.retain(|parcel| !parcel.writes.is_empty() || !parcel.events.is_empty());
    parcels.sort_by(|a, b| (!a.is_urgent, &a.machine).cmp(&(!b.is_urgent, &b.machine)));
    let mut batches: Vec<Batch> = Vec::new();
    for mut parcel in parcels {
        for keys in [&mut parcel.present, &mut parcel.absent] {
            keys.sort();
            keys.dedup();
        }
        if size(&parcel) > MOST {
            tracing::warn!(writes = parcel.writes.len(), "a group is too large for one transaction");
            batches.extend(split(parcel));
            continue;
        }
        match batches.last_mut() {
            Some(batch) if fits(batch, &parcel) => {
                batch.writes.append(&mut parcel.writes);
                batch.present.append(&mut parcel.present);
                batch.absent.append(&mut parcel.absent);
                for keys in [&mut batch.present, &mut batch.absent] {
                    keys.sort();
                    keys.dedup();
                }
                batch.events.append(&mut parcel.events);
            }
            _ => {
                let Parcel { writes, present, absent, events, .. } = parcel;
                batches.push(Batch { writes, present, absent, events });
            }
        }
    }
    batches
}

fn size(parcel: &Parcel) -> usize {
    parcel.writes.len() + parcel.present.len() + parcel.absent.len()
}

fn fits(batch: &Batch, parcel: &Parcel) -> bool {
    batch.writes.len() + batch.present.len() + batch.absent.len() + size(parcel) <= AIM
}

/// Deletions first, so that nothing is in two places between two transactions.
fn split(mut parcel: Parcel) -> Vec<Batch> {
    parcel.writes.sort_by_key(|write| write.value.is_some());
    let room = MOST.saturating_sub(parcel.present.len() + parcel.absent.len()).max(1);
    let mut batches: Vec<Batch> = parcel
        .writes
        .chunks(room)
        .map(|writes| Batch {
            writes: writes.to_vec(),
            present: parcel.present.clone(),
            absent: parcel.absent.clone(),
            events: Vec::new(),
        })
        .collect();
    if let Some(last) = batches.last_mut() {
        last.events = parcel.events;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Expected;

    fn parcel(name: &str, writes: usize, machine: &str, is_urgent: bool) -> Parcel {
        let write = |number| Write::delete(format!("{name}{number}"), Expected::Any);
        let machine = MachineId::parse(machine).ok();
        Parcel { writes: (0..writes).map(write).collect(), machine, is_urgent, ..Parcel::default() }
    }

    fn sizes(parcels: Vec<Parcel>) -> Vec<usize> {
        pack(parcels).iter().map(|batch| batch.writes.len()).collect()
    }

    #[test]
    fn transactions_are_filled_and_parcels_stay_whole() {
        assert_eq!(sizes(vec![]), Vec::<usize>::new());
        assert_eq!(sizes((0..60).map(|_| parcel("a", 2, "m1", false)).collect()), [100, 20]);
        assert_eq!(sizes(vec![parcel("a", 60, "m1", false), parcel("b", 60, "m1", false)]), [60, 60]);
        assert_eq!(sizes(vec![parcel("a", 120, "m1", false)]), [120]);
        assert_eq!(sizes(vec![parcel("a", 300, "m1", false)]), [126, 126, 48]);
    }

    #[test]
    fn what_was_lost_comes_first_and_machines_stay_together() {
        let parcels = vec![
            parcel("a", 1, "m2", false),
            parcel("b", 1, "m1", false),
            parcel("c", 1, "m2", true),
            parcel("d", 1, "m2", false),
        ];
        let keys: Vec<String> = pack(parcels)[0].writes.iter().map(|write| write.key.clone()).collect();
        assert_eq!(keys, ["c0", "b0", "a0", "d0"]);
    }
}
