//! Events, as entries of the journal. Those that somebody may wait for, or wonder about, have an identifier.

use convoy_keys::MachineId;
use convoy_service::message;

use crate::event::Event;
use crate::metrics::Metrics;

/// Tells an event, and counts it.
pub(crate) fn tell(event: &Event, metrics: &Metrics) {
    match event {
        Event::MachineLost { .. }
        | Event::MachineBack { .. }
        | Event::MachineJoined { .. }
        | Event::FreezeBegins { .. }
        | Event::FreezeGoesOn { .. }
        | Event::FreezeEnds { .. }
        | Event::RebootDone { .. } => tell_machine(event, metrics),
        _ => tell_unit(event, metrics),
    }
}

fn tell_machine(event: &Event, metrics: &Metrics) {
    match event {
        Event::MachineLost { machine, units } => {
            metrics.machines_lost.inc();
            tracing::warn!(
                MESSAGE_ID = message::MACHINE_LOST,
                machine = %machine,
                units,
                "the machine {} is gone; it had {units} of the units that are scheduled",
                machine.short()
            );
        }
        Event::MachineBack { machine, away } => tracing::info!(
            MESSAGE_ID = message::MACHINE_BACK,
            machine = %machine,
            away_seconds = away.as_secs(),
            "the machine {} is back after {} s",
            machine.short(),
            away.as_secs()
        ),
        Event::MachineJoined { machine } => {
            tracing::info!(machine = %machine, "the machine {} has joined", machine.short());
        }
        Event::FreezeBegins { absent, known, lasts } => tracing::error!(
            MESSAGE_ID = message::FREEZE_BEGINS,
            absent = names(absent),
            known,
            lasts_seconds = lasts.as_secs(),
            "{} of {known} machines vanished at once ({}): their units are not moved for {} s, unless they are said to \
             be lost",
            absent.len(),
            names(absent),
            lasts.as_secs()
        ),
        Event::FreezeGoesOn { absent, lasts } => tracing::warn!(
            absent = names(absent),
            lasts_seconds = lasts.as_secs(),
            "the former leader froze moves: the units of machines that are away ({}) are not moved for another {} s",
            names(absent),
            lasts.as_secs()
        ),
        Event::FreezeEnds { reason } => {
            tracing::info!(MESSAGE_ID = message::FREEZE_ENDS, reason, "moves go on: {reason}");
        }
        Event::RebootDone { machine } => {
            tracing::info!(machine = %machine, "the announced reboot of {} is over", machine.short());
        }
        _ => {}
    }
}

fn tell_unit(event: &Event, metrics: &Metrics) {
    match event {
        Event::Placed { unit, machine } => {
            metrics.placements.inc();
            tracing::info!(
                MESSAGE_ID = message::UNIT_PLACED,
                app_unit = %unit,
                machine = %machine,
                "{unit} is placed on {}",
                machine.short()
            );
        }
        Event::Adopted { unit, machine } => {
            metrics.placements.inc();
            tracing::info!(
                MESSAGE_ID = message::UNIT_PLACED,
                app_unit = %unit,
                machine = %machine,
                "{unit} is left on {}, where it was found",
                machine.short()
            );
        }
        Event::Moved { unit, from, to, cause } => {
            metrics.moves.inc();
            tracing::info!(
                MESSAGE_ID = message::UNIT_MOVED,
                app_unit = %unit,
                machine = %to,
                from = %from,
                cause = cause.as_str(),
                "{unit} moves from {} to {}: {}",
                from.short(),
                to.short(),
                cause.as_str()
            );
        }
        Event::Pending { unit, reason } => tracing::warn!(
            MESSAGE_ID = message::UNIT_PENDING,
            app_unit = %unit,
            reason = printable(reason),
            "{unit} is on no machine: {}",
            printable(reason)
        ),
        Event::Rejected { unit, problem } => tracing::warn!(
            MESSAGE_ID = message::UNIT_REJECTED,
            app_unit = %unit,
            error = printable(problem),
            "the file of {unit} can't be used; where it runs it is left as it is: {}",
            printable(problem)
        ),
        Event::Skipped { key, problem } => tracing::warn!(
            MESSAGE_ID = message::VALUE_SKIPPED,
            key = printable(key),
            error = printable(problem),
            "a value in the store is unusable: {}",
            printable(key)
        ),
        Event::MoveRefused { unit, machine, reason } => tracing::warn!(
            app_unit = %unit,
            machine = %machine,
            reason,
            "{unit} is not moved to {}: {reason}",
            machine.short()
        ),
        Event::FailedOften { unit, machine, failures, avoided_for } => tracing::warn!(
            app_unit = %unit,
            machine = %machine,
            failures,
            avoided_seconds = avoided_for.as_secs(),
            "{unit} failed {failures} times in a row on {}; another machine is better for the next {} s",
            machine.short(),
            avoided_for.as_secs()
        ),
        Event::RolloutStopped { unit, machine } => tracing::error!(
            app_unit = %unit,
            machine = %machine,
            "the new version of {unit} failed on {}; the other machines keep the old one until the unit is changed again",
            machine.short()
        ),
        _ => {}
    }
}

fn names(machines: &[MachineId]) -> String {
    machines.iter().map(MachineId::short).collect::<Vec<_>>().join(", ")
}

/// Text from outside, without what could confuse a terminal.
fn printable(text: &str) -> String {
    text.chars().take(600).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
