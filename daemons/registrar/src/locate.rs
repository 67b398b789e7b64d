//! Following one container: where it is now, told as a state, never as a stream of events.
//!
//! The engine's events only say when to look again. After every gap in them the container is looked at anew, and
//! once a minute anyway. An engine that is away changes nothing about what is known.

use std::time::{Duration, SystemTime};

use convoy_retry::Backoff;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::engine::{Death, Engine, EngineError, Found, Hint, Lookup};
use crate::settings::EngineChoice;

/// How often to look without being told: catches what an engine never tells, such as a network that was attached.
const RECHECK: Duration = Duration::from_secs(60);

/// What is known of the container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Where it was when it was last seen.
    pub sighting: Sighting,
    /// Why nothing newer is known.
    pub trouble: Option<String>,
}

/// Where the container is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sighting {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// There is none of that name.
    Absent,
    /// It is there, and its process runs.
    Running(Box<Found>),
    /// It is there, but its process does not run.
    Stopped {
        /// The container's id.
        id: String,
        /// How it ended, if it did so while it was watched.
        death: Option<Death>,
    },
}

/// Follows the container for ever, and tells each change. Ends when nobody listens any more.
pub async fn follow(
    choice: EngineChoice,
    lookup: Lookup,
    variable: fn(&str) -> Option<String>,
    view: watch::Sender<View>,
) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    while !view.is_closed() {
        let error = match Engine::open(&choice, variable) {
            Ok(engine) => Follower { engine, lookup: &lookup, view: &view }.follow(&mut backoff).await,
            Err(error) => error,
        };
        trouble(&view, &error);
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = view.closed() => return,
        }
    }
}

struct Follower<'a> {
    engine: Engine,
    lookup: &'a Lookup,
    view: &'a watch::Sender<View>,
}

impl Follower<'_> {
    /// Follows on one stream of events, until it ends.
    async fn follow(&self, backoff: &mut Backoff) -> EngineError {
        let opened = SystemTime::now();
        if let Err(error) = self.look(None).await {
            return error;
        }
        let mut hints = self.engine.hints(opened);
        let mut next_look = Instant::now() + RECHECK;
        let mut seen = opened;
        loop {
            tokio::select! {
                hint = hints.next() => match hint {
                    Some(Ok(hint)) => {
                        // Only a stream that carries something is proof that the engine is well.
                        backoff.reset();
                        if !hint.concerns(self.lookup, self.found().as_ref()) {
                            continue;
                        }
                        self.take_death(&hint, seen);
                        let now = SystemTime::now();
                        if let Err(error) = self.look(hint.death).await {
                            return error;
                        }
                        seen = now;
                        next_look = Instant::now() + RECHECK;
                    }
                    Some(Err(error)) => return error,
                    None => return EngineError::Call {
                        what: "go on telling its events",
                        reason: "it closed the stream".to_owned(),
                    },
                },
                () = sleep_until(next_look) => {
                    let now = SystemTime::now();
                    if let Err(error) = self.look(None).await {
                        return error;
                    }
                    backoff.reset();
                    seen = now;
                    next_look = Instant::now() + RECHECK;
                }
                () = self.view.closed() => return EngineError::Call {
                    what: "go on",
                    reason: "nobody listens any more".to_owned(),
                },
            }
        }
    }

    /// Believes a death at once if it happened after the container was last seen running. To look first would
    /// cost the time that the engine takes to clean up, since it answers no questions about the container before.
    fn take_death(&self, hint: &Hint, seen: SystemTime) {
        let Some(death) = &hint.death else { return };
        if hint.at < seen {
            return;
        }
        self.view.send_if_modified(|view| match &view.sighting {
            Sighting::Running(found) if found.app.id == hint.id => {
                view.sighting = Sighting::Stopped { id: hint.id.clone(), death: Some(death.clone()) };
                true
            }
            _ => false,
        });
    }

    async fn look(&self, death: Option<Death>) -> Result<(), EngineError> {
        let sighting = match self.engine.find(self.lookup).await? {
            None => Sighting::Absent,
            Some(found) if found.app.running => Sighting::Running(Box::new(found)),
            Some(found) => {
                Sighting::Stopped { death: death.or(self.last_death(&found.app.id)), id: found.app.id }
            }
        };
        self.view.send_if_modified(|view| {
            let next = View { sighting, trouble: None };
            let changed = *view != next;
            *view = next;
            changed
        });
        Ok(())
    }

    fn last_death(&self, container: &str) -> Option<Death> {
        match &self.view.borrow().sighting {
            Sighting::Stopped { id, death } if id == container => death.clone(),
            _ => None,
        }
    }

    fn found(&self) -> Option<Found> {
        match &self.view.borrow().sighting {
            Sighting::Running(found) => Some(Found::clone(found)),
            _ => None,
        }
    }
}

fn trouble(view: &watch::Sender<View>, error: &EngineError) {
    let text = error.to_string();
    view.send_if_modified(|view| {
        let changed = view.trouble.as_ref() != Some(&text);
        view.trouble = Some(text);
        changed
    });
}
