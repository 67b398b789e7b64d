//! `submit`, `load`, `start`: into the store, onto a machine, running.

use anyhow::Result;
use convoy_keys::{Desired, UnitRecord};
use convoy_unit_files::{Strictness, UnitName};

use super::Session;
use crate::{
    batch::{Batch, Item, Replace},
    cli::{LaunchArguments, SubmitArguments},
    exit::Outcome,
    picture::Picture,
    refusal::Refusal,
    select::{self, Templates},
    source::Source,
    wait::{Aim, Follow, Wanted, until},
    write::{self, Written},
};

pub(super) fn strictness(compat: bool) -> Strictness {
    if compat { Strictness::Compatible } else { Strictness::Strict }
}

pub(super) async fn submit(session: &mut Session<'_>, arguments: &SubmitArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    let replace = if arguments.replace { Replace::UpTo(Desired::Inactive) } else { Replace::No };
    let strictness = strictness(arguments.compat);
    let batch = Batch::new(&picture, sources(&picture, &arguments.units)?, replace, strictness)?;
    store(session, &picture, &batch, strictness).await
}

/// Checks a batch and writes it, leaving alone what is wanted of its units.
pub(super) async fn store(
    session: &mut Session<'_>,
    picture: &Picture,
    batch: &Batch,
    strictness: Strictness,
) -> Result<Outcome> {
    check(session, picture, batch, strictness)?;
    for item in &batch.items {
        let mut desired = Desired::Inactive;
        write::unit(&session.store, &item.name, |before| {
            let record = item.record(before);
            desired = record.as_ref().map_or(desired, |record| record.desired);
            Ok(record)
        })
        .await?;
        session.console.line(format_args!("Unit {} {}", item.name, desired.as_str()));
    }
    Ok(Outcome::Done)
}

pub(super) fn check(
    session: &mut Session<'_>,
    picture: &Picture,
    batch: &Batch,
    strictness: Strictness,
) -> Result<()> {
    for note in &batch.notes {
        session.console.note(note);
    }
    for warning in batch.check(picture, strictness).map_err(Refusal::from)? {
        session.console.note(warning);
    }
    Ok(())
}

/// What the arguments name: patterns find units of the store, everything else is looked up everywhere.
pub(super) fn sources(picture: &Picture, arguments: &[String]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for word in select::words(arguments)? {
        if select::is_pattern(&word) {
            let found = select::stored(picture, std::slice::from_ref(&word), Templates::Refused)?;
            if let Some(missing) = found.missing.into_iter().next() {
                return Err(Refusal::NotFound(missing).into());
            }
            for name in found.names {
                sources.push(Source::find(picture, name.as_str())?);
            }
        } else {
            sources.push(Source::find(picture, &word)?);
        }
    }
    Ok(sources)
}

pub(super) async fn load(session: &mut Session<'_>, arguments: &LaunchArguments) -> Result<Outcome> {
    launch(session, arguments, Desired::Loaded).await
}

pub(super) async fn start(session: &mut Session<'_>, arguments: &LaunchArguments) -> Result<Outcome> {
    launch(session, arguments, Desired::Launched).await
}

async fn launch(session: &mut Session<'_>, arguments: &LaunchArguments, desired: Desired) -> Result<Outcome> {
    let picture = session.picture().await?;
    let replace = if arguments.replace { Replace::UpTo(desired) } else { Replace::No };
    let strictness = strictness(arguments.compat);
    let sources = sources(&picture, &arguments.units)?;
    if let Some(template) = sources.iter().find(|source| source.name.is_template()) {
        let message = format!("{} is a template; name an instance, or `submit` it", template.name);
        return Err(Refusal::Usage(message).into());
    }
    let batch = Batch::new(&picture, sources, replace, strictness)?;
    check(session, &picture, &batch, strictness)?;
    let aim = if desired == Desired::Loaded { Aim::Loaded } else { Aim::Launched { word: "launched" } };
    let mut wanted = Vec::new();
    for item in &batch.items {
        let again = desired == Desired::Launched && has_ended(&picture, &item.name);
        let written = write::unit(&session.store, &item.name, |before| {
            Ok(item
                .record(before)
                .map(|record| raised(record, desired, again && before == stored(&picture, item))))
        })
        .await?;
        if written == Written::Missing {
            let message = format!("{}: somebody destroyed it meanwhile", item.name);
            return Err(Refusal::NotFound(message).into());
        }
        wanted.push(Wanted::new(&picture, &item.name, aim));
    }
    if arguments.waiting.no_block {
        let verb = if desired == Desired::Loaded { "load" } else { "start" };
        for unit in &wanted {
            session.console.line(format_args!("Triggered unit {} {verb}", unit.name));
        }
        return Ok(Outcome::Done);
    }
    let mut follow = Follow::start(&session.store, session.console).await?;
    // What a template says of Global is known only now.
    for unit in &mut wanted {
        unit.global = follow.picture().is_global(&unit.name);
    }
    until(&mut follow, session.console, wanted, arguments.waiting.limit()).await
}

fn stored<'a>(picture: &'a Picture, item: &Item) -> Option<&'a UnitRecord> {
    picture.units.get(&item.name).map(|unit| &unit.record)
}

/// The record with this much wanted. Loading never stops what runs; what was to run and ended runs once more.
fn raised(record: UnitRecord, desired: Desired, again: bool) -> UnitRecord {
    UnitRecord {
        restarts: record.restarts + u64::from(again && record.desired == Desired::Launched),
        desired: record.desired.max(desired),
        ..record
    }
}

/// It is on its machine, nothing is under way, and it doesn't run: it failed, or is through.
fn has_ended(picture: &Picture, name: &UnitName) -> bool {
    let Some(unit) = picture.units.get(name) else { return false };
    picture.states_of(name).any(|(_, state)| {
        matches!(state.active.as_str(), "failed" | "inactive")
            && state.hash == unit.hash
            && state.restarts == unit.record.restarts
            && !state.invocation_id.is_empty()
    })
}
