//! One resource: what is wanted, what is loaded, and when something is done about the difference.

use std::path::{Path, PathBuf};
use std::time::Duration;

use convoy_confd::resource::Resource;
use convoy_lb_config::Settle;
use convoy_retry::Backoff;
use convoy_service::message;
use convoy_store::Revision;
use tokio::time::Instant;

use super::reader::SystemReader;
use super::render::{RenderError, Templates};
use crate::install::apply::{Applied, Applier, Extent, Failure};
use crate::install::reader::Proof;
use crate::install::set::FileSet;
use crate::install::state::StateFolder;
use crate::skipped::SkippedLog;

/// Bounds of the pause before something that failed is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Files, and the revision of the store that they stand for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) set: FileSet,
    pub(crate) revision: Revision,
    /// Something is served although it is gone at this revision.
    pub(crate) has_held: bool,
    pub(crate) since: Instant,
}

/// What comes back from the task that applies.
pub(crate) struct Attempt {
    pub(crate) name: String,
    applier: Applier<SystemReader>,
    wanted: Wanted,
    outcome: Result<Applied, Failure>,
}

/// How a target stands, for people, metrics and other machines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The revision that is in place and loaded.
    pub(crate) loaded: Option<Revision>,
    /// The same, as far as nothing is served that is gone: what those who wait for a removal may hear.
    pub(crate) announced: Option<Revision>,
    /// What is wrong.
    pub(crate) problem: Option<String>,
    /// The first attempt has ended.
    pub(crate) is_decided: bool,
}

/// What a target was told when it was made.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) confdir: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) extent: Extent,
    pub(crate) keeps_staged: bool,
}

/// One resource.
#[derive(Debug)]
pub(crate) struct Target {
    resource: Resource,
    /// The resource as it is written: another text is another target.
    text: String,
    surroundings: Surroundings,
    templates: Templates,
    settle: Settle,
    backoff: Backoff,
    /// When to look even if no key changes.
    look_at: Option<Instant>,
    /// No reload before this.
    pause_until: Option<Instant>,
    /// There while no application is in flight.
    applier: Option<Applier<SystemReader>>,
    left_out: SkippedLog,
    wanted_since: Instant,
    /// The files as they were made last. They are made anew when keys or templates change, not at every look: a
    /// template may use the time.
    made: Option<FileSet>,
    standing: Standing,
}

/// Counts for metrics: what an attempt brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Loaded,
    Unchanged,
    Failed(&'static str),
}

impl Target {
    pub(crate) fn new(resource: Resource, text: String, surroundings: Surroundings) -> Self {
        let folder = state_folder(&surroundings, &resource.name);
        let reader = SystemReader::new(&resource, folder.path().to_owned());
        let applier = Applier::new(reader, folder, surroundings.extent, surroundings.keeps_staged);
        Self {
            settle: Settle::new(resource.wait.quiet, resource.wait.longest),
            templates: Templates::default(),
            backoff: Backoff::new(RETRY.0, RETRY.1),
            look_at: None,
            pause_until: None,
            applier: Some(applier),
            left_out: SkippedLog::default(),
            wanted_since: Instant::now(),
            made: None,
            standing: Standing::default(),
            resource,
            text,
            surroundings,
        }
    }

    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Whether the resource is still written like this.
    pub(crate) fn is_written_as(&self, text: &str) -> bool {
        self.text == text
    }

