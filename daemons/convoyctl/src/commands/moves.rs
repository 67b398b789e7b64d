//! `move` and `rebalance`: units from machine to machine, in the hands of the scheduler.

use anyhow::Result;
use convoy_keys::{MachineId, MoveRecord, Record, move_key};
use convoy_placement::{Placement, place};
use convoy_unit_files::UnitName;
use tokio::time::{Duration, Instant, sleep_until};

use super::{Session, explain};
use crate::{
    balance,
    cli::{MoveArguments, RebalanceArguments},
    exit::Outcome,
    machine,
    picture::Picture,
    plan::Question,
    refusal::Refusal,
    select::{self, Templates},
    wait::{Follow, now},
};

pub(super) async fn one(session: &mut Session<'_>, arguments: &MoveArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    let selection = select::stored(&picture, std::slice::from_ref(&arguments.unit), Templates::Refused)?;
    let name = match (selection.names.as_slice(), selection.missing.into_iter().next()) {
        ([name], None) if picture.units.contains_key(name) => name.clone(),
        (_, Some(missing)) => return Err(Refusal::NotFound(missing).into()),
        _ => return Err(Refusal::Usage(format!("{}: name one unit of the store", arguments.unit)).into()),
    };
    let target = machine::find(&picture, &arguments.machine)?;
    if picture.is_global(&name) {
        return Err(Refusal::Usage(format!("{name} is global: it is on every machine that it fits")).into());
    }
    if picture.scheduled(&name).any(|(machine, _)| *machine == target) {
        session.console.line(format_args!("Unit {name} is on {} already", picture.label(&target, false)));
        return Ok(Outcome::Done);
    }
    if let Err(why) = would_obey(&picture, &name, &target) {
        return Err(Refusal::Pending(why).into());
    }
    ask(session, &name, &target).await?;
    if arguments.waiting.no_block {
        session.console.line(format_args!("Triggered unit {name} move"));
        return Ok(Outcome::Done);
    }
    let mut follow = Follow::start(&session.store, session.console).await?;
    arrive(session, &mut follow, &name, &target, arguments.waiting.limit()).await
}

/// What placement makes of the wish.
fn would_obey(picture: &Picture, name: &UnitName, target: &MachineId) -> Result<(), String> {
    let mut question = Question::of_picture(picture, now());
    for unit in question.units.iter_mut().filter(|unit| unit.name == name.as_str()) {
        unit.wish = Some(target.to_string());
    }
    let placement = answer(&question);
    if placement.assigned.get(name.as_str()).map(String::as_str) == Some(target.as_str()) {
        return Ok(());
    }
    let label = picture.label(target, false);
    let mut why = format!("Unit {name} can't go to {label}:");
    for reason in explain::against(&question, name.as_str(), target.as_str()) {
        why.push_str("\n  ");
        why.push_str(&reason);
    }
    Err(why)
}

fn answer(question: &Question) -> Placement {
    place(&question.machines, &question.placement_units(&question.read()))
}

async fn ask(session: &mut Session<'_>, name: &UnitName, target: &MachineId) -> Result<()> {
    let record = MoveRecord { machine: target.clone() };
    session.store.put(&move_key(name), &record.to_json()?).await?;
    Ok(())
}

/// Waits until a unit that was asked to move runs where it was asked to go.
async fn arrive(
    session: &mut Session<'_>,
    follow: &mut Follow,
    name: &UnitName,
    target: &MachineId,
    limit: Option<Duration>,
) -> Result<Outcome> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    loop {
        let picture = follow.picture();
        let label = picture.label(target, false);
        let state = picture.state(name, target);
        let on_target = picture.scheduled(name).any(|(machine, _)| machine == target);
        let elsewhere = picture.scheduled(name).find(|(machine, _)| *machine != target);
        let wanted = picture.units.get(name).map(|unit| unit.record.desired);
        let what = match (on_target, elsewhere, state) {
            (true, _, Some(state))
                if state.active == "active" || wanted != Some(convoy_keys::Desired::Launched) =>
            {
                session.console.line(format_args!("Unit {name} moved to {label}"));
                return Ok(Outcome::Done);
            }
            (true, _, Some(state)) if state.active == "failed" => {
                session
                    .console
                    .note(format_args!("Unit {name} moved to {label} and failed there ({})", state.sub));
                return Ok(Outcome::Pending);
            }
            (true, _, Some(state)) => format!("{label}: {} ({})", state.active, state.sub),
            (true, _, None) => format!("{label} is loading it"),
            // The scheduler removes the order when it has obeyed it, or won't.
            (false, Some((machine, _)), _) if !picture.moves.contains_key(name) => {
                let stays = picture.label(machine, false);
                session.console.note(format_args!(
                    "Unit {name} stays on {stays}: the scheduler refused; `convoyctl explain {name}` says why"
                ));
                return Ok(Outcome::Pending);
            }
            (false, Some((machine, _)), _) => format!("{} still has it", picture.label(machine, false)),
            (false, None, _) => "between two machines".to_owned(),
        };
        if wanted.is_none() {
            return Err(Refusal::NotFound(format!("{name}: somebody destroyed it meanwhile")).into());
        }
        session.console.progress(&format!("moving {name}: {what}"));
        let wake = deadline.unwrap_or_else(Instant::now);
        tokio::select! {
            () = follow.changed(session.console) => {}
            () = sleep_until(wake), if deadline.is_some() => {
                session.console.note(format_args!("Unit {name}: given up waiting ({what})"));
                return Ok(Outcome::Pending);
            }
        }
    }
}

pub(super) async fn rebalance(session: &mut Session<'_>, arguments: &RebalanceArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    let moves = balance::moves(&Question::of_picture(&picture, now()));
    if moves.is_empty() {
        session.console.line("The machines are in balance: no move would make it better.");
        return Ok(Outcome::Done);
    }
    let label =
        |id: &str| MachineId::parse(id).map_or_else(|_| id.to_owned(), |id| picture.label(&id, false));
    for step in &moves {
        let (from, to) = (label(&step.from), label(&step.to));
        let verb = if arguments.dry_run { "would move" } else { "moves" };
        session.console.line(format_args!("Unit {} {verb} from {from} to {to}", step.unit));
    }
    if arguments.dry_run {
        return Ok(Outcome::Done);
    }
    // One at a time: each is up again before the next one stops.
    for step in &moves {
        let name = UnitName::parse(&step.unit)?;
        let target = MachineId::parse(&step.to)?;
        ask(session, &name, &target).await?;
        if arguments.waiting.no_block {
            continue;
        }
        let mut follow = Follow::start(&session.store, session.console).await?;
        let outcome = arrive(session, &mut follow, &name, &target, arguments.waiting.limit()).await?;
        if outcome != Outcome::Done {
            return Ok(outcome);
        }
    }
    Ok(Outcome::Done)
}
