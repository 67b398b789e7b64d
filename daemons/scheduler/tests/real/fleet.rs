//! Etcd, agents and schedulers together, and what can be asked of them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use convoy_keys::{
    ClusterKey, Desired, LEADER, LeaderRecord, MachineId, Record, SCHEDULE, ScheduleRecord, UnitRecord,
    unit_key,
};
use convoy_scheduler::Policy;
use convoy_scheduler::run::run;
use convoy_scheduler::settings::Settings;
use convoy_service::Notifier;
use convoy_store::{Store, StoreSettings};
use convoy_test_etcd::Etcd;
use convoy_unit_files::UnitName;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::agent::{Agent, Kind, Runs};

/// Far above what anything here takes; only a hang reaches it.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

pub(crate) struct Fleet {
    pub(crate) etcd: Etcd,
    pub(crate) store: Store,
    pub(crate) agents: BTreeMap<String, Agent>,
    pub(crate) schedulers: BTreeMap<String, Instance>,
    pub(crate) runs: Runs,
    pub(crate) policy: Policy,
}

pub(crate) struct Instance {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<anyhow::Result<()>>,
}

/// Which machine each unit's entry is on.
pub(crate) type Schedule = BTreeMap<String, BTreeSet<String>>;

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(BOUND, future).await else {
        panic!("{what} did not come within {BOUND:?}")
    };
    value
}

pub(crate) fn settings(endpoints: Vec<String>) -> StoreSettings {
    StoreSettings {
        endpoints,
        silence: Duration::from_secs(1),
        silence_answer: Duration::from_millis(600),
        ..StoreSettings::default()
    }
}

impl Fleet {
    /// A cluster of `members`, one scheduler, and these machines.
    pub(crate) async fn start(members: usize, machines: &[&str]) -> Self {
        let etcd = Etcd::start(members).await.unwrap();
        let policy = Policy { settle: Duration::from_millis(300), ..Policy::default() };
        Self::with(etcd, policy, machines).await
    }

    pub(crate) async fn with(etcd: Etcd, policy: Policy, machines: &[&str]) -> Self {
        let store = Store::new(settings(etcd.endpoints())).unwrap();
        let mut fleet = Self {
            etcd,
            store,
            agents: BTreeMap::new(),
            schedulers: BTreeMap::new(),
            runs: Runs::default(),
            policy,
        };
        for machine in machines {
            fleet.machine(machine, Kind::default()).await;
        }
        fleet.scheduler("s1");
        fleet
    }

    pub(crate) async fn machine(&mut self, id: &str, kind: Kind) {
        let agent = Agent::start(&self.store, id, kind, Runs::clone(&self.runs));
        within("a machine's record", agent.lease()).await;
        self.agents.insert(id.to_owned(), agent);
    }

