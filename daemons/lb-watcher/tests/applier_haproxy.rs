//! The road of a configuration whose servers come and go, against a HAProxy that fails on demand and a watcher that is
//! killed at any step.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a helper that fails is a test that fails

use std::collections::BTreeSet;
use std::future::pending;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use convoy_keys::{AppName, Endpoint, InstanceName};
use convoy_lb_config::{
    Configuration, Digest, Engine, LoadBalancer, ProxyOptions, Server, Template, Upstream,
};
use convoy_lb_watcher::apply::{Applied, Applier, Failure, Timing};
use convoy_lb_watcher::balancer::{Balancer, CheckError, ReloadError};
use convoy_lb_watcher::files::StateDir;
use convoy_lb_watcher::haproxy::RuntimeError;
use proptest::prelude::*;

/// What goes wrong with one call, in the order of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The call reports failure and does nothing.
    Refuse,
    /// The call reports success and does nothing; a change of servers is half done and reports failure.
    Ignore,
    /// The watcher is killed before the call has an effect.
    KillBefore,
    /// The watcher is killed after the call had its effect.
    KillAfter,
}

#[derive(Debug)]
struct World {
    running: Configuration,
    servers: Vec<Server>,
    passed: BTreeSet<String>,
    faults: Vec<Fault>,
    reloads: usize,
    changes: usize,
}

/// A HAProxy in memory over the real files.
#[derive(Debug, Clone)]
struct FakeHaproxy {
    world: Arc<Mutex<World>>,
    files: StateDir,
}

impl FakeHaproxy {
    fn fault(&self) -> Fault {
        let faults = &mut self.world.lock().unwrap().faults;
        if faults.is_empty() { Fault::None } else { faults.remove(0) }
    }
}

impl Balancer for FakeHaproxy {
    fn engine(&self) -> Engine {
        Engine::Haproxy
    }

    async fn check(&mut self, staged: &Path) -> Result<(), CheckError> {
        match self.fault() {
            Fault::Refuse => {
                return Err(CheckError::Refused { engine: Engine::Haproxy, words: "[ALERT] no".into() });
            }
            Fault::Ignore => return Err(CheckError::NotRun("no haproxy".into())),
            Fault::KillBefore | Fault::KillAfter => pending().await,
            Fault::None => {}
        }
        self.world.lock().unwrap().passed.insert(std::fs::read_to_string(staged).unwrap());
        Ok(())
    }

    async fn reload(&mut self, _expected: &Configuration) -> Result<(), ReloadError> {
        let fault = self.fault();
        match fault {
            Fault::Refuse => return Err(ReloadError { engine: Engine::Haproxy, reason: "no bus".into() }),
            Fault::Ignore => return Ok(()),
            Fault::KillBefore => pending().await,
            Fault::None | Fault::KillAfter => {}
        }
        let text = std::fs::read_to_string(self.files.live()).unwrap();
        {
            let mut world = self.world.lock().unwrap();
            assert!(world.passed.contains(&text), "HAProxy was given a text that nobody checked");
            world.running = Configuration::find(text).unwrap();
            let World { running, servers, .. } = &mut *world;
            servers.clone_from(&running.membership().servers);
            world.reloads += 1;
        }
        if fault == Fault::KillAfter {
            pending::<()>().await;
        }
        Ok(())
    }

    async fn loaded(&mut self) -> Option<Digest> {
        Some(self.world.lock().unwrap().running.digest().clone())
    }

    async fn follows(&mut self, wanted: &Configuration) -> Result<bool, RuntimeError> {
        Ok(self.world.lock().unwrap().servers == wanted.membership().servers)
    }

    async fn adjust(&mut self, wanted: &Configuration) -> Result<usize, RuntimeError> {
        if self.follows(wanted).await? {
            return Ok(0);
        }
        let fault = self.fault();
        let failure = || Err(RuntimeError::NotFollowed("no".into()));
        match fault {
            Fault::Refuse => return failure(),
            Fault::KillBefore => pending().await,
            Fault::None | Fault::Ignore | Fault::KillAfter => {}
        }
        {
            let mut world = self.world.lock().unwrap();
            assert_eq!(world.running.digest(), wanted.digest(), "servers of another configuration");
            world.servers.clone_from(&wanted.membership().servers);
            world.changes += 1;
            if fault == Fault::Ignore {
                world.servers.truncate(1);
                return failure();
            }
        }
        if fault == Fault::KillAfter {
            pending::<()>().await;
        }
        Ok(1)
    }

