//! Failures: what counts as one, how many there were, and when to try again.

use std::time::Duration;

use convoy_systemd::{ActiveState, ServiceEnd, UnitStatus};
use convoy_unit_files::UnitName;
use tokio::time::Instant;

use super::{News, Roster};

/// Up for this long, a unit's failures are forgotten.
pub(super) const STEADY: Duration = Duration::from_secs(60);
/// The longest wait before a failed unit is started again.
const LONGEST: Duration = Duration::from_secs(300);
/// Before something is tried again that is not the unit's own fault.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// How long to wait after that many failures in a row: 1 s, doubled each time, 5 min at most.
pub(super) fn pause(failures: u32) -> Duration {
    let doubled =
        1_u32.checked_shl(failures.saturating_sub(1)).filter(|_| failures <= 31).unwrap_or(u32::MAX);
    (Duration::from_secs(1) * doubled.min(300)).min(LONGEST)
}

/// Whether a unit failed between two looks: it is failed now and was not, or in another run; or systemd is about to
/// start it again after an end that was none it wished for.
pub(super) fn is_failure(before: Option<&UnitStatus>, now: &UnitStatus, end: Option<&ServiceEnd>) -> bool {
    let Some(before) = before else { return false };
    let another_run = before.invocation_id != now.invocation_id;
    if now.state() == ActiveState::Failed {
        // After its last automatic start systemd gives up without another run: counted already.
        let counted = before.sub.starts_with("auto-restart") && !another_run;
        return (before.state() != ActiveState::Failed && !counted)
            || (before.state() == ActiveState::Failed && another_run);
    }
    let restarts = now.sub.starts_with("auto-restart");
    let news = !before.sub.starts_with("auto-restart") || another_run;
    restarts && news && end.is_some_and(|end| !end.succeeded())
}

impl Roster {
    /// A unit failed.
    pub(super) fn fail(
        &mut self,
        name: &UnitName,
        status: &UnitStatus,
        end: Option<&ServiceEnd>,
        now: Instant,
    ) {
        let Some(unit) = self.units.get_mut(name) else { return };
        let Some(held) = unit.held.as_mut().filter(|held| held.run.is_some() || held.pending.is_some())
        else {
            return;
        };
        if held.fenced {
            return;
        }
        held.failures = held.failures.saturating_add(1);
        self.unsaved = true;
        let why = end.map_or_else(String::new, |end| end.result.clone());
        self.news.push(News::Failed(name.clone(), held.failures, why));
        // While systemd itself starts it again there is nothing to do.
        if status.state() == ActiveState::Failed && end.is_some_and(ServiceEnd::wants_restart) {
            unit.again_at = Some(now + pause(held.failures));
        }
    }

    /// A start came to nothing without the unit having failed.
    pub(super) fn stumble(&mut self, name: &UnitName, now: Instant) {
        let Some(unit) = self.units.get_mut(name) else { return };
        let Some(held) = &mut unit.held else { return };
        held.failures = held.failures.saturating_add(1);
        self.news.push(News::Failed(name.clone(), held.failures, unit.error.clone().unwrap_or_default()));
        unit.again_at = Some(now + pause(held.failures));
    }

    /// Forgets the failures of units that have stayed up.
    pub(super) fn forgive(&mut self, now: Instant) {
        for unit in self.units.values_mut() {
            let Some(held) = unit.held.as_mut().filter(|held| held.failures > 0) else { continue };
            if unit.up_since.is_some_and(|since| since + STEADY <= now) {
                held.failures = 0;
                self.unsaved = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let seconds: Vec<u64> = (1..=11).map(|failures| pause(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(pause(u32::MAX).as_secs(), 300);
    }

    #[test]
    fn each_failure_counts_once() {
        let at = |active: &str, sub: &str, invocation: &str| UnitStatus {
            active: active.into(),
            sub: sub.into(),
            invocation_id: invocation.into(),
            ..UnitStatus::default()
        };
        let bad = ServiceEnd { result: "exit-code".into(), restart: "always".into() };
        let good = ServiceEnd { result: "success".into(), restart: "always".into() };
        let running = at("active", "running", "1");
        let again = at("activating", "auto-restart", "1");
        for (name, before, now, end, counts) in [
            ("it fails", &running, at("failed", "failed", "1"), &bad, true),
            ("it is still failed", &at("failed", "failed", "1"), at("failed", "failed", "1"), &bad, false),
            (
                "it failed again, too fast to be seen",
                &at("failed", "failed", "1"),
                at("failed", "failed", "2"),
                &bad,
                true,
            ),
            ("systemd starts it again", &running, again.clone(), &bad, true),
            ("the same, seen twice", &again, again.clone(), &bad, false),
            ("it fell again, too fast to be seen", &again, at("activating", "auto-restart", "2"), &bad, true),
            ("systemd gives up", &again, at("failed", "failed", "1"), &bad, false),
            ("it ended well and is started again", &running, again.clone(), &good, false),
            ("it stops", &running, at("inactive", "dead", "1"), &good, false),
        ] {
            assert_eq!(is_failure(Some(before), &now, Some(end)), counts, "{name}");
        }
    }
}
