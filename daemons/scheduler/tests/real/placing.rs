//! Good days: units are placed, moved, updated and removed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use convoy_keys::{
    Desired, MOVES, MachineId, MaintenanceMode, MaintenanceRecord, MoveRecord, Record, maintenance_key,
    move_key, unit_key,
};
use convoy_unit_files::UnitName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::agent::Kind;
use crate::fleet::{Fleet, unit};

const CONFLICT: &str = "Conflicts=someapp@*.service";

#[tokio::test]
async fn units_are_placed_spread_and_removed() {
    let fleet = Fleet::start(1, &["m1", "m2", "m3", "m4"]).await;
    for number in 1..=4 {
        fleet.launch(&format!("someapp@{number}.service"), &unit(CONFLICT)).await;
        let sidekick = unit(&format!("MachineOf=someapp@{number}.service"));
        fleet.launch(&format!("registrar@someapp-{number}.service"), &sidekick).await;
    }
    let schedule = fleet.until("eight units", |schedule| schedule.len() == 8).await;
    let homes: BTreeSet<_> = (1..=4).map(|number| &schedule[&format!("someapp@{number}.service")]).collect();
    assert_eq!(homes.len(), 4, "{schedule:?}");
    for number in 1..=4 {
        let app = &schedule[&format!("someapp@{number}.service")];
        assert_eq!(&schedule[&format!("registrar@someapp-{number}.service")], app);
    }
    fleet.submit("someapp@1.service", &unit(CONFLICT), Desired::Inactive).await;
    fleet.store.delete(&unit_key(&UnitName::parse("someapp@2.service").unwrap())).await.unwrap();
    fleet
        .until("two are gone", |schedule| {
            !schedule.contains_key("someapp@1.service") && !schedule.contains_key("someapp@2.service")
        })
        .await;
}

#[tokio::test]
async fn a_lost_machine_is_reacted_to_in_milliseconds() {
    let mut fleet = Fleet::start(1, &["m1", "m2", "m3"]).await;
    let mut fastest = Duration::MAX;
    // Tests beside this one may take the processor for a while; not every time.
    for round in 1..=5 {
        for number in 0..30 {
            fleet.launch(&format!("a{round}@{number}.service"), &unit("")).await;
        }
        let before = fleet.until("thirty more", |schedule| schedule.len() == 30 * round).await;
        let start = Instant::now();
        fleet.lose("m2").await;
        let after = fleet
            .until("m2 is empty", |schedule| schedule.values().all(|machines| !machines.contains("m2")))
            .await;
        fastest = fastest.min(start.elapsed());
        assert_eq!(after.len(), before.len());
        for (unit, machines) in &before {
            assert!(machines.contains("m2") || after[unit] == *machines, "{unit} moved without need");
        }
        if fastest < Duration::from_secs(1) {
            return;
        }
        fleet.machine("m2", Kind::default()).await;
    }
    panic!("{fastest:?} at best");
}

#[tokio::test]
async fn sixty_units_at_once() {
    let fleet = Fleet::start(1, &["m1", "m2", "m3", "m4"]).await;
    let names: Vec<String> = (0..60).map(|number| format!("app@{number}.service")).collect();
    let before = fleet.store.revision().await.unwrap();
    let text = unit("");
    let mut submits = tokio::task::JoinSet::new();
    for name in names.clone() {
        let (store, text) = (fleet.store.clone(), text.clone());
        submits.spawn(async move {
            let record =
                convoy_keys::UnitRecord { text, desired: Desired::Launched, compatible: false, restarts: 0 };
            let key = unit_key(&UnitName::parse(&name).unwrap());
            store.put(&key, &record.to_json().unwrap()).await.unwrap();
        });
    }
    submits.join_all().await;
    let start = Instant::now();
    let schedule = fleet.until("sixty units", |schedule| schedule.len() == 60).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    for machine in ["m1", "m2", "m3", "m4"] {
        let units = schedule.values().filter(|machines| machines.contains(machine)).count();
        assert_eq!(units, 15, "{machine}");
    }
    let writes = fleet.store.revision().await.unwrap().get() - before.get();
    assert!(writes < 60 + 60 + 4 * 60, "{writes} revisions for sixty submits");
    fleet.nothing_ran_twice();
}

