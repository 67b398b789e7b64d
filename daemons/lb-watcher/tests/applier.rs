//! The road of a configuration against an nginx that fails on demand, and a watcher that is killed at any step.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a helper that fails is a test that fails

use std::collections::BTreeSet;
use std::future::pending;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use convoy_keys::{AppName, Endpoint, InstanceName};
use convoy_lb_config::{Configuration, Digest, Engine, LoadBalancer, ProxyOptions, Template, Upstream};
use convoy_lb_watcher::apply::{Applied, Applier, Failure, Timing};
use convoy_lb_watcher::balancer::{Balancer, CheckError, ReloadError};
use convoy_lb_watcher::files::StateDir;
use proptest::prelude::*;

/// What goes wrong with one call, in the order of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The call reports failure and does nothing.
    Refuse,
    /// The call does nothing and reports success: a reload that nginx does not follow, a question unanswered.
    Ignore,
    /// The watcher is killed before the call has an effect.
    KillBefore,
    /// The watcher is killed after the call had its effect.
    KillAfter,
}

#[derive(Debug, Default)]
struct World {
    /// The text that nginx runs.
    running: Option<String>,
    /// Texts that passed the check.
    passed: BTreeSet<String>,
    /// What breaks, one entry per call; afterwards all goes well.
    faults: Vec<Fault>,
    reloads: usize,
}

/// An nginx in memory over the real files.
#[derive(Debug, Clone)]
struct FakeNginx {
    world: Arc<Mutex<World>>,
    files: StateDir,
}

impl FakeNginx {
    fn fault(&self) -> Fault {
        let faults = &mut self.world.lock().unwrap().faults;
        if faults.is_empty() { Fault::None } else { faults.remove(0) }
    }
}

impl Balancer for FakeNginx {
    fn engine(&self) -> Engine {
        Engine::Nginx
    }

    async fn check(&mut self, staged: &Path) -> Result<(), CheckError> {
        match self.fault() {
            Fault::Refuse => {
                return Err(CheckError::Refused { engine: Engine::Nginx, words: "[emerg] no".into() });
            }
            Fault::Ignore => return Err(CheckError::NotRun("no nginx".into())),
            Fault::KillBefore | Fault::KillAfter => pending().await,
            Fault::None => {}
        }
        let text = std::fs::read_to_string(staged).unwrap();
        assert!(text.ends_with("}\n"), "nginx was shown half a file");
        self.world.lock().unwrap().passed.insert(text);
        Ok(())
    }

    async fn reload(&mut self, _expected: &Configuration) -> Result<(), ReloadError> {
        let fault = self.fault();
        match fault {
            Fault::Refuse => return Err(ReloadError { engine: Engine::Nginx, reason: "no bus".into() }),
            Fault::Ignore => return Ok(()),
            Fault::KillBefore => pending().await,
            Fault::None | Fault::KillAfter => {}
        }
        let text = std::fs::read_to_string(self.files.live()).unwrap();
        {
            let mut world = self.world.lock().unwrap();
            assert!(world.passed.contains(&text), "nginx was given a text that nobody checked");
            world.running = Some(text);
            world.reloads += 1;
        }
        if fault == Fault::KillAfter {
            pending::<()>().await;
        }
        Ok(())
    }

    async fn loaded(&mut self) -> Option<Digest> {
        // Questions are asked again and again, so they take no fault from the list.
        self.world.lock().unwrap().running.as_deref().and_then(Digest::find)
    }
}

fn configuration(number: u8) -> Configuration {
    let listen = vec!["127.0.0.1:8080".parse().unwrap()];
    let load_balancer = LoadBalancer {
        app: AppName::parse("someapp").unwrap(),
        instance: InstanceName::parse("1").unwrap(),
        listen,
        runtime_dir: "/run/x".parse().unwrap(),
        options: ProxyOptions::default(),
    };
    let upstream = Upstream {
        name: InstanceName::parse("1").unwrap(),
        address: Endpoint::parse(&format!("10.0.0.{number}:80")).unwrap(),
    };
    Template::parse(Engine::Nginx, "t", Engine::Nginx.shipped_template())
        .unwrap()
        .render(&load_balancer, &[upstream])
        .unwrap()
}

/// A started nginx with a good configuration, as bootstrap leaves it.
struct Bench {
    _directory: tempfile::TempDir,
    nginx: FakeNginx,
    files: StateDir,
}

impl Bench {
    fn new(first: &Configuration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = StateDir::new(directory.path(), Engine::Nginx);
        files.replace(&files.live(), first.text()).unwrap();
        files.replace(&files.good(), first.text()).unwrap();
        let world = World {
            running: Some(first.text().to_owned()),
            passed: BTreeSet::from([first.text().to_owned()]),
            ..World::default()
        };
        let nginx = FakeNginx { world: Arc::new(Mutex::new(world)), files: files.clone() };
        Self { _directory: directory, nginx, files }
    }

    fn faults(&self, faults: &[Fault]) {
        self.nginx.world.lock().unwrap().faults = faults.to_vec();
    }