    /// Whether an application is in flight.
    pub(crate) fn is_busy(&self) -> bool {
        self.applier.is_none()
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// One of its keys changed.
    pub(crate) fn note_change(&mut self) {
        let now = Instant::now();
        if self.settle.due().is_none() {
            self.wanted_since = now;
        }
        self.made = None;
        self.settle.changed(now.into_std());
    }

    /// Templates, files and reader are compared with what they should be, as soon as possible. What failed keeps its own
    /// pace.
    pub(crate) fn look(&mut self) {
        if self.standing.problem.is_none() {
            self.look_at = Some(Instant::now());
        }
    }

    /// The files are made anew, whatever failed: somebody has changed something.
    pub(crate) fn make_anew(&mut self) {
        self.made = None;
        self.look_at = Some(Instant::now());
    }

    /// When the next application is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.is_busy() {
            return None;
        }
        // A look must not take a burst apart: what comes of our own files would be a reload per change.
        let due = self.settle.due().map(Instant::from_std).or(self.look_at)?;
        Some(self.pause_until.map_or(due, |pause| due.max(pause)))
    }

    /// Makes the files of what is known now. The future that is given back takes them where they belong.
    pub(crate) fn start(
        &mut self,
        keys: &mut dyn Iterator<Item = (&str, &[u8])>,
        (revision, has_held): (Revision, bool),
    ) -> Result<impl Future<Output = Attempt> + Send + use<>, Outcome> {
        self.settle.started();
        self.look_at = None;
        match self.wanted(keys, revision, has_held) {
            Ok(wanted) => {
                let name = self.resource.name.clone();
                let applier = self.applier.take();
                Ok(async move {
                    // Asked for only while it is there.
                    let Some(mut applier) = applier else { return std::future::pending().await };
                    let outcome = applier.apply(&wanted.set).await;
                    Attempt { name, applier, wanted, outcome }
                })
            }
            Err(error) => {
                self.settle.finished(Instant::now().into_std());
                let outcome = self.fail("template", message::CONFIG_REJECTED, &error.to_string());
                self.standing.is_decided = true;
                self.write_down();
                Err(outcome)
            }
        }
    }

    fn wanted(
        &mut self,
        keys: &mut dyn Iterator<Item = (&str, &[u8])>,
        revision: Revision,
        has_held: bool,
    ) -> Result<Wanted, RenderError> {
        let since = self.wanted_since;
        if let Some(set) = &self.made
            && self.templates.are_current()
        {
            return Ok(Wanted { set: set.clone(), revision, has_held, since });
        }
        let (snapshot, left_out) = self.resource.view(keys);
        let rendered = self.templates.render(&self.resource, &self.surroundings.confdir, &snapshot)?;
        let told = left_out.iter().map(|left| (left.key.clone(), left.reason.to_string()));
        let nameless = rendered.unusable.into_iter();
        let told = told.chain(nameless.map(|key| (key, "it can't be part of a file's name".to_owned())));
        self.left_out.update(told);
        self.made = Some(rendered.set.clone());
        Ok(Wanted { set: rendered.set, revision, has_held, since })
    }

    /// Takes in how an application ended.
    pub(crate) fn conclude(&mut self, attempt: Attempt) -> Outcome {
        let Attempt { applier, wanted, outcome, .. } = attempt;
        self.applier = Some(applier);
        self.settle.finished(Instant::now().into_std());
        self.standing.is_decided = true;
        let outcome = match outcome {
            Ok(applied) => self.succeed(&wanted, applied),
            Err(failure) => {
                let id =
                    if failure.is_rejection() { message::CONFIG_REJECTED } else { message::RELOAD_FAILED };
                self.fail(failure.kind(), id, &failure.to_string())
            }
        };
        self.write_down();
        outcome
    }

    fn succeed(&mut self, wanted: &Wanted, applied: Applied) -> Outcome {
        let (name, revision) = (self.resource.name.as_str(), wanted.revision);
        let took = i64::try_from(wanted.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        let count = wanted.set.len();
        let files = if count == 1 { "file is" } else { "files are" };
        let recovered = self.standing.problem.take().is_some();
        self.backoff.reset();
        let how = match applied {
            Applied::Loaded(Proof::Served) => "loaded, which its reader proved",
            Applied::Loaded(Proof::Believed) if self.resource.reload.is_some() => {
                "loaded, as its reader says"
            }
            Applied::Loaded(Proof::Believed) | Applied::InPlace => "in place",
            Applied::AwaitsReader => "in place; their reader does not run and reads them when it starts",
            Applied::Withheld => "not as they should be; nothing was done, as ordered",
            Applied::Attributes => {
                tracing::info!(TARGET = name, "owner or mode of a file was put right");
                ""
            }
            Applied::Already => "",
        };
        if !how.is_empty() {
            tracing::info!(
                MESSAGE_ID = message::CONFIG_APPLIED,
                TARGET = name,
                revision = revision.get(),
                files = i64::try_from(count).unwrap_or(i64::MAX),
                took_ms = took,
                "{name}: {count} {files} {how}, at revision {revision}"
            );
        } else if recovered {
            tracing::info!(TARGET = name, "{name}: everything is as it should be again");
        }
        self.standing.loaded = Some(revision);
        if !wanted.has_held {
            self.standing.announced = Some(revision);
        }
        match applied {
            Applied::Loaded(_) | Applied::InPlace | Applied::AwaitsReader => {
                self.pause_until = Some(Instant::now() + self.resource.wait.pause);
                Outcome::Loaded
            }
            Applied::Already | Applied::Attributes | Applied::Withheld => Outcome::Unchanged,
        }
    }

    /// Something is not as it should be: says so, once per reason, and tries again after a pause.
    fn fail(&mut self, reason: &'static str, message_id: &'static str, error: &str) -> Outcome {
        self.look_at = Some(Instant::now() + self.backoff.next());
        let name = self.resource.name.as_str();
        if self.standing.problem.as_deref() == Some(error) {
            tracing::debug!(TARGET = name, error, "still not as it should be");
        } else {
            tracing::error!(
                MESSAGE_ID = message_id,
                TARGET = name,
                reason,
                error,
                "{name} is not up to date, the last good files stay: {error}"
            );
            self.standing.problem = Some(error.to_owned());
        }
        Outcome::Failed(reason)
    }

    /// Keeps for `lb-watcher status` how things stand.
    fn write_down(&self) {
        let Some(applier) = &self.applier else { return };
        if self.surroundings.extent == Extent::Nothing {
            return;
        }
        let mut state = applier.folder().read();
        state.problem.clone_from(&self.standing.problem);
        state.left_out = self.left_out.now();
        if let Some(revision) = self.standing.loaded {
            state.revision = revision.get();
        }
        if let Err(error) = applier.folder().write(&state) {
            tracing::warn!(%error, "how things stand can't be written down");
        }
    }
}

