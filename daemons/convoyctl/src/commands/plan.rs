//! `convoyctl plan`: the dry run.

use std::{fs, io::Read as _, path::Path};

use anyhow::{Context, Result, anyhow};
use convoy_unit_files::Strictness;

use crate::{
    cli::{Output, PlanArguments},
    console::Console,
    exit::Outcome,
    plan::{Answer, Question, file},
};

pub(super) fn run(arguments: &PlanArguments, console: &mut Console) -> Result<Outcome> {
    let strictness = if arguments.compat { Strictness::Compatible } else { Strictness::Strict };
    let Some(path) = &arguments.cluster else { return Err(anyhow!("no --cluster")) };
    let answer = read(path, strictness)?.answer();
    show(&answer, arguments.output, console)?;
    Ok(answer.outcome())
}

/// Reads a cluster file.
fn read(path: &Path, strictness: Strictness) -> Result<Question> {
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

fn show(answer: &Answer, output: Output, console: &mut Console) -> Result<()> {
    match output {
        Output::Json => console.line(serde_json::to_string_pretty(answer)?),
        Output::Text => console.write(&answer.to_string()),
    }
    Ok(())
}
