//! The road of a set of files against a reader that fails on demand, and a watcher that is killed at any step.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a helper that fails is a test that fails

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use convoy_confd::settings::Extent;
use convoy_lb_watcher::install::apply::{Applied, Applier, Failure};
use convoy_lb_watcher::install::disk::{Difference, staged};
use convoy_lb_watcher::install::reader::{CheckError, Proof, Reader, ReloadError, Sight, Told};
use convoy_lb_watcher::install::set::{Attributes, Content, FileSet};
use convoy_lb_watcher::install::state::StateFolder;
use proptest::prelude::*;

/// What goes wrong with one call, in the order of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The call reports failure and does nothing.
    Refuse,
    /// A reload that says it was done and wasn't; a check that could not run.
    Lie,
    /// The watcher is killed before the call has an effect.
    KillBefore,
    /// The watcher is killed after the call had its effect.
    KillAfter,
}

type Texts = BTreeMap<PathBuf, String>;

#[derive(Debug, Default)]
struct World {
    /// What the reader runs with.
    running: Texts,
    /// Sets that passed a check.
    passed: BTreeSet<Texts>,
    faults: Vec<Fault>,
    reloads: usize,
    is_absent: bool,
}

/// A reader in memory over real files.
#[derive(Debug, Clone)]
struct FakeReader {
    world: Arc<Mutex<World>>,
    folder: PathBuf,
    sight: Sight,
    can_overlay: bool,
}

impl FakeReader {
    fn fault(&self) -> Fault {
        let faults = &mut self.world.lock().unwrap().faults;
        if faults.is_empty() { Fault::None } else { faults.remove(0) }
    }

    fn in_place(&self) -> Texts {
        let files = std::fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.'))
            .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
            .collect()
    }

    async fn look(&self, seen: Texts) -> Result<(), CheckError> {
        match self.fault() {
            Fault::Refuse => return Err(CheckError::Refused("no".into())),
            Fault::Lie => return Err(CheckError::NotRun("no program".into())),
            Fault::KillBefore | Fault::KillAfter => pending().await,
            Fault::None => {}
        }
        self.world.lock().unwrap().passed.insert(seen);
        Ok(())
    }
}

impl Reader for FakeReader {
    fn sight(&self) -> Sight {
        self.sight
    }

    async fn check_staged(&mut self, candidates: &BTreeSet<PathBuf>) -> Result<(), CheckError> {
        let mut seen = self.in_place();
        for path in candidates {
            seen.insert(path.clone(), std::fs::read_to_string(staged(path)).unwrap());
        }
        self.look(seen).await
    }

    async fn check_overlaid(&mut self, difference: &Difference) -> Result<(), CheckError> {
        if !self.can_overlay {
            return Err(CheckError::NoOverlay("not permitted".into()));
        }
        let mut seen = self.in_place();
        for path in &difference.changed {
            seen.insert(path.clone(), std::fs::read_to_string(staged(path)).unwrap());
        }
        seen.retain(|path, _| !difference.stale.contains(path));
        self.look(seen).await
    }

    async fn check_in_place(&mut self) -> Result<(), CheckError> {
        self.look(self.in_place()).await
    }

    async fn reload(&mut self) -> Result<Told, ReloadError> {
        if self.world.lock().unwrap().is_absent {
            return Ok(Told::Absent);
        }
        let fault = self.fault();
        match fault {
            Fault::Refuse => return Err(ReloadError("no bus".into())),
            Fault::Lie => return Ok(Told::Reloaded),
            Fault::KillBefore => pending().await,
            Fault::None | Fault::KillAfter => {}
        }
        let texts = self.in_place();
        {
            let mut world = self.world.lock().unwrap();
            let was_checked = match self.sight {
                Sight::None => true,
                // Each file was shown by itself.
                Sight::Staged => texts
                    .iter()
                    .all(|(path, text)| world.passed.iter().any(|passed| passed.get(path) == Some(text))),
                Sight::InPlace => world.passed.contains(&texts),
            };
            assert!(was_checked, "it was given files that nobody checked: {texts:?}");
            world.running = texts;
            world.reloads += 1;
        }
        if fault == Fault::KillAfter {
            pending::<()>().await;
        }
        Ok(Told::Reloaded)
    }

    async fn verify(&mut self) -> Result<Proof, String> {
        let running = self.world.lock().unwrap().running.clone();
        if running == self.in_place() { Ok(Proof::Served) } else { Err("the old ones are served".into()) }
    }
}

/// A folder of files, a reader, and the watcher's state.
struct Bench {
    files: tempfile::TempDir,
    state: tempfile::TempDir,
    reader: FakeReader,
}

