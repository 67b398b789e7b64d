//! The drop-in that makes a unit one of ours. Pure.

use std::fmt::Write;
use std::time::Duration;

use convoy_unit_files::UnitName;

use crate::held::Traits;

/// The drop-in's name; an admin's own with a higher number comes after it.
pub const FILE: &str = "50-convoy.conf";

/// The text of a unit's drop-in.
pub fn text(unit: &UnitName, traits: &Traits) -> String {
    let mut text = String::from(
        "# Written by Convoy's agent for a unit of its schedule.\n[Unit]\n\
         # At a shutdown the unit is stopped while the agent can still tell the others.\nAfter=agent.service\n",
    );
    let Some(fence) = traits.fence else { return text };
    let lease = fence.unit();
    // Writing to a String never fails.
    let _ = write!(
        text,
        "# Ends when this machine can't reach the store in time, and this unit with it (WhenCutOff=).\n\
         BindsTo={lease}\nAfter={lease}\n"
    );
    if unit.as_str().ends_with(".service") {
        let limit = phase_limit(traits);
        let _ = write!(
            text,
            "\n[Service]\n# Each step of a stop may take this long, all of them together StopWithin=.\n\
             TimeoutStopSec={}ms\nTimeoutStopFailureMode=kill\nSendSIGKILL=yes\n",
            limit.as_millis()
        );
    }
    text
}

/// systemd measures each `ExecStop=` and then the time after SIGTERM by itself (systemd.service(5)); all of them
/// together have to fit.
fn phase_limit(traits: &Traits) -> Duration {
    let phases = traits.stop_commands.saturating_add(1);
    (traits.stop_within / phases).max(Duration::from_millis(100))
}

/// How many `ExecStop=` commands a unit's text has. A miscount only moves the worst case, which has room.
pub fn stop_commands(text: &str) -> u32 {
    let joined = text.replace("\\\n", " ");
    let mut count = 0;
    for line in joined.lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        if name.trim() == "ExecStop" {
            // An empty value takes back those before it.
            count = if value.trim().is_empty() { 0 } else { count + 1 };
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::Fence;

    fn traits(fence: Option<Fence>, stop_commands: u32) -> Traits {
        Traits { fence, stop_commands, stop_within: Duration::from_secs(10), ..Traits::default() }
    }

    #[test]
    fn a_unit_that_runs_on_is_only_ordered() {
        let unit = UnitName::parse("a.service").unwrap();
        let text = text(&unit, &traits(None, 1));
        assert!(text.ends_with("[Unit]\n# At a shutdown the unit is stopped while the agent can still tell the others.\nAfter=agent.service\n"), "{text}");
    }

    #[test]
    fn a_fenced_unit_is_bound_to_its_lease_and_stops_in_time() {
        let unit = UnitName::parse("a.service").unwrap();
        let text = text(&unit, &traits(Some(Fence::Lease), 1));
        for line in ["BindsTo=convoy-lease.service", "After=convoy-lease.service", "TimeoutStopSec=5000ms"] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        let timer = UnitName::parse("a.timer").unwrap();
        let text = super::text(&timer, &traits(Some(Fence::After(60)), 0));
        assert!(text.contains("BindsTo=convoy-lease@60.service") && !text.contains("[Service]"), "{text}");
    }

    #[test]
    fn stop_commands_are_counted_as_systemd_reads_them() {
        for (text, count) in [
            ("[Service]\nExecStart=/bin/a\n", 0),
            ("ExecStop=/bin/a \\\n  ExecStop=x\nExecStop = /bin/b\n#ExecStop=/bin/c\n", 2),
            ("ExecStop=/bin/a\nExecStop=\n", 0),
            ("ExecStopPost=/bin/a\n", 0),
        ] {
            assert_eq!(stop_commands(text), count, "{text:?}");
        }
    }
}
