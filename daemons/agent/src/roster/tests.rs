//! The roster, played through: what is heard, and what follows.

use std::collections::BTreeMap;
use std::time::Duration;

use convoy_keys::CLUSTER;
use convoy_store::{Change, Entry, Revision, Snapshot};
use convoy_systemd::{JobResult, ServiceEnd, UnitStatus};
use proptest::prelude::*;

use super::*;
use crate::held::Traits;

const SECOND: Duration = Duration::from_secs(1);

fn unit(name: &str) -> UnitName {
    UnitName::parse(name).unwrap()
}

fn hash(text: &str) -> String {
    crate::files::sha256(text)
}

fn status(active: &str, invocation: &str) -> UnitStatus {
    UnitStatus {
        load: "loaded".into(),
        active: active.into(),
        invocation_id: invocation.into(),
        ..UnitStatus::default()
    }
}

/// A roster with its store, systemd and disk around it, all of them played.
struct Play {
    roster: Roster,
    now: Instant,
    revision: i64,
    entries: BTreeMap<String, Entry>,
    /// What every unit's text says.
    traits: BTreeMap<String, Traits>,
    invocations: u32,
    /// What was done, in order.
    deeds: Vec<String>,
    /// Texts that the store doesn't have.
    missing: BTreeSet<String>,
    /// The store's answer when it is asked for its name.
    name: Confirmation,
}

