//! Who orders: the election of the edge that does it for all.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use convoy_keys::{ACME_LEADER, AcmeLeaderRecord, Authority, CertificateName, InstanceName, Record};
use convoy_store::{Election, ElectionStatus, LeaseSettings, Store};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use super::Windows;
use super::failure::Failure;
use super::leader::lead;
use crate::metrics::Metrics;
use crate::serve::World;
use crate::{Clock, OrderSettings, Sealing};

/// An edge that can't order lets others be first for so long.
const STAND_BACK: Duration = Duration::from_secs(30);
/// How long it may take to let go of a leadership; after that its lease does it.
const RESIGN: Duration = Duration::from_secs(5);

/// What all orders share.
pub(crate) struct Context {
    pub(crate) edge: InstanceName,
    pub(crate) orders: OrderSettings,
    pub(crate) authority: Authority,
    pub(crate) sealing: Arc<Sealing>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
}

impl Context {
    pub(super) fn seal(&self, key: &str, text: &str) -> Result<String, Failure> {
        self.sealing.seal(key, text).map_err(|error| Failure::Unwritten(error.to_string()))
    }
}

/// What the edge that orders hears, and what it tells.
pub(crate) struct Desk {
    pub(crate) context: Arc<Context>,
    pub(crate) store: Store,
    pub(crate) world: watch::Receiver<Arc<World>>,
    pub(crate) wanted: watch::Receiver<Option<Arc<BTreeSet<CertificateName>>>>,
    pub(crate) trouble: watch::Sender<Option<String>>,
    pub(crate) windows: watch::Sender<Windows>,
}

/// What an edge says when it leads.
fn value(edge: &InstanceName, clock: &Clock) -> Vec<u8> {
    let record = AcmeLeaderRecord { edge: edge.clone(), since: clock.stamp() };
    // A name and a number are always JSON.
    record.to_json().unwrap_or_default()
}

/// Orders whenever this edge leads, until it is told to stop: then another one goes on at once.
pub(crate) async fn run(mut desk: Desk, lease: LeaseSettings, mut stop: oneshot::Receiver<Duration>) {
    // One that does not know its routes yet had better not be the one that orders.
    let is_ready = tokio::select! {
        known = desk.wanted.wait_for(Option::is_some) => known.is_ok(),
        _ = &mut stop => false,
    };
    if !is_ready {
        return;
    }
    loop {
        let (edge, clock) = (desk.context.edge.clone(), desk.context.clock.clone());
        let election = desk.store.campaign(ACME_LEADER, lease.clone(), move || value(&edge, &clock));
        tokio::select! {
            () = orders(&mut desk, &election) => resign(election, RESIGN).await,
            stopped = &mut stop => {
                // Without a word it was dropped, and this task with it.
                if let Ok(deadline) = stopped {
                    resign(election, deadline).await;
                }
                return;
            }
        }
        // Another edge may be able to order, and is given the time to be first.
        tokio::select! {
            () = sleep(STAND_BACK) => {}
            _ = &mut stop => return,
        }
    }
}

async fn resign(election: Election, deadline: Duration) {
    if let Err(error) = election.resign(deadline).await {
        tracing::debug!(%error, "another edge will order when the lease has run out");
    }
}

/// Orders with each leadership, until this edge turns out to be unable to.
async fn orders(desk: &mut Desk, election: &Election) {
    let leads = |status: &ElectionStatus| matches!(status, ElectionStatus::Leads(_));
    let mut status = election.status();
    loop {
        let leadership = match status.wait_for(leads).await.as_deref() {
            Ok(ElectionStatus::Leads(leadership)) => leadership.clone(),
            Ok(_) => continue,
            Err(_) => return,
        };
        let mut ended = status.clone();
        let end = tokio::select! {
            end = lead(desk, &leadership) => end,
            _ = ended.wait_for(|status| !leads(status)) => End::Lost,
        };
        desk.windows.send_replace(Windows::new());
        if let End::Unable = end {
            return;
        }
        desk.trouble.send_replace(None);
        // By our clock it may be over before the election says so.
        let since = leadership.since();
        let is_over = |status: &ElectionStatus| match status {
            ElectionStatus::Leads(now) => now.since() != since,
            _ => true,
        };
        if status.wait_for(is_over).await.is_err() {
            return;
        }
    }
}

/// Why a leadership came to its end.
pub(super) enum End {
    /// It does not hold any more.
    Lost,
    /// This edge can't order.
    Unable,
}
