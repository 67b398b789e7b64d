//! What the owner is told.

use tokio::time::Instant;

use super::{Keeper, late};
use crate::{
    ErrorKind, Revision, StoreError,
    ownership::{Applied, OwnershipStatus, lease_name},
};

impl Keeper {
    pub(super) fn report(&self) {
        if self.lease.is_some() && self.is_settled() {
            self.tell_applied(match self.standings.taken() {
                None => Ok(self.revision),
                Some((key, holder)) => Err(replaced(key, holder)),
            });
        }
        let status = self.stand(Instant::now());
        self.status.send_if_modified(|told| {
            let news = *told != status;
            *told = status;
            news
        });
    }

    pub(super) fn tell_applied(&self, result: Result<Revision, StoreError>) {
        let generation = self.declared.generation;
        self.applied.send_if_modified(|applied| {
            let news = applied.generation != generation || applied.result != result;
            *applied = Applied { generation, result };
            news
        });
    }

    pub(super) fn stand(&self, now: Instant) -> OwnershipStatus {
        let Some(lease) = self.lease else {
            return match (&self.shaken, &self.hindered) {
                (Some(lost), _) => OwnershipStatus::Lost { error: lost.clone() },
                (None, error) => OwnershipStatus::Pending { error: error.clone() },
            };
        };
        let left = lease.schedule.deadline().saturating_duration_since(now);
        match &self.shaken {
            Some(error) if left.is_zero() => return OwnershipStatus::Lost { error: error.clone() },
            None if left.is_zero() => return OwnershipStatus::Lost { error: late(lease.id).to_string() },
            Some(error) => return OwnershipStatus::AtRisk { error: error.clone(), expires_in: left },
            None => {}
        }
        if !self.is_settled() {
            return OwnershipStatus::Pending { error: self.hindered.clone() };
        }
        match self.standings.taken() {
            Some((key, lease)) => OwnershipStatus::Replaced { key: key.to_owned(), lease },
            None => OwnershipStatus::Held { lease: lease.id, revision: self.revision },
        }
    }
}

fn replaced(key: &str, holder: i64) -> StoreError {
    let detail = format!("another owner announced it after us, under {}", lease_name(holder));
    StoreError::new(ErrorKind::Replaced, "own", key, detail)
}
