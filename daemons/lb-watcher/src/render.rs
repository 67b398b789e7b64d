//! Dry runs without etcd: what confd would write for these keys, and what to beware of in a template.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use convoy_confd::{Snapshot, World, functions, lint, read_keys};
use convoy_go_template::{Limits, Template, Value};

use crate::machine::Machine;

/// What `render` is given.
#[derive(Debug, Clone, Args)]
pub struct RenderOptions {
    /// The template, as confd would use it.
    #[arg(long, value_name = "FILE")]
    pub template: PathBuf,
    /// The keys: a JSON object of key to value.
    #[arg(long, value_name = "KEYS.json")]
    pub keys: PathBuf,
    /// Show only the keys below this one, without it.
    #[arg(long, value_name = "KEY", default_value = "/")]
    pub prefix: String,
}

/// What `lint` is given.
#[derive(Debug, Clone, Args)]
pub struct LintOptions {
    /// The template, as confd would use it.
    #[arg(long, value_name = "FILE")]
    pub template: PathBuf,
}

/// Writes the rendered template to standard output: all of it or, when anything is wrong, nothing.
pub fn render(options: &RenderOptions) -> anyhow::Result<()> {
    let text = read(&options.template)?;
    let keys = read(&options.keys)?;
    let keys = read_keys(&keys, &options.prefix).with_context(|| options.keys.display().to_string())?;
    let functions = functions(&keys, &machine(&options.template));
    let template = Template::parse(&name(&options.template), &text, &functions)?;
    let rendered = template.render(&Value::Nil, &functions, Limits::default())?;
    write(&rendered)
}

/// Writes one line per warning. Only a template that can't be parsed is an error.
pub fn lint_template(options: &LintOptions) -> anyhow::Result<()> {
    let text = read(&options.template)?;
    let functions = functions(&Snapshot::default(), &machine(&options.template));
    let template = Template::parse(&name(&options.template), &text, &functions)?;
    let warnings = lint(&template, &functions);
    let lines: Vec<String> = warnings.iter().map(|warning| format!("{warning}\n")).collect();
    write(lines.concat().as_bytes())
}

/// What messages call a template: confd names it by its file, without the folder.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn machine(template: &Path) -> Arc<dyn World> {
    Arc::new(Machine::new(template))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| {
        format!("{}: the file can't be read; correct the path, its owner or its mode", path.display())
    })
}

fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(bytes).and_then(|()| output.flush()).context("standard output can't be written to")
}
