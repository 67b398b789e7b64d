//! `stop`, `unload`, `destroy`: the way back.

use anyhow::Result;
use convoy_keys::{Desired, MachineId, Record, ScheduleRecord, UnitRecord, schedule_key, unit_key};
use convoy_store::{Compare, Transaction};
use convoy_unit_files::UnitName;

use super::Session;
use crate::{
    cli::StopArguments,
    exit::Outcome,
    picture::Picture,
    select::{self, Templates},
    wait::{Aim, Follow, Wanted, until},
    write::{self, Written},
};

pub(super) async fn stop(session: &mut Session<'_>, arguments: &StopArguments) -> Result<Outcome> {
    lower(session, arguments, Desired::Loaded).await
}

pub(super) async fn unload(session: &mut Session<'_>, arguments: &StopArguments) -> Result<Outcome> {
    lower(session, arguments, Desired::Inactive).await
}

async fn lower(session: &mut Session<'_>, arguments: &StopArguments, desired: Desired) -> Result<Outcome> {
    let picture = session.picture().await?;
    let selection = select::stored(&picture, &arguments.units, Templates::Refused)?;
    let mut outcome = missing(session, &selection.missing);
    let (verb, aim) = match desired {
        Desired::Loaded => ("stop", Aim::Stopped),
        _ => ("unload", Aim::Unloaded),
    };
    let mut wanted = Vec::new();
    for name in selection.names {
        let lowered = |before: Option<&UnitRecord>| {
            Ok(before.map(|record| UnitRecord { desired: record.desired.min(desired), ..record.clone() }))
        };
        if write::unit(&session.store, &name, lowered).await? == Written::Missing {
            session.console.note(format_args!(
                "Unit {name} is not in the store but runs: `convoyctl destroy {name}` ends it"
            ));
            outcome = outcome.and(Outcome::NotFound);
            continue;
        }
        wanted.push(Wanted::new(&picture, &name, aim));
    }
    Ok(outcome.and(finish(session, arguments, wanted, verb).await?))
}

pub(super) async fn destroy(session: &mut Session<'_>, arguments: &StopArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    let selection = select::stored(&picture, &arguments.units, Templates::Themselves)?;
    let broken = broken(&picture, arguments)?;
    let unknown = selection.missing.into_iter();
    let unknown: Vec<String> =
        unknown.filter(|text| !broken.iter().any(|name| mentions(text, name))).collect();
    let mut outcome = missing(session, &unknown);
    let mut wanted = Vec::new();
    let mut claimed = Vec::new();
    for name in selection.names.into_iter().chain(broken) {
        if write::remove(&session.store, &unit_key(&name)).await? == Written::Missing {
            claimed.extend(claim(session, &picture, &name).await?);
        }
        wanted.push(Wanted::new(&picture, &name, Aim::Destroyed));
    }
    if !claimed.is_empty() {
        // The orders have to stay until they are obeyed, so this is waited for in any case.
        outcome = outcome.and(finish_claims(session, &wanted, arguments).await?);
        for key in claimed {
            write::remove(&session.store, &key).await?;
        }
        return Ok(outcome);
    }
    Ok(outcome.and(finish(session, arguments, wanted, "destroy").await?))
}

/// Units whose record can't be read, by name: they can at least be destroyed.
fn broken(picture: &Picture, arguments: &StopArguments) -> Result<Vec<UnitName>> {
    let words = select::words(&arguments.units)?;
    let names = words.iter().filter_map(|word| UnitName::complete(word).ok());
    Ok(names.filter(|name| picture.broken.contains_key(&unit_key(name))).collect())
}

fn mentions(sentence: &str, name: &UnitName) -> bool {
    let word = sentence.split(": ").next().unwrap_or_default();
    UnitName::complete(word).is_ok_and(|mentioned| mentioned == *name)
}

/// Orders machines to let go of a unit that the store knows nothing of. Gives the keys of the orders.
async fn claim(session: &mut Session<'_>, picture: &Picture, name: &UnitName) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    let states: Vec<(MachineId, String)> =
        picture.states_of(name).map(|(machine, state)| (machine.clone(), state.hash.clone())).collect();
    for (machine, hash) in states {
        let key = schedule_key(&machine, name);
        let order = ScheduleRecord { hash, desired: Desired::Inactive, restarts: 0 };
        let transaction = Transaction::new()
            .when(Compare::Absent { key: key.clone() })
            .when(Compare::Absent { key: unit_key(name) })
            .put(&key, order.to_json()?);
        if session.store.commit(transaction).await?.succeeded {
            keys.push(key);
        }
    }
    Ok(keys)
}

async fn finish_claims(
    session: &mut Session<'_>,
    wanted: &[Wanted],
    arguments: &StopArguments,
) -> Result<Outcome> {
    let mut follow = Follow::start(&session.store, session.console).await?;
    until(&mut follow, session.console, wanted.to_vec(), arguments.waiting.limit()).await
}

async fn finish(
    session: &mut Session<'_>,
    arguments: &StopArguments,
    wanted: Vec<Wanted>,
    verb: &str,
) -> Result<Outcome> {
    if arguments.waiting.no_block {
        for unit in &wanted {
            session.console.line(format_args!("Triggered unit {} {verb}", unit.name));
        }
        return Ok(Outcome::Done);
    }
    if wanted.is_empty() {
        return Ok(Outcome::Done);
    }
    let mut follow = Follow::start(&session.store, session.console).await?;
    until(&mut follow, session.console, wanted, arguments.waiting.limit()).await
}

pub(super) fn missing(session: &mut Session<'_>, missing: &[String]) -> Outcome {
    for sentence in missing {
        session.console.note(format_args!("convoyctl: {sentence}"));
    }
    if missing.is_empty() { Outcome::Done } else { Outcome::NotFound }
}
