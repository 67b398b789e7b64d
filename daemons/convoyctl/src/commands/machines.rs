//! `drain`, `cordon` and back, `announce-reboot`, `resume`.

use std::collections::BTreeSet;

use anyhow::Result;
use convoy_keys::{
    Desired, FREEZE, MachineId, MaintenanceMode, MaintenanceRecord, RESUME, Record, maintenance_key,
};
use convoy_unit_files::UnitName;
use tokio::time::{Duration, Instant, sleep_until};

use super::{Session, list::mode};
use crate::{
    cli::{AnnounceArguments, DrainArguments, MachinesArguments, Waiting},
    exit::Outcome,
    machine,
    picture::Picture,
    plan::Question,
    wait::{Follow, Reasons, now},
    write::{self, Written},
};

/// How often it is worked out why a machine isn't empty yet.
const REASONS_EVERY: Duration = Duration::from_secs(2);

fn find(picture: &Picture, words: &[String]) -> Result<Vec<MachineId>> {
    let mut machines = Vec::new();
    for word in words {
        let found = machine::find(picture, word)?;
        if !machines.contains(&found) {
            machines.push(found);
        }
    }
    Ok(machines)
}

async fn order(
    session: &mut Session<'_>,
    machines: &[MachineId],
    mode: MaintenanceMode,
    until: Option<u64>,
) -> Result<()> {
    for machine in machines {
        let record = MaintenanceRecord { mode, since: now(), until };
        session.store.put(&maintenance_key(machine), &record.to_json()?).await?;
    }
    Ok(())
}

pub(super) async fn cordon(session: &mut Session<'_>, arguments: &MachinesArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    let machines = find(&picture, &arguments.machines)?;
    order(session, &machines, MaintenanceMode::Cordon, None).await?;
    for machine in &machines {
        session
            .console
            .line(format_args!("Machine {} cordoned: nothing new comes", picture.label(machine, false)));
    }
    Ok(Outcome::Done)
}

/// Undoes whatever was ordered: the operator who says uncordon of a drained machine wants to use it again.
pub(super) async fn release(session: &mut Session<'_>, arguments: &MachinesArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    for machine in find(&picture, &arguments.machines)? {
        let label = picture.label(&machine, false);
        let was = picture.maintenance.get(&machine).map_or("in use", |record| mode(record.mode));
        match write::remove(&session.store, &maintenance_key(&machine)).await? {
            Written::Changed(_) => {
                session.console.line(format_args!("Machine {label} takes units again (was: {was})"));
            }
            _ => session.console.line(format_args!("Machine {label} is in use already")),
        }
    }
    Ok(Outcome::Done)
}

pub(super) async fn announce(session: &mut Session<'_>, arguments: &AnnounceArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    let machines = find(&picture, &arguments.machines)?;
    let until = now() + arguments.within.as_secs();
    order(session, &machines, MaintenanceMode::Reboot, Some(until)).await?;
    for machine in &machines {
        session.console.line(format_args!(
            "Machine {}: its units wait for it, {} s from now at most",
            picture.label(machine, false),
            arguments.within.as_secs()
        ));
    }
    Ok(Outcome::Done)
}

pub(super) async fn drain(session: &mut Session<'_>, arguments: &DrainArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    let machines = find(&picture, &arguments.machines)?;
    // Some may be on their way before we look again.
    let mut moving: BTreeSet<UnitName> =
        machines.iter().flat_map(|machine| units_on(&picture, machine)).collect();
    order(session, &machines, MaintenanceMode::Drain, None).await?;
    if arguments.waiting.no_block {
        for machine in &machines {
            session.console.line(format_args!("Machine {} is being drained", picture.label(machine, false)));
        }
        return Ok(Outcome::Done);
    }
    let mut follow = Follow::start(&session.store, session.console).await?;
    let deadline = arguments.waiting.limit().map(|limit| Instant::now() + limit);
    let mut reasons = Reasons::default();
    let mut ask_at = Instant::now() + REASONS_EVERY;
    let mut left: Vec<MachineId> = machines.clone();
    loop {
        moving.extend(left.iter().flat_map(|machine| units_on(follow.picture(), machine)));
        left.retain(|machine| !units_on(follow.picture(), machine).is_empty());
        if left.is_empty()
            && let Some(homeless) = arrived(follow.picture(), &moving)
        {
            for machine in &machines {
                let label = follow.picture().label(machine, false);
                session.console.line(format_args!("Machine {label} drained"));
            }
            reasons.tell(follow.picture(), &homeless, session.console);
            return Ok(if homeless.is_empty() { Outcome::Done } else { Outcome::Pending });
        }
        let there: Vec<UnitName> =
            left.iter().flat_map(|machine| units_on(follow.picture(), machine)).collect();
        let others: BTreeSet<UnitName> =
            moving.iter().filter(|unit| !there.contains(unit)).cloned().collect();
        let is_stuck = !there.is_empty()
            && arrived(follow.picture(), &others).is_some()
            && pending(follow.picture(), &there).len() == there.len();
        if is_stuck {
            reasons.tell(follow.picture(), &there, session.console);
            let names: Vec<_> = there.iter().map(ToString::to_string).collect();
            session.console.note(format_args!("Fits nowhere else, and is still there: {}", names.join(" ")));
            return Ok(Outcome::Pending);
        }
        let now = Instant::now();
        let is_over = deadline.is_some_and(|deadline| now >= deadline);
        if is_over || now >= ask_at {
            ask_at = now + REASONS_EVERY;
            let all: Vec<UnitName> = moving.iter().cloned().collect();
            reasons.tell(follow.picture(), &all, session.console);
        }
        if is_over {
            let names: Vec<_> = there.iter().map(ToString::to_string).collect();
            let names = if names.is_empty() { "what left is not up yet".to_owned() } else { names.join(" ") };
            session.console.note(format_args!("Given up waiting; still there: {names}"));
            return Ok(Outcome::Pending);
        }
        session.console.progress(&format!("draining: {} units are still there", there.len()));
        let wake = deadline.map_or(ask_at, |deadline| deadline.min(ask_at));
        tokio::select! {
            () = follow.changed(session.console) => {}
            () = sleep_until(wake) => {}
        }
    }
}