impl Bench {
    fn new(sight: Sight, can_overlay: bool) -> Self {
        let files = tempfile::tempdir().unwrap();
        let reader =
            FakeReader { world: Arc::default(), folder: files.path().to_owned(), sight, can_overlay };
        Self { files, state: tempfile::tempdir().unwrap(), reader }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn set(&self, files: &[(&str, &str)]) -> FileSet {
        let content = |text: &str| Content { bytes: text.into(), attributes: Attributes::default() };
        files.iter().map(|(name, text)| (self.path(name), content(text))).collect()
    }

    /// What the set with this number looks like. Odd ones have a file that even ones don't have.
    fn numbered(&self, number: u8) -> FileSet {
        let text = format!("set {number}");
        let mut set = self.set(&[("a", &text), ("b", &text)]);
        if number % 2 == 1 {
            let content = Content { bytes: text.into(), attributes: Attributes::default() };
            set.insert(self.path("c"), content);
        }
        set
    }

    fn faults(&self, faults: &[Fault]) {
        self.reader.world.lock().unwrap().faults = faults.to_vec();
    }

    /// One application by a watcher that was just started; none when it was killed on the way.
    async fn apply(&self, wanted: &FileSet) -> Option<Result<Applied, Failure>> {
        self.apply_to(Extent::Whole, wanted).await
    }

    async fn apply_to(&self, extent: Extent, wanted: &FileSet) -> Option<Result<Applied, Failure>> {
        let folder = StateFolder::new(self.state.path());
        let mut applier = Applier::new(self.reader.clone(), folder, extent, false);
        tokio::time::timeout(Duration::from_secs(60), applier.apply(wanted)).await.ok()
    }

    fn running(&self) -> Texts {
        self.reader.world.lock().unwrap().running.clone()
    }

    fn reloads(&self) -> usize {
        self.reader.world.lock().unwrap().reloads
    }

    fn is_in_place(&self, set: &FileSet) -> bool {
        self.reader.in_place() == texts(set)
    }

    fn leftovers(&self) -> Vec<PathBuf> {
        let all = std::fs::read_dir(self.files.path()).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| path.to_str().unwrap().contains(".convoy-staged")).collect()
    }
}

fn texts(set: &FileSet) -> Texts {
    let text = |content: &Content| String::from_utf8(content.bytes.clone()).unwrap();
    set.iter().map(|(path, content)| (path.to_owned(), text(content))).collect()
}

fn each_sight() -> [(Sight, bool); 4] {
    [(Sight::None, true), (Sight::Staged, true), (Sight::InPlace, true), (Sight::InPlace, false)]
}