    /// One application by a watcher that was just started; none when it was killed on the way.
    async fn apply(&self, desired: &Configuration) -> Option<Result<Applied, Failure>> {
        let mut applier = Applier::new(self.nginx.clone(), self.files.clone(), Timing::default());
        tokio::time::timeout(Duration::from_secs(60), applier.apply(desired)).await.ok()
    }

    fn running(&self) -> Option<Digest> {
        Digest::find(self.nginx.world.lock().unwrap().running.as_deref()?)
    }

    fn live(&self) -> String {
        std::fs::read_to_string(self.files.live()).unwrap()
    }

    fn good(&self) -> String {
        std::fs::read_to_string(self.files.good()).unwrap()
    }

    fn reloads(&self) -> usize {
        self.nginx.world.lock().unwrap().reloads
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_checked_swapped_reloaded_and_proved() {
    let (one, two) = (configuration(1), configuration(2));
    let bench = Bench::new(&one);
    assert!(matches!(bench.apply(&one).await, Some(Ok(Applied::Already))));
    assert_eq!(bench.reloads(), 0);
    assert!(matches!(bench.apply(&two).await, Some(Ok(Applied::Reloaded(_)))));
    assert_eq!((bench.running().as_ref(), bench.live()), (Some(two.digest()), two.text().to_owned()));
    assert_eq!(bench.good(), two.text());
}

#[tokio::test(start_paused = true)]
async fn a_file_that_somebody_edited_is_put_back_without_a_reload() {
    let one = configuration(1);
    let bench = Bench::new(&one);
    std::fs::write(bench.files.live(), "events {}").unwrap();
    assert!(matches!(bench.apply(&one).await, Some(Ok(Applied::FileRestored))));
    assert_eq!((bench.live(), bench.reloads()), (one.text().to_owned(), 0));
}

#[tokio::test(start_paused = true)]
async fn after_each_failure_the_last_good_one_is_in_place_and_the_refused_one_is_kept() {
    let (one, two) = (configuration(1), configuration(2));
    for (faults, kind) in [
        (vec![Fault::Refuse], "refused"),
        (vec![Fault::Ignore], "check"),
        (vec![Fault::None, Fault::Refuse], "reload"),
        (vec![Fault::None, Fault::Ignore], "not-served"),
    ] {
        let bench = Bench::new(&one);
        bench.faults(&faults);
        let Some(Err(failure)) = bench.apply(&two).await else { panic!("{kind}: no failure") };
        assert_eq!(failure.kind(), kind);
        assert_eq!(bench.live(), one.text(), "{kind}");
        assert_eq!(bench.running().as_ref(), Some(one.digest()), "{kind}");
        let rejected = bench.files.path().join("nginx.conf.rejected");
        assert_eq!(std::fs::read_to_string(&rejected).unwrap(), two.text(), "{kind}");
        // Tried again without a change of any key, it goes through, and the refused one is no longer kept.
        assert!(matches!(bench.apply(&two).await, Some(Ok(Applied::Reloaded(_)))), "{kind}");
        assert!(!rejected.exists(), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_nginx_that_took_over_half_way_is_led_back() {
    // The reload had its effect, but the answer was lost: the file and nginx go back together.
    let (one, two) = (configuration(1), configuration(2));
    let bench = Bench::new(&one);
    bench.faults(&[Fault::None, Fault::KillAfter]);
    assert!(bench.apply(&two).await.is_none());
    assert_eq!(bench.running().as_ref(), Some(two.digest()));
    assert_eq!(bench.good(), one.text());
    // The next watcher finds it running and only has to say so.
    assert!(matches!(bench.apply(&two).await, Some(Ok(Applied::Already))));
    assert_eq!(bench.good(), two.text());
}

#[tokio::test(start_paused = true)]
async fn an_nginx_that_is_not_up_yet_is_waited_for() {
    let one = configuration(1);
    let bench = Bench::new(&one);
    let text = bench.nginx.world.lock().unwrap().running.take();
    let world = Arc::clone(&bench.nginx.world);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.lock().unwrap().running = text;
    });
    assert!(matches!(bench.apply(&one).await, Some(Ok(Applied::Already))));
    assert_eq!(bench.reloads(), 0, "a signal would have killed it");
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happened_the_next_undisturbed_application_ends_in_step(
        history in proptest::collection::vec((1u8..6, proptest::collection::vec(any_fault(), 0..5)), 0..8),
        last in 1u8..6,
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new(&configuration(1));
            let mut proved = BTreeSet::from([configuration(1).text().to_owned()]);
            for (number, faults) in &history {
                bench.faults(faults);
                let desired = configuration(*number);
                if let Some(Ok(_)) = bench.apply(&desired).await {
                    assert_eq!(bench.running().as_ref(), Some(desired.digest()));
                    proved.insert(desired.text().to_owned());
                }
                assert!(bench.good() == desired.text() || proved.contains(&bench.good()));
                assert!(bench.live().ends_with("}\n"), "half a file is live");
            }
            bench.faults(&[]);
            let desired = configuration(last);
            let outcome = bench.apply(&desired).await;
            assert!(matches!(outcome, Some(Ok(_))), "{outcome:?}");
            assert_eq!(bench.running().as_ref(), Some(desired.digest()));
            assert_eq!(bench.live(), desired.text());
            assert_eq!(bench.good(), desired.text());
        });
    }
}