    pub(crate) fn scheduler(&mut self, id: &str) {
        let settings = Settings {
            machine: MachineId::parse(id).unwrap(),
            name: id.to_owned(),
            ttl: Duration::from_secs(3),
            policy: self.policy.clone(),
            runtime_dir: None,
        };
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            // Dropped is stopped, too.
            let _ = stopped.await;
        };
        let store = Store::new(self::settings(self.etcd.endpoints())).unwrap();
        let task = tokio::spawn(run(settings, store, Notifier::from_env(), shutdown));
        self.schedulers.insert(id.to_owned(), Instance { stop: Some(stop), task });
    }

    /// Stops a scheduler in order.
    pub(crate) async fn stop(&mut self, id: &str) {
        let mut instance = self.schedulers.remove(id).unwrap();
        instance.stop.take().unwrap().send(()).unwrap();
        within("a stop", instance.task).await.unwrap().unwrap();
    }

    /// Kills a scheduler; its lease is ended from outside, to save the time to live.
    pub(crate) async fn kill_leader(&mut self) -> String {
        let (leader, lease) = self.leader().await;
        let instance = self.schedulers.remove(&leader).unwrap();
        instance.task.abort();
        self.etcd.revoke(lease).await.unwrap();
        leader
    }

    /// Who leads, and under which lease.
    pub(crate) async fn leader(&self) -> (String, i64) {
        within("a leader", async {
            loop {
                if let Some(entry) = self.store.get(LEADER).await.unwrap() {
                    let record = LeaderRecord::parse(&entry.value).unwrap();
                    return (record.machine.to_string(), entry.lease);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    /// Ends a machine's lease: what a crash looks like, without the wait.
    pub(crate) async fn lose(&mut self, id: &str) {
        let agent = self.agents.remove(id).unwrap();
        let lease = agent.lease().await;
        agent.crash();
        self.etcd.revoke(lease).await.unwrap();
    }

    pub(crate) async fn submit(&self, unit: &str, text: &str, desired: Desired) {
        self.submit_as(unit, text, desired, 0).await;
    }

    pub(crate) async fn submit_as(&self, unit: &str, text: &str, desired: Desired, restarts: u64) {
        let record = UnitRecord { text: text.to_owned(), desired, compatible: false, restarts };
        let key = unit_key(&UnitName::parse(unit).unwrap());
        self.store.put(&key, &record.to_json().unwrap()).await.unwrap();
    }

    pub(crate) async fn launch(&self, unit: &str, text: &str) {
        self.submit(unit, text, Desired::Launched).await;
    }

    pub(crate) async fn entries(&self) -> BTreeMap<(String, String), ScheduleRecord> {
        let snapshot = self.store.list(SCHEDULE).await.unwrap();
        let entries = snapshot.entries.iter().filter_map(|(key, entry)| {
            let Some(ClusterKey::Schedule(machine, unit)) = ClusterKey::parse(key) else { return None };
            Some(((unit.to_string(), machine.to_string()), ScheduleRecord::parse(&entry.value).unwrap()))
        });
        entries.collect()
    }

    pub(crate) async fn schedule(&self) -> Schedule {
        let mut schedule = Schedule::new();
        for ((unit, machine), record) in self.entries().await {
            if record.desired != Desired::Inactive {
                schedule.entry(unit).or_default().insert(machine);
            }
        }
        schedule
    }

    /// Waits until the schedule is like that.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Schedule) -> bool) -> Schedule {
        let mut last = Schedule::new();
        let reached = async {
            loop {
                last = self.schedule().await;
                if wanted(&last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = tokio::time::timeout(BOUND, reached).await.is_ok();
        assert!(reached, "{what} did not come; the schedule is {last:#?}");
        last
    }

    /// Waits until a unit is on one machine, and tells which.
    pub(crate) async fn home(&self, unit: &str) -> String {
        let schedule = self.until(unit, |schedule| schedule.contains_key(unit)).await;
        let machines = &schedule[unit];
        assert_eq!(machines.len(), 1, "{unit}: {machines:?}");
        machines.first().unwrap().clone()
    }

    /// Fails if two runs of one unit on different machines overlap.
    pub(crate) fn nothing_ran_twice(&self) {
        let runs = self.runs.lock().unwrap();
        for (number, run) in runs.iter().enumerate() {
            for other in runs.iter().skip(number + 1).filter(|other| other.unit == run.unit) {
                let apart =
                    |a: &crate::agent::Run, b: &crate::agent::Run| a.to.is_some_and(|to| to <= b.from);
                assert!(apart(run, other) || apart(other, run), "{run:?} and {other:?} overlap");
            }
        }
    }

    /// How often a unit was started.
    pub(crate) fn starts(&self, unit: &str) -> usize {
        self.runs.lock().unwrap().iter().filter(|run| run.unit == unit).count()
    }
}

/// A service with these placement options.
pub(crate) fn unit(options: &str) -> String {
    format!("[Service]\nExecStart=/bin/sleep infinity\n\n[X-Fleet]\n{options}\n")
}
