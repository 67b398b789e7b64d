//! One unit: what is wanted, what is held, what systemd says, and what has to be done next.

use convoy_keys::Desired;
use convoy_store::Revision;
use convoy_systemd::{ActiveState, UnitStatus};
use tokio::time::Instant;

use crate::held::{Held, Run, Traits};

/// What the schedule says of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// SHA-256 of the text.
    pub hash: String,
    /// Inactive, loaded or launched.
    pub desired: Desired,
    /// How often a restart was asked for.
    pub restarts: u64,
    /// The entry's last write.
    pub revision: Revision,
}

/// A unit's text, read from the store and found to be what the schedule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Its SHA-256.
    pub hash: String,
    /// The text as it was submitted.
    pub text: String,
    /// What it says.
    pub traits: Traits,
}

/// The way of a text from the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Fetch {
    /// Nothing was asked for.
    #[default]
    Idle,
    /// Asked for; the number counts the failures before.
    Asked { hash: String, failures: u32 },
    /// There.
    Got(Text),
    /// Could not be had; to be asked for again then.
    Failed { hash: String, failures: u32, again_at: Instant },
}

/// What systemd is doing for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// A start.
    Start,
    /// A stop and a start.
    Restart,
    /// A stop.
    Stop,
}

/// What has to be done for a unit next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, or something has to end first.
    Nothing,
    /// Its text has to be read from the store.
    Fetch(String),
    /// Its file has to be written.
    Write,
    /// systemd has to read its file.
    Load,
    /// It has to be started.
    Start(Run),
    /// It has to be stopped fully and started.
    Restart(Run),
    /// It has to be stopped.
    Stop,
    /// Its file has to go.
    Remove,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Unit {
    pub(super) wish: Option<Wish>,
    /// The schedule has let it go, on good evidence.
    pub(super) gone: bool,
    /// The schedule seems to have let it go.
    pub(super) suspect: bool,
    pub(super) held: Option<Held>,
    pub(super) status: Option<UnitStatus>,
    pub(super) job: Option<Job>,
    pub(super) fetch: Fetch,
    /// Its file is being written or removed.
    pub(super) writing: bool,
    /// Why it can't be had on this machine.
    pub(super) refused: Option<String>,
    /// What went wrong last.
    pub(super) error: Option<String>,
    /// Since when it has been up.
    pub(super) up_since: Option<Instant>,
    /// When it is to be started again after a failure, or tried again.
    pub(super) again_at: Option<Instant>,
}

impl Unit {
    pub(super) fn is_down(&self) -> bool {
        self.status.as_ref().is_none_or(|status| status.active.is_empty() || status.state().is_down())
    }

    pub(super) fn has_failed(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.state() == ActiveState::Failed)
    }

    /// What has to be done next. `lease` tells whether this machine is announced at the moment.
    pub(super) fn next(&self, now: Instant, lease: bool) -> Next {
        if self.writing || self.job == Some(Job::Stop) {
            return Next::Nothing;
        }
        let Some(wish) = &self.wish else {
            return match &self.held {
                Some(_) if self.gone => self.unload(),
                _ => Next::Nothing,
            };
        };
        if wish.desired == Desired::Inactive {
            return if self.held.is_some() { self.unload() } else { Next::Nothing };
        }
        if self.refused.is_some() {
            return Next::Nothing;
        }
        let Some(held) = self.held.as_ref().filter(|held| held.hash == wish.hash) else {
            return self.obtain(wish, now);
        };
        if !held.loaded {
            return Next::Load;
        }
        match wish.desired {
            Desired::Launched => self.launch(wish, held, now, lease),
            // A unit that is only loaded and that somebody started by hand is left alone.
            _ if held.run.is_some() || held.pending.is_some() => {
                if self.is_down() && self.job.is_none() {
                    Next::Nothing
                } else {
                    Next::Stop
                }
            }
            _ => Next::Nothing,
        }
    }

    fn unload(&self) -> Next {
        if self.is_down() && self.job.is_none() { Next::Remove } else { Next::Stop }
    }

    fn obtain(&self, wish: &Wish, now: Instant) -> Next {
        let fetch = || Next::Fetch(wish.hash.clone());
        match &self.fetch {
            Fetch::Got(text) if text.hash == wish.hash => Next::Write,
            Fetch::Asked { .. } => Next::Nothing,
            Fetch::Failed { hash, again_at, .. } if *hash == wish.hash && now < *again_at => Next::Nothing,
            Fetch::Idle | Fetch::Got(_) | Fetch::Failed { .. } => fetch(),
        }
    }

    fn launch(&self, wish: &Wish, held: &Held, now: Instant, lease: bool) -> Next {
        let run = Run { hash: wish.hash.clone(), restarts: wish.restarts };
        let may_start = held.traits.fence.is_none() || lease;
        let due = self.again_at.is_none_or(|at| at <= now);
        if self.job.is_some() || !may_start {
            return Next::Nothing;
        }
        match &held.run {
            _ if self.again_at.is_some() && due => Next::Start(run),
            None if due => Next::Start(run),
            Some(last) if last.hash != wish.hash || last.restarts < wish.restarts => Next::Restart(run),
            Some(_) if held.fenced && self.is_down() && due => Next::Start(run),
            _ => Next::Nothing,
        }
    }
}