/// What a machine has to run, or still runs.
fn units_on(picture: &Picture, machine: &MachineId) -> Vec<UnitName> {
    let scheduled = picture.schedule.iter().filter(|(_, on)| on.contains_key(machine)).map(|(unit, _)| unit);
    let stated = picture.states.iter().filter(|(_, on)| on.contains_key(machine)).map(|(unit, _)| unit);
    let mut units: Vec<UnitName> = scheduled.chain(stated).cloned().collect();
    units.sort();
    units.dedup();
    units
}

/// Whether all units that had to leave are up elsewhere; those that fit nowhere else are not waited for, but named.
fn arrived(picture: &Picture, units: &BTreeSet<UnitName>) -> Option<Vec<UnitName>> {
    let mut homeless = Vec::new();
    for unit in units {
        let Some(stored) = picture.units.get(unit) else { continue };
        let mut places = picture.scheduled(unit).peekable();
        let is_wanted = stored.record.desired != Desired::Inactive && !picture.is_global(unit);
        if places.peek().is_none() && is_wanted {
            homeless.push(unit.clone());
        }
        let mut launched = places.filter(|(_, entry)| entry.desired == Desired::Launched);
        let is_up = |machine| picture.state(unit, machine).is_some_and(|state| state.active != "activating");
        if !launched.all(|(machine, _)| is_up(machine)) {
            return None;
        }
    }
    if homeless.is_empty() {
        return Some(homeless);
    }
    (pending(picture, &homeless).len() == homeless.len()).then_some(homeless)
}

/// Those of the units that fit no machine.
fn pending(picture: &Picture, units: &[UnitName]) -> Vec<UnitName> {
    let answer = Question::of_picture(picture, now()).answer();
    let pending = answer.units.iter().filter(|unit| unit.is_pending()).map(|unit| unit.name.as_str());
    let pending: BTreeSet<&str> = pending.collect();
    units.iter().filter(|unit| pending.contains(unit.as_str())).cloned().collect()
}

pub(super) async fn resume(session: &mut Session<'_>, waiting: Waiting) -> Result<Outcome> {
    let picture = session.picture().await?;
    let Some(freeze) = &picture.freeze else {
        session.console.line("Moves are not frozen.");
        return Ok(Outcome::Done);
    };
    let absent: Vec<_> = freeze.absent.iter().map(|machine| picture.label(machine, false)).collect();
    session.store.put(RESUME, b"{}").await?;
    session.console.line(format_args!("Taken for lost: {}", absent.join(", ")));
    if waiting.no_block {
        return Ok(Outcome::Done);
    }
    let mut follow = Follow::start(&session.store, session.console).await?;
    let deadline = waiting.limit().map(|limit| Instant::now() + limit);
    while follow.picture().freeze.is_some() {
        session.console.progress(&format!("waiting for the scheduler to take {FREEZE} away"));
        let wake = deadline.unwrap_or_else(Instant::now);
        tokio::select! {
            () = follow.changed(session.console) => {}
            () = sleep_until(wake), if deadline.is_some() => {
                session.console.note("The freeze is still there; check scheduler.service on the leader.");
                return Ok(Outcome::Pending);
            }
        }
    }
    session.console.line("Moves go on.");
    Ok(Outcome::Done)
}
