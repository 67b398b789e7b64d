//! One after another: the next unit's turn comes when the former ones are well again.

use std::{collections::VecDeque, future::Future, time::Duration};

use anyhow::Result;
use convoy_unit_files::UnitName;
use tokio::time::{Instant, sleep_until};

use super::{Follow, Reasons, Verdict, Wanted, aim::is_well};
use crate::{console::Console, exit::Outcome, picture::Picture};

/// A unit that isn't well again after this long ends the rollout.
const LONGEST: Duration = Duration::from_secs(300);
/// An app that is announced unchanged for this long after its restart is taken for well: its registrar saw no gap.
const UNNOTICED: Duration = Duration::from_secs(15);
/// How often reasons are worked out.
const REASONS_EVERY: Duration = Duration::from_secs(1);

/// What is done to each unit.
pub trait Step {
    /// Asks for the change. None if there is nothing to wait for.
    fn ask(&mut self, name: &UnitName, picture: &Picture) -> impl Future<Output = Result<Option<Wanted>>>;
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// Done, or a unit is not well.
    pub outcome: Outcome,
    /// Units whose turn didn't come.
    pub left: Vec<UnitName>,
}

struct InFlight {
    wanted: Wanted,
    until: Instant,
    /// Since when it would be fine but for a new announcement.
    running_since: Option<Instant>,
}

/// Takes the units in turn, at most `window` at a time. Units that are not well come first: nobody misses them. The
/// first that isn't well again within `limit` ends it.
pub async fn roll(
    follow: &mut Follow,
    console: &mut Console,
    units: &[UnitName],
    window: usize,
    limit: Option<Duration>,
    step: &mut impl Step,
) -> Result<Rollout> {
    let (well, ill): (Vec<_>, Vec<_>) =
        units.iter().cloned().partition(|name| is_well(follow.picture(), name));
    let mut queue: VecDeque<UnitName> = ill.into_iter().chain(well).collect();
    let mut flying: Vec<InFlight> = Vec::new();
    let mut reasons = Reasons::default();
    let mut ask_at = Instant::now() + REASONS_EVERY;
    let mut failed = false;
    loop {
        while flying.len() < window && !failed {
            let Some(name) = queue.pop_front() else { break };
            let Some(wanted) = step.ask(&name, follow.picture()).await? else { continue };
            let until = Instant::now() + limit.unwrap_or(LONGEST);
            flying.push(InFlight { wanted, until, running_since: None });
        }
        if flying.is_empty() {
            let outcome = if failed { Outcome::Pending } else { Outcome::Done };
            return Ok(Rollout { outcome, left: queue.into() });
        }
        let (mut unplaced, mut shown, now) = (Vec::new(), Vec::new(), Instant::now());
        flying.retain_mut(|unit| {
            let verdict = unit.look(follow.picture(), now);
            let name = &unit.wanted.name;
            let what = match verdict {
                Verdict::Done(sentence) => {
                    console.line(sentence);
                    return false;
                }
                Verdict::Failed(sentence) => {
                    console.note(sentence);
                    failed = true;
                    return false;
                }
                Verdict::Waiting { what, trouble } => {
                    if let Some(trouble) = trouble {
                        reasons.trouble(name, &trouble, console);
                    }
                    what
                }
                Verdict::Unplaced => {
                    unplaced.push(name.clone());
                    "no machine yet".to_owned()
                }
            };
            if now >= unit.until {
                console.note(format_args!("Unit {name}: given up waiting ({what})"));
                failed = true;
                return false;
            }
            shown.push(format!("{name}: {what}"));
            true
        });
        if now >= ask_at {
            reasons.tell(follow.picture(), &unplaced, console);
            ask_at = now + REASONS_EVERY;
        }
        if flying.is_empty() {
            continue;
        }
        console.progress(&format!("{} left; {}", queue.len(), shown.join(", ")));
        let wake = flying.iter().map(|unit| unit.until).chain([ask_at]).min().unwrap_or(ask_at);
        tokio::select! {
            () = follow.changed(console) => {}
            () = sleep_until(wake) => {}
        }
    }
}

impl InFlight {
    /// How far the unit is. An app that runs and whose announcement stays as it was, for long enough, is well too.
    fn look(&mut self, picture: &Picture, now: Instant) -> Verdict {
        let verdict = self.wanted.look(picture);
        let unnoticed =
            matches!(verdict, Verdict::Waiting { .. }) && is_well(picture, &self.wanted.name) && {
                let mut plain = self.wanted.clone();
                plain.announced = false;
                matches!(plain.look(picture), Verdict::Done(_))
            };
        if !unnoticed {
            self.running_since = None;
            return verdict;
        }
        let since = *self.running_since.get_or_insert(now);
        if now.duration_since(since) < UNNOTICED {
            return verdict;
        }
        self.wanted.announced = false;
        self.wanted.look(picture)
    }
}