#[tokio::test(start_paused = true)]
async fn a_new_set_is_loaded_once_and_then_left_alone() {
    for (sight, can_overlay) in each_sight() {
        let bench = Bench::new(sight, can_overlay);
        let one = bench.numbered(1);
        assert!(matches!(bench.apply(&one).await, Some(Ok(Applied::Loaded(Proof::Served)))));
        assert!(matches!(bench.apply(&one).await, Some(Ok(Applied::Already))));
        let two = bench.numbered(2);
        assert!(matches!(bench.apply(&two).await, Some(Ok(Applied::Loaded(Proof::Served)))));
        assert!(bench.is_in_place(&two), "a file that nobody wants any more is removed");
        assert_eq!((bench.running(), bench.reloads()), (texts(&two), 2));
        assert_eq!(bench.leftovers(), Vec::<PathBuf>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_the_last_good_set_is_in_place_and_runs_and_the_next_try_heals() {
    for (sight, can_overlay) in each_sight() {
        for faults in [
            vec![Fault::Refuse],
            vec![Fault::Lie],
            vec![Fault::None, Fault::Refuse],
            vec![Fault::None, Fault::Lie],
        ] {
            let bench = Bench::new(sight, can_overlay);
            let good = bench.numbered(1);
            bench.apply(&good).await.unwrap().unwrap();
            let bad = bench.numbered(2);
            bench.faults(&faults);
            let outcome = bench.apply(&bad).await.unwrap();
            if outcome.is_ok() {
                // Without a check the second fault comes too late.
                assert!(sight == Sight::None && faults.len() == 2, "{sight:?} {faults:?}");
                continue;
            }
            assert!(bench.is_in_place(&good), "{sight:?} {faults:?}");
            assert_eq!(bench.running(), texts(&good));
            assert_eq!(bench.leftovers(), Vec::<PathBuf>::new());
            let folder = StateFolder::new(bench.state.path());
            assert_eq!(folder.read().owed, None, "{sight:?} {faults:?}");
            assert!(folder.path().join("rejected.txt").exists());
            bench.apply(&bad).await.unwrap().unwrap();
            assert_eq!(bench.running(), texts(&bad));
            assert!(!folder.path().join("rejected.txt").exists());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_fails_for_good_stays_owed_and_is_tried_again_without_a_change() {
    let bench = Bench::new(Sight::Staged, true);
    let set = bench.numbered(1);
    bench.faults(&[Fault::None, Fault::Refuse]);
    assert!(matches!(bench.apply(&set).await, Some(Err(Failure::Reload(_)))));
    assert!(bench.is_in_place(&set), "there is nothing to go back to");
    assert!(StateFolder::new(bench.state.path()).read().owed.is_some());
    assert!(matches!(bench.apply(&set).await, Some(Ok(Applied::Loaded(_)))));
    assert_eq!(bench.running(), texts(&set));
}

#[tokio::test(start_paused = true)]
async fn files_from_before_are_what_to_go_back_to_at_first() {
    let bench = Bench::new(Sight::InPlace, false);
    std::fs::write(bench.path("a"), "from before").unwrap();
    bench.faults(&[Fault::Refuse]);
    assert!(bench.apply(&bench.numbered(2)).await.unwrap().is_err());
    assert!(bench.is_in_place(&bench.set(&[("a", "from before")])));
    assert_eq!(bench.reloads(), 0);
}

#[tokio::test(start_paused = true)]
async fn drift_is_repaired() {
    let bench = Bench::new(Sight::Staged, true);
    let set = bench.numbered(1);
    bench.apply(&set).await.unwrap().unwrap();
    std::fs::write(bench.path("a"), "edited").unwrap();
    std::fs::remove_file(bench.path("b")).unwrap();
    assert!(matches!(bench.apply(&set).await, Some(Ok(Applied::Loaded(_)))));
    assert!(bench.is_in_place(&set));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_run_gets_the_files_for_its_start() {
    let bench = Bench::new(Sight::Staged, true);
    bench.reader.world.lock().unwrap().is_absent = true;
    let set = bench.numbered(1);
    assert!(matches!(bench.apply(&set).await, Some(Ok(Applied::AwaitsReader))));
    assert!(bench.is_in_place(&set));
    assert!(matches!(bench.apply(&set).await, Some(Ok(Applied::Already))));
}

#[tokio::test(start_paused = true)]
async fn as_much_is_done_as_was_ordered() {
    let bench = Bench::new(Sight::Staged, true);
    let set = bench.numbered(1);
    assert!(matches!(bench.apply_to(Extent::Nothing, &set).await, Some(Ok(Applied::Withheld))));
    assert!(bench.reader.in_place().is_empty());
    bench.faults(&[Fault::Refuse]);
    assert!(matches!(bench.apply_to(Extent::FilesOnly, &set).await, Some(Ok(Applied::InPlace))));
    assert!(bench.is_in_place(&set));
    assert_eq!(bench.reloads(), 0);
}

#[tokio::test]
async fn a_folder_that_can_not_be_written_to_is_an_error_that_names_it_and_nothing_else_changes() {
    let bench = Bench::new(Sight::Staged, true);
    bench.apply(&bench.numbered(2)).await.unwrap().unwrap();
    let mut wanted = bench.numbered(4);
    let content = Content { bytes: b"x".to_vec(), attributes: Attributes::default() };
    wanted.insert(Path::new("/proc/sys/x").to_owned(), content);
    let error = bench.apply(&wanted).await.unwrap().unwrap_err();
    assert!(matches!(error, Failure::Disk(_)) && error.to_string().contains("/proc/sys"), "{error}");
    assert!(bench.is_in_place(&bench.numbered(2)));
    assert_eq!(bench.leftovers(), Vec::<PathBuf>::new());
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        1 => Just(Fault::Refuse),
        1 => Just(Fault::Lie),
        1 => Just(Fault::KillBefore),
        1 => Just(Fault::KillAfter),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn killed_or_failing_at_any_step_the_end_is_what_is_wanted(
        steps in prop::collection::vec((0u8..6, prop::collection::vec(fault(), 0..6)), 1..6),
        sight in prop::sample::select(each_sight().to_vec()),
        last in 0u8..6,
        vandal in prop::collection::vec((0usize..2, prop::option::of(0u8..6)), 0..3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new(sight.0, sight.1);
            for (number, faults) in steps {
                bench.faults(&faults);
                let wanted = bench.numbered(number);
                // Whoever is told of a failure has the state of a moment ago or, after a kill, a debt.
                if let Some(Ok(_)) = bench.apply(&wanted).await {
                    prop_assert_eq!(bench.running(), texts(&wanted));
                    prop_assert!(bench.is_in_place(&wanted));
                }
            }
            // A kill between two renames leaves any mixture; the debt was written down before.
            let owed = StateFolder::new(bench.state.path()).read().owed.is_some();
            for (file, number) in vandal {
                let path = bench.path(["a", "b"][file]);
                match number {
                    Some(number) => std::fs::write(path, format!("set {number}")).unwrap(),
                    None => drop(std::fs::remove_file(path)),
                }
            }
            let wanted = bench.numbered(last);
            bench.faults(&[]);
            bench.apply(&wanted).await.unwrap().unwrap();
            prop_assert!(bench.is_in_place(&wanted), "owed before: {owed}");
            prop_assert_eq!(bench.running(), texts(&wanted));
            prop_assert_eq!(bench.leftovers(), Vec::<PathBuf>::new());
            let reloads = bench.reloads();
            prop_assert!(matches!(bench.apply(&wanted).await, Some(Ok(Applied::Already))));
            prop_assert_eq!(bench.reloads(), reloads);
            Ok(())
        })?;
    }
}
