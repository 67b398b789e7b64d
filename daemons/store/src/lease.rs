//! The calls about leases.

use std::{collections::BTreeSet, time::Duration};

use etcd_client::{LeaseGrantOptions, LeaseTimeToLiveOptions};

use crate::{
    ErrorKind, Revision, Store, StoreError,
    call::{Repeat, Task},
    ownership::lease_name,
    store::revision_of,
};

/// A lease that was granted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant {
    /// The time to live, which may be longer than what was asked for.
    pub(crate) ttl: Duration,
    pub(crate) revision: Revision,
    /// False if an earlier request, whose answer got lost, made it: part of its time has passed.
    pub(crate) fresh: bool,
}

impl Store {
    /// Makes a lease under a number chosen by us.
    pub(crate) async fn grant(&self, id: i64, ttl: Duration) -> Result<Grant, StoreError> {
        let subject = lease_name(id);
        let asked = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let seconds = i64::try_from(asked.max(1)).unwrap_or(i64::MAX);
        let granted = self
            .endpoints()
            .call(
                Task { operation: "grant", subject: &subject, repeat: Repeat::SameTwice },
                |mut session| async move {
                    session.lease.grant(seconds, Some(LeaseGrantOptions::new().with_id(id))).await
                },
            )
            .await;
        match granted {
            Ok(answer) => Ok(Grant {
                ttl: Duration::from_secs(u64::try_from(answer.ttl()).unwrap_or_default().max(1)),
                revision: revision_of("grant", &subject, answer.header())?,
                fresh: true,
            }),
            Err(error) if error.says("lease already exists") => Ok(Grant {
                ttl: Duration::from_secs(asked.max(1)),
                revision: Revision::default(),
                fresh: false,
            }),
            Err(error) => Err(error),
        }
    }

    /// Prolongs a lease once. A lease that is gone is [`ErrorKind::LeaseLost`].
    pub(crate) async fn keep_alive(&self, id: i64) -> Result<(), StoreError> {
        let subject = lease_name(id);
        let task = Task { operation: "keep alive", subject: &subject, repeat: Repeat::Read };
        // A stream for each beat: nothing is open in between that could go silent, and every beat may go to
        // another endpoint.
        self.endpoints()
            .call(task, |mut session| async move { session.lease.keep_alive(id).await })
            .await
            .map(drop)
    }

    /// The keys that hang on a lease. A lease that is gone is [`ErrorKind::LeaseLost`].
    pub(crate) async fn attached(&self, id: i64) -> Result<BTreeSet<String>, StoreError> {
        let subject = lease_name(id);
        let answer = self
            .endpoints()
            .call(
                Task { operation: "inspect", subject: &subject, repeat: Repeat::Read },
                |mut session| async move {
                    session.lease.time_to_live(id, Some(LeaseTimeToLiveOptions::new().with_keys())).await
                },
            )
            .await?;
        if answer.ttl() <= 0 {
            return Err(StoreError::new(ErrorKind::LeaseLost, "inspect", subject, "the lease is gone"));
        }
        Ok(answer.keys().iter().filter_map(|key| String::from_utf8(key.clone()).ok()).collect())
    }

    /// How much of its time to live a lease has left, and how long that is altogether; whole seconds. An owner that is
    /// well renews at a third of it, so that less than half is a sign of trouble. `None` if the lease is gone.
    pub async fn lease_left(&self, lease: i64) -> Result<Option<(Duration, Duration)>, StoreError> {
        let subject = lease_name(lease);
        let answer = self
            .endpoints()
            .call(
                Task { operation: "inspect", subject: &subject, repeat: Repeat::Read },
                |mut session| async move { session.lease.time_to_live(lease, None).await },
            )
            .await?;
        let seconds = |number: i64| u64::try_from(number).ok().map(Duration::from_secs);
        Ok(seconds(answer.ttl()).zip(seconds(answer.granted_ttl())))
    }

    /// Ends a lease and removes its keys. One that is gone already is as good.
    pub(crate) async fn revoke(&self, id: i64) -> Result<(), StoreError> {
        let subject = lease_name(id);
        let task = Task { operation: "revoke", subject: &subject, repeat: Repeat::SameTwice };
        let revoked = self
            .endpoints()
            .call(task, |mut session| async move { session.lease.revoke(id).await.map(drop) })
            .await;
        match revoked {
            Err(error) if error.kind() != ErrorKind::LeaseLost => Err(error),
            _ => Ok(()),
        }
    }
}
