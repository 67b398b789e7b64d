//! `convoyctl explain`: which option keeps a unit off which machine, and what would help.

use anyhow::{Context, Result};

use convoy_unit_files::UnitName;

use super::{Session, launch, plan};
use crate::{
    cli::{ExplainArguments, Output},
    console::Console,
    exit::Outcome,
    plan::{Explanation, Question},
    refusal::Refusal,
    select::{self, Templates},
    wait::{frozen, now},
};

pub(super) fn on_file(arguments: &ExplainArguments, console: &mut Console) -> Result<Outcome> {
    let path = arguments.cluster.as_deref().context("no --cluster")?;
    let question = plan::read(path, launch::strictness(arguments.compat))?;
    let name = UnitName::complete(&arguments.unit).map_err(|error| Refusal::Usage(error.to_string()))?;
    show(&question, name.as_str(), arguments.output, console)
}

pub(super) async fn on_store(session: &mut Session<'_>, arguments: &ExplainArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    let selection = select::stored(&picture, std::slice::from_ref(&arguments.unit), Templates::Themselves)?;
    if let Some(missing) = selection.missing.into_iter().next() {
        return Err(Refusal::NotFound(missing).into());
    }
    if let Some(freeze) = &picture.freeze {
        session.console.note(frozen(freeze.absent.len()));
    }
    let question = Question::of_picture(&picture, now());
    let mut outcome = Outcome::Done;
    for name in &selection.names {
        outcome = outcome.and(show(&question, name.as_str(), arguments.output, session.console)?);
    }
    Ok(outcome)
}

fn show(question: &Question, name: &str, output: Output, console: &mut Console) -> Result<Outcome> {
    let explanation = Explanation::of(question, name)?;
    match output {
        Output::Json => console.line(serde_json::to_string_pretty(&explanation)?),
        Output::Text => console.line(&explanation),
    }
    Ok(explanation.outcome())
}

/// Why a unit can't be on a machine.
pub(super) fn against(question: &Question, name: &str, machine: &str) -> Vec<String> {
    Explanation::of(question, name)
        .map(|explanation| explanation.machines.into_iter().find(|entry| entry.id == machine))
        .ok()
        .flatten()
        .map(|entry| entry.reasons)
        .filter(|reasons| !reasons.is_empty())
        .unwrap_or_else(|| {
            vec!["what it shares a machine with, or what is there, doesn't allow it".to_owned()]
        })
}