    async fn tidy(&mut self, _wanted: &Configuration) -> usize {
        0
    }
}

/// A configuration of one of two shapes with these servers.
fn configuration(shape: u8, servers: &[u8]) -> Configuration {
    let load_balancer = LoadBalancer {
        app: AppName::parse("someapp").unwrap(),
        instance: InstanceName::parse("1").unwrap(),
        listen: vec!["127.0.0.1:8080".parse().unwrap()],
        runtime_dir: "/run/x".parse().unwrap(),
        options: ProxyOptions { retry_after: Duration::from_secs(shape.into()), ..ProxyOptions::default() },
    };
    let upstream = |number: &u8| Upstream {
        name: InstanceName::parse(&number.to_string()).unwrap(),
        address: Endpoint::parse(&format!("10.0.0.{number}:80")).unwrap(),
    };
    let upstreams: Vec<_> = servers.iter().map(upstream).collect();
    let template = Template::parse(Engine::Haproxy, "t", Engine::Haproxy.shipped_template()).unwrap();
    template.render(&load_balancer, &upstreams).unwrap()
}

/// A started HAProxy with a good configuration, as bootstrap leaves it.
struct Bench {
    _directory: tempfile::TempDir,
    haproxy: FakeHaproxy,
    files: StateDir,
}

impl Bench {
    fn new(first: &Configuration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = StateDir::new(directory.path(), Engine::Haproxy);
        files.replace(&files.live(), first.text()).unwrap();
        files.replace(&files.good(), first.text()).unwrap();
        let world = World {
            running: first.clone(),
            servers: first.membership().servers.clone(),
            passed: BTreeSet::from([first.text().to_owned()]),
            faults: Vec::new(),
            reloads: 0,
            changes: 0,
        };
        let haproxy = FakeHaproxy { world: Arc::new(Mutex::new(world)), files: files.clone() };
        Self { _directory: directory, haproxy, files }
    }

    fn faults(&self, faults: &[Fault]) {
        self.haproxy.world.lock().unwrap().faults = faults.to_vec();
    }

    /// One application by a watcher that was just started; none when it was killed on the way.
    async fn apply(&self, desired: &Configuration) -> Option<Result<Applied, Failure>> {
        let mut applier = Applier::new(self.haproxy.clone(), self.files.clone(), Timing::default());
        tokio::time::timeout(Duration::from_secs(60), applier.apply(desired)).await.ok()
    }

    fn read(&self, path: &Path) -> String {
        self.files.read(path).unwrap().unwrap()
    }

    /// Whether process and files all have this configuration.
    fn is_in_step(&self, desired: &Configuration) -> bool {
        let world = self.haproxy.world.lock().unwrap();
        world.running.digest() == desired.digest()
            && world.servers == desired.membership().servers
            && self.read(&self.files.live()) == desired.text()
            && self.read(&self.files.good()) == desired.text()
    }

    /// Reloads, and changes of servers.
    fn counts(&self) -> (usize, usize) {
        let world = self.haproxy.world.lock().unwrap();
        (world.reloads, world.changes)
    }
}

