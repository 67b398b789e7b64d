//! `convoyctl plan`: the dry run, on a file or on the live store.

use std::{fs, io::Read as _, path::Path};

use anyhow::{Context, Result, anyhow};
use convoy_keys::Desired;
use convoy_placement::Accepts;
use convoy_unit_files::Strictness;

use super::{Session, launch};
use crate::{
    batch::{Batch, Replace},
    cli::{Output, PlanArguments},
    console::Console,
    exit::Outcome,
    machine,
    plan::{Answer, Question, file},
    refusal::Refusal,
    select::{self, Templates},
};

pub(super) fn on_file(arguments: &PlanArguments, console: &mut Console) -> Result<Outcome> {
    let path = arguments.cluster.as_deref().context("no --cluster")?;
    let answer = read(path, launch::strictness(arguments.compat))?.answer();
    show(&answer, arguments.output, console)?;
    Ok(answer.outcome())
}

/// Reads a cluster file.
pub(super) fn read(path: &Path, strictness: Strictness) -> Result<Question> {
    let (name, bytes) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).context("standard input can't be read")?;
        ("standard input".to_owned(), bytes)
    } else {
        let name = path.display().to_string();
        let bytes = fs::read(path).with_context(|| format!("{name}: can't be read"))?;
        (name, bytes)
    };
    let text = String::from_utf8(bytes)
        .map_err(|error| anyhow!("{name}: byte {} is no UTF-8", error.utf8_error().valid_up_to()))?;
    file::read(&text, strictness).map_err(|error| anyhow!("{name}: {error}"))
}

pub(super) async fn on_store(session: &mut Session<'_>, arguments: &PlanArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    let strictness = launch::strictness(arguments.compat);
    let mut sources = launch::sources(&picture, &arguments.submit)?;
    let submitted = sources.len();
    sources.extend(launch::sources(&picture, &arguments.start)?);
    let started: Vec<String> = sources.iter().skip(submitted).map(|source| source.name.to_string()).collect();
    let given: Vec<String> = sources.iter().take(submitted).map(|source| source.name.to_string()).collect();
    let mut batch = Batch::new(&picture, sources, Replace::UpTo(Desired::Launched), strictness)?;
    for note in std::mem::take(&mut batch.notes) {
        session.console.note(note);
    }
    let mut question = batch.overlay(&picture, strictness);
    for unit in &mut question.units {
        // A template is only stored; what was given as a file is to run.
        let is_template = unit.name.contains("@.");
        if started.contains(&unit.name) || (given.contains(&unit.name) && !is_template) {
            unit.desired = Desired::Launched;
        }
    }
    let destroyed = select::stored(&picture, &arguments.destroy, Templates::Themselves)?;
    if let Some(missing) = destroyed.missing.into_iter().next() {
        return Err(Refusal::NotFound(missing).into());
    }
    question.units.retain(|unit| !destroyed.names.iter().any(|name| name.as_str() == unit.name));
    for word in &arguments.drain {
        let id = machine::find(&picture, word)?;
        for machine in question.machines.iter_mut().filter(|machine| machine.id == id.as_str()) {
            machine.accepts = Accepts::Nothing;
        }
    }
    for word in &arguments.without {
        let id = machine::find(&picture, word)?;
        question.machines.retain(|machine| machine.id != id.as_str());
    }
    let answer = question.answer();
    let shown = if arguments.output == Output::Text { answer.clone().changes() } else { answer.clone() };
    show(&shown, arguments.output, session.console)?;
    Ok(answer.outcome())
}

fn show(answer: &Answer, output: Output, console: &mut Console) -> Result<()> {
    match output {
        Output::Json => console.line(serde_json::to_string_pretty(answer)?),
        Output::Text => console.write(&answer.to_string()),
    }
    Ok(())
}