impl Play {
    fn new() -> Self {
        let now = Instant::now();
        let machine = MachineId::parse("m1").unwrap();
        let manifest = Manifest { cluster: Some("ours".into()), ..Manifest::default() };
        let mut roster = Roster::adopt(machine, manifest, &BTreeMap::new(), now, &BTreeMap::new());
        roster.set_lease(true);
        let mut play = Self {
            roster,
            now,
            revision: 0,
            entries: BTreeMap::new(),
            traits: BTreeMap::new(),
            invocations: 0,
            deeds: Vec::new(),
            missing: BTreeSet::new(),
            name: Confirmation::Named("ours".into()),
        };
        play.put(CLUSTER, r#"{"id":"ours"}"#);
        play
    }

    fn put(&mut self, key: &str, value: &str) -> Entry {
        self.revision += 1;
        let revision = Revision::new(self.revision);
        let entry = Entry {
            key: key.to_owned(),
            value: value.into(),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            lease: 0,
        };
        self.entries.insert(key.to_owned(), entry.clone());
        entry
    }

    fn entry(&mut self, name: &str, text: &str, desired: &str, restarts: u64) -> Change {
        let value = format!(r#"{{"hash":"{}","desired":"{desired}","restarts":{restarts}}}"#, hash(text));
        Change::Put(self.put(&format!("/convoy/schedule/m1/{name}"), &value))
    }

    /// Schedules units in one change; the text is the name and the number.
    fn schedule(&mut self, units: &[(&str, u32, &str, u64)]) -> &mut Self {
        let changes: Vec<Change> = units
            .iter()
            .map(|(name, text, desired, restarts)| {
                self.entry(name, &format!("{name} {text}"), desired, *restarts)
            })
            .collect();
        assert_eq!(self.roster.take_changes(&changes, self.now), []);
        self.settle()
    }

    fn delete(&mut self, name: &str) -> &mut Self {
        self.revision += 1;
        let key = format!("/convoy/schedule/m1/{name}");
        self.entries.remove(&key);
        let mod_revision = Revision::new(self.revision);
        self.roster.take_changes(&[Change::Delete { key, mod_revision }], self.now);
        self.settle()
    }

    fn list(&mut self) -> &mut Self {
        let snapshot = Snapshot { revision: Revision::new(self.revision), entries: self.entries.clone() };
        self.roster.take_listing(&snapshot, self.now);
        self.settle()
    }

    /// Does everything that is to be done, as a machine does on which all goes well.
    fn settle(&mut self) -> &mut Self {
        for _ in 0..50 {
            let work = self.roster.work(self.now);
            let done = Work { save: false, relist: false, ..work.clone() }.is_empty();
            self.perform(work);
            if done {
                return self;
            }
        }
        panic!("it does not come to rest: {:?}", self.deeds);
    }

    fn perform(&mut self, work: Work) {
        let now = self.now;
        for (name, wanted) in work.fetches {
            let text = (0..10).map(|number| format!("{name} {number}")).find(|text| hash(text) == wanted);
            let text = text.filter(|_| !self.missing.contains(name.as_str())).map(|text| Text {
                hash: wanted.clone(),
                text,
                traits: self.traits.get(name.as_str()).cloned().unwrap_or_default(),
            });
            self.deeds.push(format!("fetch {name}"));
            self.roster.take_text(&name, &wanted, text.ok_or_else(|| "missing".to_owned()), now);
        }
        if work.confirm {
            self.deeds.push("confirm".into());
            self.roster.take_confirmation(&self.name.clone(), now);
        }
        for name in work.stops {
            self.deeds.push(format!("stop {name}"));
            self.roster.take_status(&name, &status("inactive", ""), None, now);
            self.roster.take_job(&name, Job::Stop, &JobEnd::Ended(JobResult::Done), now);
        }
        if let Some(batch) = work.batch {
            let mut outcome = BatchOutcome::default();
            for write in &batch.writes {
                self.deeds.push(format!("write {}", write.unit));
                let before = self.roster.units[&write.unit].status.clone();
                outcome.statuses.insert(write.unit.clone(), before.unwrap_or_else(|| status("inactive", "")));
            }
            self.deeds.extend(batch.removes.iter().map(|(name, _)| format!("remove {name}")));
            self.deeds.push("reload".into());
            self.roster.take_batch(&batch, &outcome, now);
        }
        for launch in work.launches {
            let verb = if launch.job == Job::Restart { "restart" } else { "start" };
            self.deeds.push(format!("{verb} {}", launch.unit));
            self.invocations += 1;
            let invocation = self.invocations.to_string();
            self.roster.take_status(&launch.unit, &status("active", &invocation), None, now);
            self.roster.take_job(&launch.unit, launch.job, &JobEnd::Ended(JobResult::Done), now);
        }
    }

    /// What was done since the last call.
    fn deeds(&mut self) -> Vec<String> {
        std::mem::take(&mut self.deeds)
    }

    fn state(&self, name: &str) -> convoy_keys::StateRecord {
        self.roster.states().remove(&unit(name)).unwrap()
    }

    fn pass(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self.settle()
    }

    /// The agent is killed; another one begins.
    fn killed(&mut self) -> &mut Self {
        let manifest = self.roster.manifest();
        let files: BTreeMap<UnitName, Found> = manifest
            .units
            .iter()
            .filter(|(_, held)| held.loaded)
            .map(|(name, held)| {
                let found = Found { hash: held.hash.clone(), traits: held.traits.clone(), changed: false };
                (name.clone(), found)
            })
            .collect();
        let statuses = self.roster.units.iter();
        let statuses =
            statuses.filter_map(|(name, unit)| Some((name.clone(), unit.status.clone()?))).collect();
        let machine = MachineId::parse("m1").unwrap();
        self.roster = Roster::adopt(machine, manifest, &files, self.now, &statuses);
        self.roster.set_lease(true);
        self.settle()
    }

    fn fails(&mut self, name: &str, restart: &str) -> &mut Self {
        let end = ServiceEnd { result: "exit-code".into(), restart: restart.into() };
        let invocation = self.state(name).invocation_id;
        self.roster.take_status(&unit(name), &status("failed", &invocation), Some(&end), self.now);
        self.settle()
    }
}

#[tokio::test]
async fn all_files_come_before_the_first_start_and_starts_in_order() {
    let mut play = Play::new();
    let after = |name: &str| Traits { starts_after: vec![name.to_owned()], ..Traits::default() };
    play.traits.insert("a.service".into(), after("b.service"));
    play.traits.insert("b.service".into(), after("c.service"));
    play.schedule(&[
        ("a.service", 1, "launched", 0),
        ("b.service", 1, "launched", 0),
        ("c.service", 1, "launched", 0),
        ("l.service", 1, "loaded", 0),
    ]);
    assert_eq!(
        play.deeds(),
        [
            "fetch a.service",
            "fetch b.service",
            "fetch c.service",
            "fetch l.service",
            "write a.service",
            "write b.service",
            "write c.service",
            "write l.service",
            "reload",
            "start c.service",
            "start b.service",
            "start a.service",
        ]
    );
}

#[tokio::test]
async fn each_change_of_an_entry_has_its_deeds() {
    let mut play = Play::new();
    play.schedule(&[("a.service", 1, "launched", 0)]).deeds();
    for (name, change, deeds) in [
        ("the same again", (1, "launched", 0), vec![]),
        ("a restart", (1, "launched", 1), vec!["restart a.service"]),
        (
            "another text",
            (2, "launched", 1),
            vec!["fetch a.service", "write a.service", "reload", "restart a.service"],
        ),
        ("counted anew", (2, "launched", 0), vec![]),
        ("only loaded", (2, "loaded", 0), vec!["stop a.service"]),
        (
            "another text while it is loaded",
            (3, "loaded", 0),
            vec!["fetch a.service", "write a.service", "reload"],
        ),
        ("launched again", (3, "launched", 0), vec!["start a.service"]),
        ("kept no more", (3, "inactive", 0), vec!["stop a.service", "remove a.service", "reload"]),
    ] {
        let (text, desired, restarts) = change;
        play.schedule(&[("a.service", text, desired, restarts)]);
        assert_eq!(play.deeds(), deeds, "{name}");
    }
    assert!(play.roster.states().is_empty());
}

#[tokio::test]
async fn a_text_that_is_missing_changes_nothing_and_holds_up_others_only_once() {
    let mut play = Play::new();
    play.schedule(&[("a.service", 1, "launched", 0)]).deeds();
    play.missing.insert("a.service".into());
    play.schedule(&[("a.service", 2, "launched", 0), ("b.service", 1, "launched", 0)]);
    assert_eq!(
        play.deeds(),
        ["fetch a.service", "fetch b.service", "write b.service", "reload", "start b.service"]
    );
    let state = play.state("a.service");
    assert_eq!(
        (state.active.as_str(), state.hash, state.error.is_some()),
        ("active", hash("a.service 1"), true)
    );
    play.missing.clear();
    play.pass(SECOND);
    assert_eq!(play.deeds(), ["fetch a.service", "write a.service", "reload", "restart a.service"]);
    assert_eq!(play.state("a.service").error, None);
}

#[tokio::test]
async fn a_unit_leaves_on_good_evidence_only() {
    let deleted = |name: Confirmation| {
        let mut play = Play::new();
        play.schedule(&[("a.service", 1, "launched", 0)]).deeds();
        play.name = name;
        play.delete("a.service");
        (play.deeds(), play.roster.summary().unclaimed)
    };
    let gone = vec!["confirm", "stop a.service", "remove a.service", "reload"];
    let gone: Vec<String> = gone.into_iter().map(str::to_owned).collect();
    assert_eq!(deleted(Confirmation::Named("ours".into())), (gone, 0));
    assert_eq!(deleted(Confirmation::Nameless), (vec!["confirm".to_owned()], 1));
    assert_eq!(deleted(Confirmation::Named("other".into())), (vec!["confirm".to_owned()], 1));
    assert_eq!(deleted(Confirmation::Unanswered), (vec!["confirm".to_owned()], 0), "asked again later");

    for (name, cluster, older, leaves) in [
        ("the store that we know", Some("ours"), false, true),
        ("an empty store", None, false, false),
        ("another store", Some("other"), false, false),
        ("a store that has gone back", Some("ours"), true, false),
    ] {
        let mut play = Play::new();
        play.list().schedule(&[("a.service", 1, "launched", 0)]).deeds();
        play.entries.clear();
        if let Some(cluster) = cluster {
            play.put(CLUSTER, &format!(r#"{{"id":"{cluster}"}}"#));
        }
        if older {
            play.revision = 1;
        }
        play.list();
        assert_eq!(play.deeds().contains(&"stop a.service".to_owned()), leaves, "{name}");
        assert_eq!(play.roster.summary().unclaimed, usize::from(!leaves), "{name}");
        if leaves {
            continue;
        }
        // Sticky: a later listing of the same store is no evidence either, nor is a new agent.
        play.list().killed().list();
        assert_eq!(play.deeds(), Vec::<String>::new(), "{name}");
        assert!(play.state("a.service").unclaimed);
        // Claimed again, it is left as it is.
        play.schedule(&[("a.service", 1, "launched", 0)]);
        assert_eq!(play.deeds(), Vec::<String>::new(), "{name}");
        assert!(!play.state("a.service").unclaimed);
    }
}

#[tokio::test]
async fn failures_are_counted_retried_with_growing_pauses_and_forgotten() {
    let mut play = Play::new();
    play.schedule(&[("a.service", 1, "launched", 0)]).deeds();
    for (failures, pause) in [(1, 1_u64), (2, 2), (3, 4), (4, 8)] {
        play.fails("a.service", "always");
        assert_eq!(play.state("a.service").failures, failures);
        play.pass(Duration::from_millis(pause * 1000 - 1));
        assert_eq!(play.deeds(), Vec::<String>::new());
        play.pass(Duration::from_millis(1));
        assert_eq!(play.deeds(), ["start a.service"]);
    }
    play.pass(59 * SECOND);
    assert_eq!(play.state("a.service").failures, 4);
    assert_eq!(play.roster.due(), Some(play.now + SECOND));
    play.pass(SECOND);
    assert_eq!(play.state("a.service").failures, 0);

    play.fails("a.service", "no").pass(600 * SECOND);
    assert_eq!(play.deeds(), Vec::<String>::new(), "Restart=no is obeyed");
    assert_eq!(play.state("a.service").failures, 1);
}

#[tokio::test]
async fn what_somebody_stopped_by_hand_stays_stopped() {
    let mut play = Play::new();
    play.schedule(&[("a.service", 1, "launched", 0)]).deeds();
    play.roster.take_status(&unit("a.service"), &status("inactive", "1"), None, play.now);
    play.pass(600 * SECOND).killed().list();
    assert_eq!(play.deeds(), Vec::<String>::new());
    play.schedule(&[("a.service", 1, "launched", 1)]);
    assert_eq!(play.deeds(), ["restart a.service"]);
}

fn fenced() -> Play {
    let mut play = Play::new();
    let traits = Traits { fence: Some(Fence::Lease), ..Traits::default() };
    play.traits.insert("a.service".into(), traits);
    play.schedule(&[("a.service", 1, "launched", 0)]);
    play.roster.take_fence(Fence::Lease, status("active", "f"));
    play
}

#[tokio::test]
async fn a_fenced_unit_starts_only_while_the_machine_is_announced() {
    let mut play = Play::new();
    let traits = Traits { fence: Some(Fence::Lease), ..Traits::default() };
    play.traits.insert("a.service".into(), traits);
    play.roster.set_lease(false);
    play.schedule(&[("a.service", 1, "launched", 0)]);
    assert_eq!(play.deeds(), ["fetch a.service", "write a.service", "reload"]);
    play.roster.set_lease(true);
    let work = play.roster.work(play.now);
    assert_eq!(work.launches[0].guard, Some(Revision::new(2)), "and only if the entry is still there");
}

#[tokio::test]
async fn a_unit_that_was_fenced_returns_with_the_lease() {
    let mut play = fenced();
    play.deeds();
    play.roster.set_lease(false);
    play.roster.take_fence(Fence::Lease, status("failed", "f"));
    play.roster.take_status(&unit("a.service"), &status("inactive", "1"), None, play.now);
    play.settle();
    assert_eq!(play.deeds(), Vec::<String>::new());
    assert_eq!(play.roster.summary().fenced, 1);
    play.roster.set_lease(true);
    play.settle();
    assert_eq!(play.deeds(), ["start a.service"]);
    assert_eq!(play.roster.summary().fenced, 0);
}

#[tokio::test]
async fn an_agent_that_was_away_when_the_fence_fell_sees_it_by_how_it_ended() {
    for (fence, returns) in [("failed", true), ("inactive", false)] {
        let mut play = fenced();
        play.deeds();
        // The old agent saw nothing of this.
        play.roster.units.get_mut(&unit("a.service")).unwrap().status = Some(status("inactive", "1"));
        play.killed();
        play.roster.take_fence(Fence::Lease, status(fence, "f"));
        play.list();
        let deeds: &[&str] = if returns { &["start a.service"] } else { &[] };
        assert_eq!(play.deeds(), deeds, "the fence is {fence}");
    }
}

#[tokio::test]
async fn a_stop_overtakes_a_start_that_does_not_end() {
    let mut play = Play::new();
    play.schedule(&[("a.service", 1, "loaded", 0)]).deeds();
    let change = play.entry("a.service", "a.service 1", "launched", 0);
    play.roster.take_changes(&[change], play.now);
    assert_eq!(play.roster.work(play.now).launches.len(), 1);
    play.roster.take_status(&unit("a.service"), &status("activating", "1"), None, play.now);
    assert!(play.roster.work(play.now).launches.is_empty(), "it is under way");
    play.delete("a.service");
    assert_eq!(play.deeds(), ["confirm", "stop a.service", "remove a.service", "reload"]);
    // What the start has to say comes too late for anything.
    play.roster.take_job(&unit("a.service"), Job::Start, &JobEnd::Ended(JobResult::Canceled), play.now);
    assert!(play.roster.states().is_empty());
}

#[tokio::test]
async fn a_start_under_way_when_the_agent_is_killed_is_known_by_its_run() {
    for (invocation, deeds) in [("1", vec![]), ("", vec!["start a.service"])] {
        let mut play = Play::new();
        play.schedule(&[("a.service", 1, "loaded", 0)]).deeds();
        let change = play.entry("a.service", "a.service 1", "launched", 0);
        play.roster.take_changes(&[change], play.now);
        assert_eq!(play.roster.work(play.now).launches.len(), 1);
        // systemd has begun, or hasn't, when the agent is killed; a oneshot may have ended already.
        play.roster.units.get_mut(&unit("a.service")).unwrap().status = Some(status("inactive", invocation));
        play.killed().list();
        assert_eq!(play.deeds(), deeds, "{invocation:?}");
    }
}

#[tokio::test]
async fn a_name_of_the_systems_own_and_a_value_that_is_none_are_skipped() {
    let mut play = Play::new();
    play.schedule(&[("etcd.service", 1, "launched", 0)]);
    assert_eq!(play.deeds(), Vec::<String>::new());
    assert!(play.state("etcd.service").error.is_some());
    for (key, value) in [
        ("/convoy/schedule/m1/a.service", "{"),
        ("/convoy/schedule/m1/a.service", r#"{"hash":"x","desired":"launched"}"#),
        ("/convoy/schedule/m1/../a.service", r#"{"hash":"x","desired":"launched"}"#),
        ("/convoy/schedule/m2/a.service", r#"{"hash":"x","desired":"launched"}"#),
    ] {
        let change = Change::Put(play.put(key, value));
        assert_eq!(play.roster.take_changes(&[change], play.now).len(), 1, "{key} {value}");
    }
    play.settle();
    assert_eq!(play.deeds(), Vec::<String>::new());
}

#[derive(Debug, Clone)]
enum Act {
    Schedule(u8, u32, u8, u64),
    Delete(u8),
    List,
    Kill,
    Fail(u8),
    Hours,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => (0u8..4, 0u32..3, 0u8..3, 0u64..3).prop_map(|(unit, text, desired, restarts)| Act::Schedule(unit, text, desired, restarts)),
        2 => (0u8..4).prop_map(Act::Delete),
        1 => Just(Act::List),
        1 => Just(Act::Kill),
        2 => (0u8..4).prop_map(Act::Fail),
        1 => Just(Act::Hours),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_machine_ends_up_with_its_schedule_and_then_rests(acts in prop::collection::vec(act(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _guard = runtime.enter();
        let name = |number: u8| format!("u{number}.service");
        let mut play = Play::new();
        play.list();
        for act in acts {
            match act {
                Act::Schedule(number, text, desired, restarts) => {
                    let desired = ["inactive", "loaded", "launched"][usize::from(desired)];
                    play.schedule(&[(&name(number), text, desired, restarts)]);
                }
                Act::Delete(number) => {
                    if play.entries.contains_key(&format!("/convoy/schedule/m1/{}", name(number))) {
                        play.delete(&name(number));
                    }
                }
                Act::List => { play.list(); }
                Act::Kill => { play.killed().list(); }
                Act::Fail(number) => {
                    let running = play.roster.states().get(&unit(&name(number))).is_some_and(|state| state.active == "active");
                    if running {
                        play.fails(&name(number), "always");
                    }
                }
                Act::Hours => { play.pass(3600 * SECOND); }
            }
        }
        play.pass(3600 * SECOND);
        play.deeds();
        play.list().killed().list().pass(3600 * SECOND);
        prop_assert_eq!(play.deeds(), Vec::<String>::new(), "at rest nothing is done");
        for number in 0..4 {
            let entry = play.entries.get(&format!("/convoy/schedule/m1/{}", name(number)));
            let wish: Option<serde_json::Value> = entry.map(|entry| serde_json::from_slice(&entry.value).unwrap());
            let states = play.roster.states();
            let state = states.get(&unit(&name(number)));
            match wish.filter(|wish| wish["desired"] != "inactive") {
                None => prop_assert_eq!(state, None),
                Some(wish) => {
                    let state = state.unwrap();
                    prop_assert_eq!(wish["hash"].as_str(), Some(state.hash.as_str()));
                    prop_assert_eq!(state.active == "active", wish["desired"] == "launched");
                }
            }
        }
    }
}
