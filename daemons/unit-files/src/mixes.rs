//! Which options go together: fleet's table of allowed combinations.

use crate::{Glob, fleet::Placement, option::Item, quote::shown, report::Report};

/// Checks all pairs of options. What fleet refused is an error in either mode.
pub(crate) fn check(placement: &Placement, report: &mut Report<'_>) {
    let id = placement.machine_id.first();
    let of = placement.machine_of.first();
    let conflicts = placement.conflicts.first();
    let replaces = placement.replaces.first();
    let global = placement.global.as_ref();
    for (left, right, why) in [
        (id, of, "the unit can't be pinned and follow another one"),
        (id, conflicts, "a pinned unit can't keep away from others"),
        (id, global, "a pinned unit isn't on every machine"),
        (id, replaces, "a pinned unit can't take another one's place"),
        (of, global, "a unit on every machine follows no other one"),
        (conflicts, replaces, "the unit either keeps away from others or takes their place"),
        (global, replaces, "a unit on every machine takes nobody's place"),
    ] {
        if let (Some(left), Some(right)) = (left, right) {
            report.error(
                left.line.max(right.line),
                right.option,
                format!("it doesn't go together with {} (line {}): {why}", left.option, left.line),
                format!("take out {} or {}", left.option, right.option),
            );
        }
    }
    overlap(&placement.conflicts, &placement.machine_of, report);
    overlap(&placement.replaces, &placement.machine_of, report);
}

/// A unit can't share a machine with the unit that it keeps away from.
fn overlap(patterns: &[Item], peers: &[Item], report: &mut Report<'_>) {
    if peers.is_empty() {
        return;
    }
    for pattern in patterns {
        let expanded = Glob::parse(&pattern.text).ok();
        let raw = Glob::parse(&pattern.raw).ok();
        for peer in peers {
            let matches =
                |glob: &Option<Glob>, name: &str| glob.as_ref().is_some_and(|glob| glob.matches(name));
            let message = format!(
                "{:?} matches {:?}, which the unit has to share the machine with (MachineOf in line {})",
                shown(&pattern.text),
                shown(&peer.text),
                peer.line
            );
            let remedy = format!("take out MachineOf, or a {} that leaves this unit alone", pattern.option);
            if matches(&raw, &peer.raw) {
                report.error(pattern.line, pattern.option, message, remedy);
            } else if matches(&expanded, &peer.text) {
                report.let_through(pattern.line, pattern.option, &message, "the unit waits for ever", remedy);
            }
        }
    }
}
