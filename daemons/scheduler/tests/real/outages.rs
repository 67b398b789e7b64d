//! Bad days: the store is slow, away, or has lost everything.

use std::time::Duration;

use convoy_keys::{Desired, SCHEDULE, unit_key};
use convoy_scheduler::Policy;
use convoy_test_etcd::{Etcd, Options};
use convoy_unit_files::{Definition, Strictness, UnitName};

use crate::agent::Kind;
use crate::fleet::{Fleet, unit, within};
use crate::placing::wait_for_state;

#[tokio::test]
async fn a_frozen_member_stops_nothing_and_work_goes_on() {
    let fleet = Fleet::start(3, &["m1", "m2"]).await;
    fleet.launch("a.service", &unit("")).await;
    let home = fleet.home("a.service").await;
    wait_for_state(&fleet, &home, "a.service").await;
    for number in 0..3 {
        fleet.etcd.member(number).freeze().unwrap();
        let name = format!("b@{number}.service");
        within("a submit", async {
            // The first try may meet the frozen member.
            let record = convoy_keys::UnitRecord {
                text: unit(""),
                desired: Desired::Launched,
                compatible: false,
                restarts: 0,
            };
            let value = convoy_keys::Record::to_json(&record).unwrap();
            let key = unit_key(&UnitName::parse(&name).unwrap());
            while fleet.store.put(&key, &value).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        within("its place", async {
            loop {
                let listed = fleet.store.list(SCHEDULE).await;
                if listed.is_ok_and(|list| list.entries.keys().any(|key| key.ends_with(&name))) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        fleet.etcd.member(number).thaw().unwrap();
        fleet.etcd.leader().await.unwrap();
    }
    assert_eq!(fleet.home("a.service").await, home);
    assert_eq!(fleet.starts("a.service"), 1);
    fleet.nothing_ran_twice();
}

/// A wiped store: machines keep what runs, and it is adopted where it runs when its units are submitted again.
#[tokio::test]
async fn a_wiped_store_adopts_what_runs() {
    let mut fleet = Fleet::with(
        Etcd::start_with(Options::default()).await.unwrap(),
        // What is found running is adopted without waiting for its end; it is long enough for any delay in this test.
        Policy { settle: Duration::from_secs(50), ..Policy::default() },
        &[],
    )
    .await;
    let text = unit("");
    let hash = |name: &str| {
        let name = UnitName::parse(name).unwrap();
        Definition::read(&name, name.as_str(), &text, Strictness::Strict).unwrap().hash
    };
    // What a store that was never led finds: units in it before any machine, machines with units before their units.
    for number in 1..=4 {
        fleet.launch(&format!("app@{number}.service"), &text).await;
    }
    for (id, units) in [
        ("m1", &["app@1.service", "app@2.service", "app@3.service"][..]),
        ("m2", &["app@4.service", "stranger.service"]),
    ] {
        let running = units.iter().map(|unit| ((*unit).to_owned(), hash(unit))).collect();
        fleet.machine(id, Kind { running, ..Kind::default() }).await;
    }
    let schedule = fleet.until("four units", |schedule| schedule.len() == 4).await;
    for number in 1..=3 {
        assert!(schedule[&format!("app@{number}.service")].contains("m1"), "{schedule:?}");
    }
    assert!(schedule["app@4.service"].contains("m2"), "{schedule:?}");
    // Submitted again later: it is adopted as well.
    fleet.launch("stranger.service", &text).await;
    assert_eq!(fleet.home("stranger.service").await, "m2");
    for name in ["app@1.service", "app@4.service", "stranger.service"] {
        assert_eq!(fleet.starts(name), 1, "{name} was not restarted");
    }
}

/// The members' data are thrown away under everybody's feet, and the units submitted again.
#[tokio::test]
async fn a_store_that_loses_everything_gets_a_leader_and_schedules_again() {
    let mut fleet = Fleet::start(1, &["m1", "m2"]).await;
    fleet.launch("a.service", &unit("")).await;
    fleet.home("a.service").await;
    fleet.etcd.wipe("another").await.unwrap();
    within("the submit", async {
        let record = convoy_keys::UnitRecord {
            text: unit(""),
            desired: Desired::Launched,
            compatible: false,
            restarts: 0,
        };
        let value = convoy_keys::Record::to_json(&record).unwrap();
        let key = unit_key(&UnitName::parse("b.service").unwrap());
        while fleet.store.put(&key, &value).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    fleet.home("b.service").await;
}