/// Where the state of a resource is kept. Several folders of resources may be followed on one machine.
pub(crate) fn state_folder(surroundings: &Surroundings, name: &str) -> StateFolder {
    let confdir = std::path::absolute(&surroundings.confdir).unwrap_or_else(|_| surroundings.confdir.clone());
    let parts = [&*confdir.to_string_lossy(), name].map(escaped);
    StateFolder::new(
        parts.iter().fold(surroundings.state.join("resources"), |folder, part| folder.join(part)),
    )
}

/// A path as one name.
fn escaped(path: &str) -> String {
    path.trim_matches('/').replace('%', "%25").replace('/', "%2F")
}

/// What is wrong with a resource that can't be read, in the place where its state would be.
pub(crate) fn note_broken(surroundings: &Surroundings, name: &str, why: &str) {
    let folder = state_folder(surroundings, name);
    let mut state = folder.read();
    state.problem = Some(why.to_owned());
    if surroundings.extent != Extent::Nothing
        && let Err(error) = folder.write(&state)
    {
        tracing::warn!(%error, "how things stand can't be written down");
    }
}

/// The state of every resource that was followed from this folder, by name.
pub(crate) fn states(surroundings: &Surroundings) -> std::io::Result<Vec<(String, StateFolder)>> {
    let folder = state_folder(surroundings, "");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder.path())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().replace("%2F", "/").replace("%25", "%");
        found.push((name, StateFolder::new(entry.path())));
    }
    found.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(found)
}

/// The folder for state when no unit sets one.
pub(crate) fn usual_state() -> &'static Path {
    Path::new("/var/lib/lb-watcher")
}
