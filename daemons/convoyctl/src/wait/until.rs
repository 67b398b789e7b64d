//! Waiting for several units at once.

use std::time::Duration;

use anyhow::Result;
use convoy_unit_files::UnitName;
use tokio::time::{Instant, sleep_until};

use super::{Follow, Reasons, Verdict, Wanted};
use crate::{console::Console, exit::Outcome};

/// The scheduler is given this long to place a unit before it is asked why it didn't: reasons are for units that wait.
const PATIENCE: Duration = Duration::from_millis(300);
/// Reasons are worked out no more often.
const REASONS_EVERY: Duration = Duration::from_secs(1);

/// Waits until all are there, says how each one ended, and why those wait that have no machine. `limit` bounds it.
pub async fn until(
    follow: &mut Follow,
    console: &mut Console,
    mut wanted: Vec<Wanted>,
    limit: Option<Duration>,
) -> Result<Outcome> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    let mut reasons = Reasons::default();
    let mut ask_at = Some(Instant::now() + PATIENCE);
    let mut outcome = Outcome::Done;
    let mut last: Vec<(UnitName, String)> = Vec::new();
    loop {
        let mut unplaced = Vec::new();
        last.clear();
        wanted.retain(|unit| match unit.look(follow.picture()) {
            Verdict::Done(sentence) => {
                console.line(sentence);
                false
            }
            Verdict::Failed(sentence) => {
                console.note(sentence);
                outcome = outcome.and(Outcome::Pending);
                false
            }
            Verdict::Waiting { what, trouble } => {
                if let Some(trouble) = trouble {
                    reasons.trouble(&unit.name, &trouble, console);
                }
                last.push((unit.name.clone(), what));
                true
            }
            Verdict::Unplaced => {
                last.push((unit.name.clone(), "no machine yet".to_owned()));
                unplaced.push(unit.name.clone());
                true
            }
        });
        if wanted.is_empty() {
            return Ok(outcome);
        }
        let now = Instant::now();
        let is_over = deadline.is_some_and(|deadline| now >= deadline);
        if is_over || ask_at.is_some_and(|at| now >= at) {
            ask_at = None;
            // A global that fits no machine is done: it goes to the first one that it fits.
            for name in reasons.tell(follow.picture(), &unplaced, console) {
                console.note(format_args!("Global unit {name} fits no machine at present."));
                wanted.retain(|unit| unit.name != name);
            }
            if wanted.is_empty() {
                return Ok(outcome);
            }
        }
        if is_over {
            for (name, what) in &last {
                console.note(format_args!("Unit {name}: given up waiting ({what})"));
            }
            return Ok(outcome.and(Outcome::Pending));
        }
        console.progress(&summary(&last));
        let wake = [ask_at, deadline].into_iter().flatten().min();
        tokio::select! {
            () = follow.changed(console) => {
                ask_at = ask_at.or_else(|| (!unplaced.is_empty()).then(|| Instant::now() + REASONS_EVERY));
            }
            () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
        }
    }
}

fn summary(last: &[(UnitName, String)]) -> String {
    match last {
        [] => String::new(),
        [(name, what)] => format!("waiting for {name}: {what}"),
        [(name, what), ..] => format!("waiting for {} units; {name}: {what}", last.len()),
    }
}
