//! Leaders that come and go: nothing is lost, nothing is doubled.

use std::time::{Duration, Instant};

use convoy_keys::{
    CLUSTER, Desired, FREEZE, LEADER, MachineId, MachineRecord, RESUME, Record, SCHEDULE, machine_key,
    unit_key,
};
use convoy_store::{Compare, Transaction};
use convoy_unit_files::UnitName;

use crate::agent::Kind;
use crate::fleet::{Fleet, unit, within};
use crate::placing::wait_for_state;

#[tokio::test]
async fn a_leader_that_stops_is_followed_within_milliseconds() {
    let mut fleet = Fleet::start(1, &["m1"]).await;
    let (first, _) = fleet.leader().await;
    assert_eq!(first, "s1");
    fleet.scheduler("s2");
    // It is a candidate as soon as it follows the key; a moment is all it needs, and losing it only makes this slower.
    tokio::time::sleep(Duration::from_millis(300)).await;
    fleet.stop("s1").await;
    let start = Instant::now();
    assert_eq!(fleet.leader().await.0, "s2");
    fleet.launch("a.service", &unit("")).await;
    fleet.home("a.service").await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

/// Twenty leaders are killed while units are submitted, changed and destroyed.
#[tokio::test]
async fn twenty_killed_leaders_lose_nothing_and_double_nothing() {
    let mut fleet = Fleet::start(1, &["m1", "m2", "m3", "m4"]).await;
    fleet.scheduler("s2");
    let store = fleet.store.clone();
    let submits = tokio::spawn(async move {
        for number in 0..100 {
            let name = UnitName::parse(&format!("app@{number}.service")).unwrap();
            let options =
                if number % 3 == 0 { format!("Conflicts=app@{}.service", number + 1) } else { String::new() };
            let record = convoy_keys::UnitRecord {
                text: unit(&options),
                desired: Desired::Launched,
                compatible: false,
                restarts: 0,
            };
            let value = Record::to_json(&record).unwrap();
            store.put(&unit_key(&name), &value).await.unwrap();
            if number % 10 == 9 {
                let gone = UnitName::parse(&format!("app@{}.service", number - 5)).unwrap();
                store.delete(&unit_key(&gone)).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    for round in 0..20 {
        let killed = fleet.kill_leader().await;
        fleet.scheduler(&killed);
        within("another leader", async {
            while fleet.store.get(LEADER).await.unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        tokio::time::sleep(Duration::from_millis(10 * (round % 7))).await;
    }
    within("the submits", submits).await.unwrap();
    let wanted: Vec<String> =
        (0..100).filter(|number| number % 10 != 4).map(|number| format!("app@{number}.service")).collect();
    let schedule = fleet
        .until("all units", |schedule| {
            schedule.len() == wanted.len() && wanted.iter().all(|name| schedule.contains_key(name))
        })
        .await;
    assert!(schedule.values().all(|machines| machines.len() == 1), "{schedule:#?}");
    for name in &wanted {
        wait_for_state(&fleet, &fleet.home(name).await, name).await;
        assert_eq!(fleet.starts(name), 1, "{name}");
    }
    fleet.nothing_ran_twice();
}

#[tokio::test]
async fn an_old_leaders_write_is_refused() {
    let mut fleet = Fleet::start(1, &["m1"]).await;
    let (_, lease) = fleet.leader().await;
    fleet.kill_leader().await;
    fleet.scheduler("s2");
    fleet.leader().await;
    let guard = Compare::Lease { key: LEADER.to_owned(), lease };
    let late = Transaction::new().when(guard).put("/convoy/schedule/m1/late.service", "{}");
    assert!(!fleet.store.commit(late).await.unwrap().succeeded);
}

#[tokio::test]
async fn a_new_leader_finishes_the_move_of_the_old_one() {
    let mut fleet = Fleet::start(1, &[]).await;
    for id in ["m1", "m2"] {
        fleet.machine(id, Kind { stop: Duration::from_millis(1500), ..Kind::default() }).await;
    }
    fleet.launch("a.service", &unit("")).await;
    let home = fleet.home("a.service").await;
    wait_for_state(&fleet, &home, "a.service").await;
    let other = if home == "m1" { "m2" } else { "m1" };
    let asked = convoy_keys::MoveRecord { machine: MachineId::parse(other).unwrap() };
    let key = convoy_keys::move_key(&UnitName::parse("a.service").unwrap());
    fleet.store.put(&key, &Record::to_json(&asked).unwrap()).await.unwrap();
    fleet.until("the first half", |schedule| !schedule.contains_key("a.service")).await;
    fleet.kill_leader().await;
    fleet.scheduler("s2");
    assert_eq!(fleet.home("a.service").await, other);
    fleet.nothing_ran_twice();
    assert_eq!(fleet.starts("a.service"), 2);
}

#[tokio::test]
async fn many_machines_lost_at_once_freeze_moves_until_somebody_says_they_are_lost() {
    let mut fleet = Fleet::start(1, &["m1", "m2", "m3", "m4"]).await;
    for number in 0..8 {
        fleet.launch(&format!("a@{number}.service"), &unit("")).await;
    }
    let before = fleet.until("eight units", |schedule| schedule.len() == 8).await;
    for name in before.keys() {
        wait_for_state(&fleet, &fleet.home(name).await, name).await;
    }
    // Both leases end in one moment, as when a switch dies.
    let leases = [fleet.agents["m1"].lease().await, fleet.agents["m2"].lease().await];
    for id in ["m1", "m2"] {
        fleet.agents.remove(id).unwrap().crash();
    }
    let (first, second) = tokio::join!(fleet.etcd.revoke(leases[0]), fleet.etcd.revoke(leases[1]));
    first.and(second).unwrap();
    within("the freeze", async {
        while fleet.store.get(FREEZE).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    // New units go to the machines that are left.
    fleet.launch("new.service", &unit("")).await;
    let home = fleet.home("new.service").await;
    assert!(home == "m3" || home == "m4");
    let frozen = fleet.schedule().await;
    let left: usize =
        ["m1", "m2"].iter().map(|id| frozen.values().filter(|machines| machines.contains(*id)).count()).sum();
    // One of the two may have been noticed first, and its units moved before the other was gone.
    assert!(left >= 2, "{frozen:?}");

    fleet.store.put(RESUME, b"").await.unwrap();
    fleet
        .until("the end of the freeze", |schedule| {
            schedule.values().all(|machines| !machines.contains("m1") && !machines.contains("m2"))
        })
        .await;
    within("the end of the record", async {
        while fleet.store.get(FREEZE).await.unwrap().is_some()
            || fleet.store.get(RESUME).await.unwrap().is_some()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(fleet.schedule().await.len(), 9);
}

/// When machines come back, etcd may elect anew, and the leader changes: nobody who leads then moves what the first one
/// left where it was, neither while both machines are away nor when only one of them is back.
#[tokio::test]
async fn a_freeze_outlives_its_leaders() {
    let mut fleet = Fleet::start(1, &["m1", "m2", "m3", "m4"]).await;
    for number in 0..8 {
        fleet.launch(&format!("a@{number}.service"), &unit("")).await;
    }
    fleet.until("eight units", |schedule| schedule.len() == 8).await;
    let leases = [fleet.agents["m1"].lease().await, fleet.agents["m2"].lease().await];
    for id in ["m1", "m2"] {
        fleet.agents.remove(id).unwrap().crash();
    }
    let (first, second) = tokio::join!(fleet.etcd.revoke(leases[0]), fleet.etcd.revoke(leases[1]));
    first.and(second).unwrap();
    within("the freeze", async {
        while fleet.store.get(FREEZE).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let frozen = fleet.schedule().await;
    let has_units = |id: &str| frozen.values().any(|machines| machines.contains(id));
    // One of the two may have been noticed first, and its units moved before the other was gone.
    let (last, other) = if has_units("m2") { ("m2", "m1") } else { ("m1", "m2") };
    assert!(has_units(last), "{frozen:?}");

    for (leader, returns) in [("s2", None), ("s3", Some(other))] {
        fleet.kill_leader().await;
        if let Some(returns) = returns {
            fleet.machine(returns, Kind::default()).await;
        }
        fleet.scheduler(leader);
        let name = format!("{leader}.service");
        fleet.launch(&name, &unit("")).await;
        // It has looked, and written what it had to write, when a new unit has its place.
        fleet.home(&name).await;
        let schedule = fleet.schedule().await;
        assert!(frozen.iter().all(|(name, machines)| schedule[name] == *machines), "{leader}: {schedule:?}");
        assert!(fleet.store.get(FREEZE).await.unwrap().is_some(), "{leader}");
    }
    fleet.machine(last, Kind::default()).await;
    within("the end of the freeze", async {
        while fleet.store.get(FREEZE).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let schedule = fleet.schedule().await;
    assert!(frozen.iter().all(|(name, machines)| schedule[name] == *machines), "{schedule:?}");
}

/// A machine's record vanishes and is back a moment later. Either its unit was moved while there was no record, or it
/// stays; and a leader whose write came too late reads anew, and goes on leading.
#[tokio::test]
async fn a_machine_that_is_back_in_the_same_moment_is_not_robbed() {
    let fleet = Fleet::start(1, &["m2", "m3"]).await;
    let leader = fleet.leader().await;
    let key = machine_key(&MachineId::parse("m1").unwrap());
    let record = MachineRecord {
        name: "m1".into(),
        boot_id: "b1".into(),
        metadata: [("disk".to_owned(), "fast".to_owned())].into(),
        ..MachineRecord::default()
    };
    let record = record.to_json().unwrap();
    fleet.store.put(&key, &record).await.unwrap();
    let text = format!("{}\n[X-Convoy]\nPrefer=disk=fast:1000\n", unit(""));
    for round in 0..30 {
        let name = format!("a@{round}.service");
        fleet.launch(&name, &text).await;
        assert_eq!(fleet.home(&name).await, "m1");
        fleet.store.delete(&key).await.unwrap();
        tokio::time::sleep(Duration::from_micros(500 * round)).await;
        fleet.store.put(&key, &record).await.unwrap();
        // When the next one has its place, all of that has been dealt with.
        let next = format!("next@{round}.service");
        fleet.launch(&next, &unit("")).await;
        fleet.home(&next).await;
        let back = fleet.store.get(&key).await.unwrap().unwrap().create_revision;
        let listed = fleet.store.list(SCHEDULE).await.unwrap();
        let (place, entry) = listed.entries.iter().find(|(key, _)| key.ends_with(&name)).unwrap();
        let stayed = place.starts_with("/convoy/schedule/m1/");
        assert!(stayed || entry.mod_revision < back, "{place} at {:?}, back at {back:?}", entry.mod_revision);
    }
    assert_eq!(fleet.leader().await, leader);
    fleet.nothing_ran_twice();
}

/// Cut off together, but their leases end one after the other: not even the first one's units are moved.
#[tokio::test]
async fn leases_that_run_out_one_after_another_freeze_all_the_same() {
    let mut fleet = Fleet::start(1, &["m3", "m4"]).await;
    let kind = Kind { ttl: Duration::from_secs(3), ..Kind::default() };
    fleet.machine("m1", kind.clone()).await;
    // A third of the time to live is one beat: this one beats half a beat later.
    tokio::time::sleep(Duration::from_millis(500)).await;
    fleet.machine("m2", kind.clone()).await;
    for number in 0..8 {
        fleet.launch(&format!("a@{number}.service"), &unit("")).await;
    }
    let before = fleet.until("eight units", |schedule| schedule.len() == 8).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for id in ["m1", "m2"] {
        fleet.agents.remove(id).unwrap().crash();
    }
    within("the freeze", async {
        while fleet.store.get(FREEZE).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(fleet.schedule().await, before);
    for id in ["m1", "m2"] {
        fleet.machine(id, kind.clone()).await;
    }
    within("the end of the freeze", async {
        while fleet.store.get(FREEZE).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(fleet.schedule().await, before);
}

#[tokio::test]
async fn the_store_gets_its_name_once() {
    let mut fleet = Fleet::start(1, &["m1"]).await;
    fleet.launch("a.service", &unit("")).await;
    fleet.home("a.service").await;
    let name = fleet.store.get(CLUSTER).await.unwrap().unwrap();
    fleet.scheduler("s2");
    fleet.stop("s1").await;
    fleet.launch("b.service", &unit("")).await;
    fleet.home("b.service").await;
    assert_eq!(fleet.store.get(CLUSTER).await.unwrap().unwrap(), name);
}
