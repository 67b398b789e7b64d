//! Elections: one leader at a time, takeover, stepping down in time, guards that outlive nobody.

use std::time::{Duration, Instant};

use convoy_store::{
    Compare, Election, ElectionStatus, Leadership, LeaseSettings, Store, StoreSettings, Transaction,
};
use convoy_test_etcd::{Etcd, Proxy};
use tokio::sync::watch;

use crate::support::{settings, store, within};

const KEY: &str = "/leader";
const TTL: Duration = Duration::from_secs(2);

/// A candidate that calls itself so.
fn candidate(store: &Store, name: &'static str) -> Election {
    store.campaign(KEY, LeaseSettings::new(TTL), move || name.into())
}

async fn stands<T>(
    status: &mut watch::Receiver<ElectionStatus>,
    what: &str,
    wanted: impl Fn(&ElectionStatus) -> Option<T>,
) -> T {
    within(what, async {
        loop {
            if let Some(found) = wanted(&status.borrow_and_update()) {
                return found;
            }
            status.changed().await.unwrap();
        }
    })
    .await
}

fn leadership(status: &ElectionStatus) -> Option<Leadership> {
    match status {
        ElectionStatus::Leads(leadership) => Some(leadership.clone()),
        _ => None,
    }
}

fn followed(status: &ElectionStatus) -> Option<Vec<u8>> {
    match status {
        ElectionStatus::Follows { leader, .. } => Some(leader.value.clone()),
        _ => None,
    }
}

async fn leads(election: &Election) -> Leadership {
    stands(&mut election.status(), "a leadership", leadership).await
}

async fn follows(election: &Election, name: &str) {
    let wanted = |status: &ElectionStatus| followed(status).filter(|leader| leader == name.as_bytes());
    stands(&mut election.status(), "a leader to follow", wanted).await;
}

async fn write(store: &Store, leadership: &Leadership, value: &str) -> bool {
    let transaction = Transaction::new().when(leadership.guard()).put("/work", value);
    store.commit(transaction).await.unwrap().succeeded
}

#[tokio::test]
async fn the_first_leads_the_others_know_who_does_and_nobody_writes_at_rest() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let first = candidate(&store, "first");
    let leadership = leads(&first).await;
    let second = candidate(&store, "second");
    follows(&second, "first").await;
    assert!(leadership.holds());
    assert_eq!(store.get(KEY).await.unwrap().unwrap().create_revision, leadership.since());

    let before = store.revision().await.unwrap();
    tokio::time::sleep(2 * TTL).await; // without keep-alives the key would be gone
    assert_eq!(store.revision().await.unwrap(), before);
    assert!(leadership.holds() && write(&store, &leadership, "1").await);
}

#[tokio::test]
async fn resigning_hands_over_in_milliseconds() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let first = candidate(&store, "first");
    let old = leads(&first).await;
    let second = candidate(&store, "second");
    follows(&second, "first").await;
    let start = Instant::now();
    first.resign(Duration::from_secs(3)).await.unwrap();
    let new = leads(&second).await;
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert!(!write(&store, &old, "old").await);
    assert!(write(&store, &new, "new").await);
}

