//! `cat`, `verify`, `import`: unit files.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, Result};
use convoy_keys::Desired;
use convoy_unit_files::UnitName;

use super::{Session, launch, stop};
use crate::{
    batch::{Batch, Rejections, Replace},
    cli::{CatArguments, ImportArguments, VerifyArguments},
    console::Console,
    exit::Outcome,
    picture::Picture,
    plan::{Question, Submitted},
    refusal::Refusal,
    select::{self, Templates},
    source::{self, LocalText, Source},
};

pub(super) async fn cat(session: &mut Session<'_>, arguments: &CatArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    let mut selection = select::stored(&picture, &arguments.units, Templates::Themselves)?;
    selection.names.retain(|name| {
        let is_stored = picture.units.contains_key(name);
        if !is_stored {
            selection.missing.push(format!("{name}: runs, but is not in the store"));
        }
        is_stored
    });
    let outcome = stop::missing(session, &selection.missing);
    for unit in selection.names.iter().filter_map(|name| picture.units.get(name)) {
        session.console.write(&unit.record.text);
    }
    Ok(outcome)
}

pub(super) fn verify(arguments: &VerifyArguments, console: &mut Console) -> Result<Outcome> {
    let mut question = Question::default();
    let mut outcome = Outcome::Done;
    for path in &arguments.files {
        let Some(LocalText { path, text }) = source::read(path)? else {
            console.note(format_args!("convoyctl: {}: there is no such file", path.display()));
            outcome = outcome.and(Outcome::NotFound);
            continue;
        };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        question.units.push(Submitted {
            name,
            file: Some(path.display().to_string()),
            text,
            strictness: launch::strictness(arguments.compat),
            desired: Desired::Inactive,
            ..Submitted::default()
        });
    }
    let read = question.read();
    for definition in &read.definitions {
        for warning in &definition.warnings {
            console.note(format_args!("warning: {warning}"));
        }
        console.line(format_args!("{}: good", definition.name));
    }
    for rejection in &read.rejected {
        console.note(&rejection.error);
        console.line(format_args!("{}: rejected", rejection.name));
        outcome = outcome.and(Outcome::Rejected);
    }
    Ok(outcome)
}

pub(super) async fn import(session: &mut Session<'_>, arguments: &ImportArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    let strictness = launch::strictness(arguments.compat);
    let replace = if arguments.replace { Replace::UpTo(Desired::Inactive) } else { Replace::No };
    let sources = directory(session.console, &picture, &arguments.directory)?;
    if sources.is_empty() {
        let message = format!("{}: there is no unit file in it", arguments.directory.display());
        return Err(Refusal::NotFound(message).into());
    }
    let mut batch = Batch::new(&picture, sources, replace, strictness)?;
    let mut outcome = Outcome::Done;
    // What one unit is tied to may be rejected itself, so what is left is looked at again.
    while let Err(Rejections(rejected)) = batch.check(&picture, strictness) {
        if !arguments.partial && !arguments.dry_run {
            return Err(Refusal::from(Rejections(rejected)).into());
        }
        for error in rejected.values() {
            session.console.note(error);
        }
        outcome = Outcome::Rejected;
        let before = batch.items.len();
        batch.items.retain(|item| !rejected.contains_key(item.name.as_str()));
        if batch.items.len() == before {
            return Err(Refusal::from(Rejections(rejected)).into());
        }
    }
    if arguments.dry_run {
        launch::check(session, &picture, &batch, strictness)?;
        for item in &batch.items {
            let what = if item.text.is_some() { "would be stored" } else { "is in the store" };
            session.console.line(format_args!("Unit {} {what}", item.name));
        }
        return Ok(outcome);
    }
    Ok(outcome.and(launch::store(session, &picture, &batch, strictness).await?))
}

/// The unit files of a directory, by name, templates before their instances.
fn directory(console: &mut Console, picture: &Picture, directory: &PathBuf) -> Result<Vec<Source>> {
    let shown = directory.display();
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).with_context(|| format!("{shown}: can't be read"))? {
        let path = entry.with_context(|| format!("{shown}: can't be read"))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match UnitName::parse(&name) {
            Ok(unit) if path.is_file() => drop(files.insert(unit, path)),
            Ok(_) => {}
            Err(_) => console.note(format_args!("{}: no unit file, passed over", path.display())),
        }
    }
    let mut sources = Vec::new();
    for (name, path) in files {
        let Some(local) = source::read(&path)? else { continue };
        let stored = picture.units.get(&name).map(|unit| unit.record.text.clone());
        sources.push(Source { name, stored, local: Some(local), template: None });
    }
    Ok(sources)
}
