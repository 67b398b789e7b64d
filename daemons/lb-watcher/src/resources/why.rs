//! `lb-watcher why`: which key is in the files of a resource, which isn't, and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use convoy_confd::resource::Resource;
use convoy_store::Entry;

use super::diff::snapshot;
use super::directory::Directory;
use super::options::Configuration;
use super::render::Templates;
use super::target::state_folder;
use crate::install::set::FileSet;
use crate::output::print;

/// Taking each key away to see whether the files change is done for no more than this many.
const MOST_TRIED: usize = 500;

/// Prints a line per key, for all resources or for one.
pub async fn why(configuration: &Configuration, only: Option<&str>) -> anyhow::Result<()> {
    let settings = &configuration.settings;
    let directory = Directory::read(&settings.confdir, settings.prefix.as_deref())?;
    if let Some(only) = only
        && !directory.resources.iter().any(|(resource, _)| resource.name == only)
    {
        let why = directory.broken.get(only).map_or("there is no such file in conf.d", String::as_str);
        anyhow::bail!("{only}: {why}");
    }
    let snapshot = snapshot(configuration, &directory).await?;
    let mut text = format!("the store is at revision {}\n", snapshot.revision);
    for (resource, _) in &directory.resources {
        if only.is_none_or(|only| resource.name == only) {
            explain(&mut text, configuration, resource, &snapshot.entries);
        }
    }
    for (name, why) in directory.broken.iter().filter(|(name, _)| only.is_none_or(|only| *name == only)) {
        let _ = writeln!(text, "{name}: can't be used: {why}");
    }
    print(text.as_bytes())
}

fn explain(
    text: &mut String,
    configuration: &Configuration,
    resource: &Resource,
    entries: &BTreeMap<String, Entry>,
) {
    let confdir = &configuration.settings.confdir;
    let state = state_folder(&configuration.surroundings(), &resource.name).read();
    let _ = writeln!(text, "{}: files of revision {}", resource.name, state.revision);
    let needed: BTreeMap<&str, &Entry> = entries
        .iter()
        .filter(|(key, _)| resource.needs(key))
        .map(|(key, entry)| (key.as_str(), entry))
        .collect();
    if needed.is_empty() {
        let _ = writeln!(text, "  there is no key below {}", resource.keys.join(" "));
    }
    let (_, left_out) = resource.view(needed.iter().map(|(key, entry)| (*key, entry.value.as_slice())));
    let left_out: BTreeMap<&str, String> =
        left_out.iter().map(|left| (left.key.as_str(), left.reason.to_string())).collect();
    let whole = render(resource, confdir, &needed, None);
    for (key, entry) in &needed {
        let revision = entry.mod_revision;
        let verdict = if let Some(reason) = left_out.get(key) {
            format!("left out: {reason}")
        } else if revision.get() > state.revision {
            let problem = state.problem.as_deref().unwrap_or("it is on its way");
            format!("not yet, it is of revision {revision}: {}", problem.trim())
        } else {
            match &whole {
                Err(error) => format!("the files can't be made: {error}"),
                Ok(_) if needed.len() > MOST_TRIED => format!("seen since revision {revision}"),
                // A template that fails without the key reads it as well.
                Ok(whole) if render(resource, confdir, &needed, Some(key)).as_ref() != Ok(whole) => {
                    format!("in the files since revision {revision}")
                }
                Ok(_) => "seen, but no file would be another without it".to_owned(),
            }
        };
        let _ = writeln!(text, "  {}  {}", key.escape_debug(), verdict.escape_debug());
    }
    for (key, reason) in &state.left_out {
        if !needed.contains_key(key.as_str()) {
            let _ = writeln!(text, "  {}  {}", key.escape_debug(), reason.escape_debug());
        }
    }
    if let Some(problem) = &state.problem {
        let _ = writeln!(text, "  NOT UP TO DATE: {}", problem.trim());
    }
}

fn render(
    resource: &Resource,
    confdir: &Path,
    keys: &BTreeMap<&str, &Entry>,
    without: Option<&str>,
) -> Result<FileSet, String> {
    let keys = keys.iter().filter(|(key, _)| Some(**key) != without);
    let (view, _) = resource.view(keys.map(|(key, entry)| (*key, entry.value.as_slice())));
    let rendered = Templates::default().render(resource, confdir, &view);
    rendered.map(|rendered| rendered.set).map_err(|error| error.to_string())
}