#[tokio::test]
async fn who_died_is_replaced_within_the_time_to_live() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let first = candidate(&store, "first");
    leads(&first).await;
    let second = candidate(&store, "second");
    follows(&second, "first").await;
    let start = Instant::now();
    drop(first);
    leads(&second).await;
    // etcd looks for leases that ran out every half a second.
    assert!(start.elapsed() < TTL + Duration::from_millis(1500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn stepping_down_ends_this_leadership_and_no_later_one() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let election = candidate(&store, "only");
    let first = leads(&election).await;
    election.step_down(&first);
    let again = |status: &ElectionStatus| leadership(status).filter(|next| next.lease() != first.lease());
    let second = stands(&mut election.status(), "another leadership", again).await;
    assert!(!first.holds() && second.holds());
    election.step_down(&first);
    assert!(write(&store, &second, "1").await);
    tokio::time::sleep(TTL).await;
    assert!(second.holds());
}

#[tokio::test]
async fn a_removed_key_ends_the_leadership_at_once() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let election = candidate(&store, "only");
    let first = leads(&election).await;
    store.delete(KEY).await.unwrap();
    within("the end", async {
        while first.holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let again = |status: &ElectionStatus| leadership(status).filter(|next| next.lease() != first.lease());
    stands(&mut election.status(), "another leadership", again).await;
}

#[tokio::test]
async fn a_leader_without_the_store_steps_down_before_another_can_lead() {
    let etcd = Etcd::start(1).await.unwrap();
    let proxy = Proxy::start(etcd.member(0).address()).await.unwrap();
    let apart =
        Store::new(StoreSettings { endpoints: vec![proxy.endpoint()], ..settings(Vec::new()) }).unwrap();
    let near = store(&etcd);
    let first = candidate(&apart, "first");
    let old = leads(&first).await;
    let second = candidate(&near, "second");
    follows(&second, "first").await;
    proxy.stall();
    let (mut mine, mut theirs) = (first.status(), second.status());
    let ended = async {
        stands(&mut mine, "the end", |status| leadership(status).is_none().then_some(())).await;
        assert!(!old.holds());
        Instant::now()
    };
    let began = async {
        stands(&mut theirs, "the takeover", leadership).await;
        Instant::now()
    };
    let (ended, began) = tokio::join!(ended, began);
    assert!(ended < began, "led {:?} too long", ended.duration_since(began));
    proxy.resume();
    follows(&first, "second").await;
    assert!(!write(&apart, &old, "old").await, "a late write of an old leader changes nothing");
}

/// Twenty leaders, each killed while it writes: what was written was written by whoever led.
#[tokio::test]
async fn through_twenty_takeovers_no_write_of_an_old_leader_gets_through() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let mut current = candidate(&store, "0");
    let mut old: Vec<Leadership> = Vec::new();
    for round in 0..20 {
        let leadership = leads(&current).await;
        let standby = candidate(&store, "next");
        let writer = tokio::spawn({
            let (store, leadership) = (store.clone(), leadership.clone());
            async move {
                let mut written = 0u32;
                while write(&store, &leadership, &format!("{round}")).await {
                    written += 1;
                }
                written
            }
        });
        within("a write", async {
            while store
                .get("/work")
                .await
                .unwrap()
                .is_none_or(|entry| entry.value != format!("{round}").as_bytes())
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        // A kill, with the time to live cut short from outside.
        drop(current);
        etcd.revoke(leadership.lease()).await.unwrap();
        assert!(within("the last write", writer).await.unwrap() > 0);
        let next = leads(&standby).await;
        old.push(leadership);
        for former in &old {
            assert!(!write(&store, former, "late").await, "round {round}");
        }
        assert!(write(&store, &next, "taken over").await);
        current = standby;
    }
    let lease = leads(&current).await.lease();
    let holds = Transaction::new().when(Compare::Lease { key: KEY.to_owned(), lease }).put("/work", "end");
    assert!(store.commit(holds).await.unwrap().succeeded);
}

/// Five candidates that come and go: at no revision do two of them lead.
#[tokio::test]
async fn leaderships_never_overlap() {
    let etcd = Etcd::start(3).await.unwrap();
    let store = store(&etcd);
    let mut spans = Vec::new();
    let mut candidates: Vec<_> = (0..5).map(|_| candidate(&store, "one of five")).collect();
    for round in 0..10 {
        let (index, leader) = within("a leader", async {
            loop {
                let found = candidates.iter().enumerate().find_map(|(index, candidate)| {
                    leadership(&candidate.status().borrow()).map(|leader| (index, leader))
                });
                if let Some(found) = found {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        let others = candidates.iter().enumerate().filter(|(other, _)| *other != index);
        assert!(
            others.filter_map(|(_, other)| leadership(&other.status().borrow())).all(|other| !other.holds()),
            "two lead in round {round}"
        );
        assert!(write(&store, &leader, "1").await);
        spans.push((leader.since(), store.revision().await.unwrap()));
        let gone = candidates.swap_remove(index);
        if round % 2 == 0 {
            gone.resign(Duration::from_secs(3)).await.unwrap();
        } else {
            drop(gone);
        }
        candidates.push(candidate(&store, "one of five"));
    }
    for pair in spans.windows(2) {
        assert!(pair[0].1 < pair[1].0, "{spans:?}");
    }
}