#[tokio::test(start_paused = true)]
async fn servers_change_without_a_reload_and_everything_else_with_one() {
    let bench = Bench::new(&configuration(1, &[]));
    assert!(matches!(bench.apply(&configuration(1, &[])).await, Some(Ok(Applied::Already))));
    for servers in [&[1][..], &[1, 2], &[2], &[]] {
        let desired = configuration(1, servers);
        assert!(matches!(bench.apply(&desired).await, Some(Ok(Applied::Adjusted(_)))), "{servers:?}");
        assert!(bench.is_in_step(&desired), "{servers:?}");
    }
    assert_eq!(bench.counts(), (0, 4));
    let other = configuration(2, &[1]);
    assert!(matches!(bench.apply(&other).await, Some(Ok(Applied::Reloaded(steps))) if !steps.fell_back));
    assert!(bench.is_in_step(&other));
    assert_eq!(bench.counts(), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn servers_that_can_not_be_changed_are_reloaded() {
    for fault in [Fault::Refuse, Fault::Ignore] {
        let bench = Bench::new(&configuration(1, &[1, 2]));
        let desired = configuration(1, &[2, 3]);
        bench.faults(&[fault]);
        assert!(matches!(bench.apply(&desired).await, Some(Ok(Applied::Reloaded(steps))) if steps.fell_back));
        assert!(bench.is_in_step(&desired), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_reload_fails_too_process_and_file_go_back_together() {
    for (faults, kind) in [
        (vec![Fault::Refuse, Fault::None, Fault::Refuse], "reload"),
        (vec![Fault::Ignore, Fault::None, Fault::Refuse], "reload"),
        (vec![Fault::Ignore, Fault::None, Fault::Ignore], "not-served"),
    ] {
        let good = configuration(1, &[1, 2]);
        let bench = Bench::new(&good);
        bench.faults(&faults);
        let Some(Err(failure)) = bench.apply(&configuration(1, &[2, 3])).await else {
            panic!("{kind}: no failure")
        };
        assert_eq!(failure.kind(), kind);
        assert!(bench.is_in_step(&good), "{faults:?}");
        assert!(bench.files.reason().exists());
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_can_not_be_checked_is_not_put_in_place_though_the_servers_are() {
    let (good, desired) = (configuration(1, &[1]), configuration(1, &[2]));
    let bench = Bench::new(&good);
    bench.faults(&[Fault::None, Fault::Refuse]);
    assert!(matches!(bench.apply(&desired).await, Some(Err(Failure::Check(_)))));
    assert_eq!(
        (bench.read(&bench.files.live()), bench.read(&bench.files.good())),
        (good.text().into(), good.text().into())
    );
    assert_eq!(bench.haproxy.world.lock().unwrap().servers, desired.membership().servers);
    // The next try has only the file to do.
    assert!(matches!(bench.apply(&desired).await, Some(Ok(Applied::Adjusted(_)))));
    assert!(bench.is_in_step(&desired) && !bench.files.reason().exists());
    assert_eq!(bench.counts(), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_edited_file_is_told_from_one_that_a_killed_watcher_left_behind() {
    let (good, desired) = (configuration(1, &[1]), configuration(1, &[2]));
    let bench = Bench::new(&good);
    bench.faults(&[Fault::KillAfter]);
    assert!(bench.apply(&desired).await.is_none());
    assert!(matches!(bench.apply(&desired).await, Some(Ok(Applied::Adjusted(_)))));
    std::fs::write(bench.files.live(), "global\n").unwrap();
    assert!(matches!(bench.apply(&desired).await, Some(Ok(Applied::FileRestored))));
    assert!(bench.is_in_step(&desired));
    assert_eq!(bench.counts(), (0, 1));
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        1 => Just(Fault::Refuse),
        1 => Just(Fault::Ignore),
        1 => Just(Fault::KillBefore),
        1 => Just(Fault::KillAfter),
    ]
}

fn any_configuration() -> impl Strategy<Value = Configuration> {
    (1u8..3, proptest::sample::subsequence(vec![1u8, 2, 3], 0..=3))
        .prop_map(|(shape, servers)| configuration(shape, &servers))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happened_the_next_undisturbed_application_ends_in_step(
        history in proptest::collection::vec((any_configuration(), proptest::collection::vec(any_fault(), 0..6)), 0..8),
        last in any_configuration(),
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let first = configuration(1, &[1]);
            let bench = Bench::new(&first);
            let mut proved = BTreeSet::from([first.text().to_owned()]);
            for (desired, faults) in &history {
                bench.faults(faults);
                if let Some(Ok(_)) = bench.apply(desired).await {
                    assert!(bench.is_in_step(desired));
                    proved.insert(desired.text().to_owned());
                }
                let good = bench.read(&bench.files.good());
                assert!(good == desired.text() || proved.contains(&good));
                assert!(Configuration::find(bench.read(&bench.files.live())).is_some(), "half a file is live");
            }
            bench.faults(&[]);
            let outcome = bench.apply(&last).await;
            assert!(matches!(outcome, Some(Ok(_))), "{outcome:?}");
            assert!(bench.is_in_step(&last));
        });
    }
}
