//! A cluster without machines: real etcd, and a task that does in it what scheduler and agents do.
//!
//! Words in a unit's text play its part: FAILS never starts, ANNOUNCED has a registrar, ONCE runs and ends.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use convoy_keys::{
    Desired, InstanceRecord, InstanceState, MachineId, Record, ScheduleRecord, StateRecord, move_key,
    schedule_key, state_key,
};
use convoy_store::{FeedEvent, Revision, Store, StoreSettings};
use convoy_test_etcd::Etcd;
use convoy_unit_files::UnitName;
use convoyctl::{picture::Picture, plan::Question};
use tokio::{process::Command, task::JoinHandle, time::timeout};

/// No command of a test takes longer.
const LONGEST: Duration = Duration::from_secs(60);

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Lines of the output, sorted: units that are waited for together come in any order.
    pub(crate) fn sorted(&self) -> Vec<&str> {
        let mut lines: Vec<_> = self.out.lines().collect();
        lines.sort_unstable();
        lines
    }
}

pub(crate) struct World {
    pub(crate) store: Store,
    endpoint: String,
    folder: tempfile::TempDir,
    task: JoinHandle<()>,
    _etcd: Etcd,
}

impl Drop for World {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl World {
    /// Machines `m1`, `m2` … with the addresses 10.0.0.1 …, in zones `a` and `b` by turns.
    pub(crate) async fn start(machines: usize) -> Self {
        let etcd = Etcd::start(1).await.unwrap();
        let endpoint = etcd.endpoints().remove(0);
        let settings = StoreSettings { endpoints: vec![endpoint.clone()], ..StoreSettings::default() };
        let store = Store::new(settings).unwrap();
        for number in 1..=machines {
            let zone = if number % 2 == 1 { "a" } else { "b" };
            let record = format!(
                r#"{{"name":"host{number}","address":"10.0.0.{number}","metadata":{{"zone":"{zone}"}}}}"#
            );
            store.put(&format!("/convoy/machines/m{number}"), record.as_bytes()).await.unwrap();
        }
        store.put("/convoy/leader", br#"{"machine":"m1","since":1}"#).await.unwrap();
        let task = tokio::spawn(play(store.clone()));
        Self { store, endpoint, folder: tempfile::tempdir().unwrap(), task, _etcd: etcd }
    }

    /// Nobody schedules any more.
    pub(crate) fn stop_scheduling(&self) {
        self.task.abort();
    }

    /// A file in the directory that commands run in.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs convoyctl.
    pub(crate) async fn run(&self, line: &str) -> Ended {
        let words: Vec<&str> = line.split(' ').collect();
        self.run_words(&words).await
    }

    async fn run_words(&self, words: &[&str]) -> Ended {
        run(self.folder.path(), &self.endpoint, words).await
    }

    /// Runs convoyctl with another place for programs.
    pub(crate) async fn run_with_path(&self, path: &str, line: &str) -> Ended {
        let words: Vec<&str> = line.split(' ').collect();
        run_in(self.folder.path(), &self.endpoint, Some(path), &words).await
    }

    /// Puts a value and waits for nothing.
    pub(crate) async fn put(&self, key: &str, value: &str) {
        self.store.put(key, value.as_bytes()).await.unwrap();
    }

    /// The machine of a unit.
    pub(crate) async fn machine_of(&self, unit: &str) -> Option<String> {
        let snapshot = self.store.list("/convoy/").await.unwrap();
        let picture = Picture::of(snapshot.entries.values());
        picture.machine_of(&UnitName::parse(unit).unwrap()).map(ToString::to_string)
    }

    /// Waits until a key is there, or gone.
    pub(crate) async fn wait_key(&self, key: &str, there: bool) {
        let waiting = async {
            while self.store.get(key).await.unwrap().is_some() != there {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(LONGEST, waiting).await.is_ok(), "{key}: there is {}", !there);
    }
}

pub(crate) async fn run(directory: &Path, endpoint: &str, words: &[&str]) -> Ended {
    run_in(directory, endpoint, None, words).await
}

async fn run_in(directory: &Path, endpoint: &str, path: Option<&str>, words: &[&str]) -> Ended {
    // Files rather than pipes: what a command that hangs has said so far is worth having.
    let said = [tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap()];
    let mut command = Command::new(env!("CARGO_BIN_EXE_convoyctl"));
    if let Some(path) = path {
        command.env("PATH", format!("{path}:/usr/bin:/bin"));
    }
    let mut child = command
        .args(words)
        .current_dir(directory)
        .env("CONVOYCTL_ENDPOINT", endpoint)
        .env("CONVOY_CONFIG_PATH", directory.join("no-configuration"))
        .stdin(Stdio::null())
        .stdout(said[0].reopen().unwrap())
        .stderr(said[1].reopen().unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ended = timeout(LONGEST, child.wait()).await;
    let [out, err] = said.map(|file| std::fs::read_to_string(file.path()).unwrap());
    let Ok(status) = ended else { panic!("{words:?} hangs\nstdout: {out}\nstderr: {err}") };
    Ended { code: status.unwrap().code(), out, err }
}

/// Scheduler and agents.
async fn play(store: Store) {
    let mut feed = store.follow(&["/convoy/"]);
    let mut picture = Picture::default();
    let (mut runs, mut written) = (0_u32, Revision::default());
    loop {
        let event = feed.next().await;
        let seen = match &event {
            FeedEvent::Listed(snapshot) => snapshot.revision,
            FeedEvent::Changed { revision, .. } => *revision,
            FeedEvent::Stale { .. } | FeedEvent::Current { .. } => continue,
        };
        picture.apply(&event);
        // Whoever acts on a picture from before its own writes does everything twice.
        if seen < written {
            continue;
        }
        for (key, value) in writes(&picture, &mut runs) {
            written = match value {
                Some(value) => store.put(&key, &value).await.unwrap(),
                None => store.delete(&key).await.unwrap(),
            };
        }
    }
}

type Writes = BTreeMap<String, Option<Vec<u8>>>;

fn writes(picture: &Picture, runs: &mut u32) -> Writes {
    let mut writes = Writes::new();
    if picture.leader.is_some() {
        schedule(picture, &mut writes);
    }
    run_units(picture, runs, &mut writes);
    writes
}

fn schedule(picture: &Picture, writes: &mut Writes) {
    let answer = Question::of_picture(picture, 0).answer();
    let mut wanted: BTreeMap<(MachineId, UnitName), ScheduleRecord> = BTreeMap::new();
    for unit in &answer.units {
        let name = UnitName::parse(&unit.name).unwrap();
        let stored = &picture.units[&name];
        for machine in unit.machine.iter().chain(&unit.on) {
            let record = ScheduleRecord {
                hash: stored.hash.clone(),
                desired: stored.record.desired,
                restarts: stored.record.restarts,
            };
            wanted.insert((MachineId::parse(machine).unwrap(), name.clone()), record);
        }
        if let Some(wish) = picture.moves.get(&name) {
            let obeyed = picture.scheduled(&name).any(|(machine, _)| *machine == wish.machine);
            let refused = unit.machine.as_deref() != Some(wish.machine.as_str());
            if obeyed || refused {
                writes.insert(move_key(&name), None);
            }
        }
    }
    for (unit, entries) in &picture.schedule {
        for (machine, entry) in entries {
            let is_wanted = wanted.contains_key(&(machine.clone(), unit.clone()));
            if !is_wanted && entry.desired != Desired::Inactive {
                writes.insert(schedule_key(machine, unit), None);
            }
        }
    }
    for ((machine, unit), record) in wanted {
        let elsewhere =
            picture.states_of(&unit).any(|(other, _)| *other != machine) && !picture.is_global(&unit);
        let present = picture.schedule.get(&unit).and_then(|entries| entries.get(&machine));
        if present != Some(&record) && (present.is_some() || !elsewhere) {
            writes.insert(schedule_key(&machine, &unit), Some(record.to_json().unwrap()));
        }
    }
}

fn run_units(picture: &Picture, runs: &mut u32, writes: &mut Writes) {
    for (unit, entries) in &picture.schedule {
        for (machine, entry) in entries {
            let key = state_key(machine, unit);
            if entry.desired == Desired::Inactive {
                writes.insert(key, None);
                continue;
            }
            let Some(stored) = picture.units.get(unit).filter(|stored| stored.hash == entry.hash) else {
                continue;
            };
            let present = picture.state(unit, machine);
            let text = &stored.record.text;
            let launched = entry.desired == Desired::Launched;
            let (active, sub) = match launched {
                true if text.contains("FAILS") => ("failed", "failed"),
                true if text.contains("ONCE") => ("inactive", "dead"),
                true => ("active", "running"),
                false => ("inactive", "dead"),
            };
            let same_run = present.filter(|state| {
                state.hash == entry.hash
                    && state.restarts == entry.restarts
                    && (state.active == active || !launched)
            });
            let invocation_id = match same_run {
                Some(state) => state.invocation_id.clone(),
                None if launched => {
                    *runs += 1;
                    format!("run-{runs}")
                }
                None => String::new(),
            };
            let state = StateRecord {
                load: "loaded".into(),
                active: active.into(),
                sub: sub.into(),
                hash: entry.hash.clone(),
                restarts: entry.restarts,
                invocation_id,
                ..StateRecord::default()
            };
            if present != Some(&state) {
                writes.insert(key, Some(state.to_json().unwrap()));
                announce(unit, machine, text.contains("ANNOUNCED") && active == "active", writes);
            }
        }
    }
    for (unit, states) in &picture.states {
        for (machine, state) in states {
            let scheduled = picture.schedule.get(unit).is_some_and(|entries| entries.contains_key(machine));
            if !scheduled && !state.unclaimed {
                writes.insert(state_key(machine, unit), None);
            }
        }
    }
}

fn announce(unit: &UnitName, machine: &MachineId, present: bool, writes: &mut Writes) {
    let Some(instance) = unit.instance() else { return };
    if !present {
        return;
    }
    let record = InstanceRecord {
        state: InstanceState::Passing,
        weight: 100,
        machine_id: machine.to_string(),
        unit: unit.to_string(),
        invocation_id: String::new(),
        container_id: None,
        since: 1,
    };
    let key = format!("/convoy/instances/{}/{instance}", unit.prefix());
    writes.insert(key, Some(record.to_json().unwrap()));
}
