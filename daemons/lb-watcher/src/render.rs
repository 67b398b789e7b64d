//! Dry runs without etcd: what confd would write for these keys, and what to beware of in a template.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use convoy_confd::{Snapshot, World, functions, lint, read_keys};
use convoy_go_template::{Limits, Template, Value};

use crate::machine::Machine;
use crate::output::print;
use crate::resources::lint_resource;

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
    /// A template, as confd would use it.
    #[arg(long, value_name = "FILE", required_unless_present = "resource")]
    pub template: Option<PathBuf>,
    /// A template resource, as confd would use it.
    #[arg(long, value_name = "FILE.toml")]
    pub resource: Option<PathBuf>,
}

/// Writes the rendered template to standard output: all of it or, when anything is wrong, nothing.
pub fn render(options: &RenderOptions) -> anyhow::Result<()> {
    let text = read(&options.template)?;
    let keys = read(&options.keys)?;
    let keys = read_keys(&keys, &options.prefix).with_context(|| options.keys.display().to_string())?;
    let functions = functions(&keys, &machine(&options.template));
    let template = Template::parse(&name(&options.template), &text, &functions)?;
    let rendered = template.render(&Value::Nil, &functions, Limits::default())?;
    print(&rendered)
}

/// Writes one line per warning. Only a template or a resource that can't be used is an error.
pub fn lint_files(options: &LintOptions) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    if let Some(path) = &options.resource {
        lines.extend(lint_resource(path)?.iter().map(|warning| format!("{warning}\n")));
    }
    if let Some(path) = &options.template {
        let text = read(path)?;
        let functions = functions(&Snapshot::default(), &machine(path));
        let template = Template::parse(&name(path), &text, &functions)?;
        lines.extend(lint(&template, &functions).iter().map(|warning| format!("{warning}\n")));
    }
    print(lines.concat().as_bytes())
}

/// What messages call a template: confd names it by its file, without the folder.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn machine(template: &Path) -> Arc<dyn World> {
    Arc::new(Machine::new(template))
}

pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| {
        format!("{}: the file can't be read; correct the path, its owner or its mode", path.display())
    })
}