#[tokio::test]
async fn a_move_waits_until_the_old_machine_let_go() {
    let mut fleet = Fleet::start(1, &[]).await;
    for id in ["m1", "m2"] {
        fleet.machine(id, Kind { stop: Duration::from_millis(400), ..Kind::default() }).await;
    }
    fleet.launch("a.service", &unit("")).await;
    let home = fleet.home("a.service").await;
    let other = if home == "m1" { "m2" } else { "m1" };
    wait_for_state(&fleet, &home, "a.service").await;
    let record = MoveRecord { machine: MachineId::parse(other).unwrap() };
    let key = move_key(&UnitName::parse("a.service").unwrap());
    fleet.store.put(&key, &record.to_json().unwrap()).await.unwrap();
    fleet.until("the move", |schedule| schedule.get("a.service").is_some_and(|on| on.contains(other))).await;
    assert_eq!(fleet.store.list(MOVES).await.unwrap().entries.len(), 0, "the order was removed with it");
    fleet.nothing_ran_twice();

    let nowhere = MoveRecord { machine: MachineId::parse("m9").unwrap() };
    fleet.store.put(&key, &nowhere.to_json().unwrap()).await.unwrap();
    crate::fleet::within("the refusal", async {
        while !fleet.store.list(MOVES).await.unwrap().entries.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(fleet.home("a.service").await, other);
}

#[tokio::test]
async fn a_drain_takes_one_instance_after_another_and_leaves_who_has_no_other_place() {
    let mut fleet = Fleet::start(1, &["m1"]).await;
    for number in 1..=3 {
        fleet.launch(&format!("app@{number}.service"), &unit("")).await;
    }
    fleet.launch("tied.service", &unit("MachineID=m1")).await;
    fleet.until("all on m1", |schedule| schedule.len() == 4).await;
    for number in 1..=3 {
        wait_for_state(&fleet, "m1", &format!("app@{number}.service")).await;
    }
    fleet.machine("m2", Kind { stop: Duration::from_millis(100), ..Kind::default() }).await;
    maintain(&fleet, "m1", MaintenanceMode::Drain).await;
    let schedule = fleet
        .until("the drain", |schedule| {
            (1..=3).all(|number| {
                schedule.get(&format!("app@{number}.service")).is_some_and(|on| on.contains("m2"))
            })
        })
        .await;
    assert!(schedule["tied.service"].contains("m1"), "it has no other place");
    fleet.nothing_ran_twice();
    // One after another: each left m1 only when the one before it had come up on m2.
    let runs = fleet.runs.lock().unwrap();
    let mut left: Vec<_> = runs.iter().filter(|run| run.machine == "m1").filter_map(|run| run.to).collect();
    let mut came: Vec<_> = runs.iter().filter(|run| run.machine == "m2").map(|run| run.from).collect();
    left.sort();
    came.sort();
    assert_eq!((left.len(), came.len()), (3, 3));
    for (gone, up) in left.iter().skip(1).zip(&came) {
        assert!(up <= gone, "two were away at the same time");
    }
}

#[tokio::test]
async fn a_cordoned_machine_keeps_what_it_has_and_gets_nothing() {
    let fleet = Fleet::start(1, &["m1", "m2"]).await;
    for number in 1..=4 {
        fleet.launch(&format!("app@{number}.service"), &unit("")).await;
    }
    let before = fleet.until("four units", |schedule| schedule.len() == 4).await;
    maintain(&fleet, "m1", MaintenanceMode::Cordon).await;
    for number in 5..=8 {
        fleet.launch(&format!("app@{number}.service"), &unit("")).await;
    }
    let after = fleet.until("eight units", |schedule| schedule.len() == 8).await;
    for (unit, machines) in &after {
        match before.get(unit) {
            Some(former) => assert_eq!(machines, former),
            None => assert!(machines.contains("m2"), "{unit}: {machines:?}"),
        }
    }
}

#[tokio::test]
async fn a_unit_that_keeps_failing_goes_elsewhere() {
    let fleet = Fleet::start(1, &["m1", "m2"]).await;
    fleet.launch("a.service", &unit("")).await;
    let home = fleet.home("a.service").await;
    wait_for_state(&fleet, &home, "a.service").await;
    fleet.agents[&home].fail("a.service", 2);
    fleet.agents[&home].fail("a.service", 3);
    let elsewhere = |on: &BTreeSet<String>| !on.contains(&home) && !on.is_empty();
    fleet.until("the move", |schedule| schedule.get("a.service").is_some_and(elsewhere)).await;
    fleet.nothing_ran_twice();
}

#[tokio::test]
async fn a_global_unit_is_everywhere_and_changes_machine_by_machine() {
    let mut fleet = Fleet::start(1, &["m1", "m2", "m3"]).await;
    fleet.launch("g.service", &unit("Global=true")).await;
    fleet.until("everywhere", |schedule| schedule.get("g.service").is_some_and(|on| on.len() == 3)).await;
    fleet.machine("m4", Kind::default()).await;
    fleet.until("the newcomer", |schedule| schedule["g.service"].len() == 4).await;
    for id in ["m1", "m2", "m3", "m4"] {
        wait_for_state(&fleet, id, "g.service").await;
    }
    fleet.submit_as("g.service", &unit("Global=true"), Desired::Launched, 1).await;
    crate::fleet::within("the rollout", async {
        loop {
            let entries = fleet.entries().await;
            if entries.values().all(|record| record.restarts == 1) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let runs = fleet.runs.lock().unwrap();
    let mut second: Vec<_> = runs.iter().skip(4).map(|run| (run.from, run.machine.clone())).collect();
    second.sort();
    let order: Vec<_> = second.iter().map(|(_, machine)| machine.as_str()).collect();
    // The last may not have come up yet.
    assert!(["m1", "m2", "m3", "m4"].starts_with(&order) && order.len() >= 3, "{order:?}");
}

#[tokio::test]
async fn at_rest_nothing_is_written_and_nothing_is_read() {
    let mut fleet = Fleet::start(1, &["m1", "m2"]).await;
    fleet.scheduler("s2");
    for number in 0..10 {
        fleet.launch(&format!("a@{number}.service"), &unit("")).await;
    }
    fleet.until("ten units", |schedule| schedule.len() == 10).await;
    for number in 0..10 {
        let name = format!("a@{number}.service");
        let home = fleet.home(&name).await;
        wait_for_state(&fleet, &home, &name).await;
    }
    // What was begun before is over after a moment: the last look of the leader, the last state of an agent.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = requests(fleet.etcd.member(0).address()).await;
    assert!(before.values().any(|count| *count > 0.0), "{before:?}");
    tokio::time::sleep(Duration::from_secs(4)).await; // longer than the leader's lease
    assert_eq!(requests(fleet.etcd.member(0).address()).await, before);
}

/// How many keys etcd has read and written, by its own account.
async fn requests(address: std::net::SocketAddr) -> BTreeMap<String, f64> {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: etcd\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let wanted =
        ["etcd_mvcc_range_total", "etcd_mvcc_put_total", "etcd_mvcc_delete_total", "etcd_mvcc_txn_total"];
    let counters = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        let name = name.replace("etcd_debugging_mvcc", "etcd_mvcc");
        wanted.contains(&name.as_str()).then(|| (name, value.parse().unwrap()))
    });
    counters.collect()
}

pub(crate) async fn wait_for_state(fleet: &Fleet, machine: &str, unit: &str) {
    let (machine, unit) = (MachineId::parse(machine).unwrap(), UnitName::parse(unit).unwrap());
    let key = convoy_keys::state_key(&machine, &unit);
    crate::fleet::within("a state", async {
        while fleet.store.get(&key).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn maintain(fleet: &Fleet, machine: &str, mode: MaintenanceMode) {
    let record = MaintenanceRecord { mode, since: 0, until: None };
    let key = maintenance_key(&MachineId::parse(machine).unwrap());
    fleet.store.put(&key, &record.to_json().unwrap()).await.unwrap();
}
