//! `lb-watcher status` over a folder of resources.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::bail;

use super::directory::Directory;
use super::options::Configuration;
use super::target::{state_folder, states};
use crate::output::print;

/// Prints how each resource stands; an error when one is not up to date.
pub fn status(configuration: &Configuration) -> anyhow::Result<()> {
    let settings = &configuration.settings;
    let surroundings = configuration.surroundings();
    let directory = Directory::read(&settings.confdir, settings.prefix.as_deref())?;
    let mut names: BTreeSet<String> = directory.resources.iter().map(|(r, _)| r.name.clone()).collect();
    names.extend(directory.broken.keys().cloned());
    let mut text = String::new();
    let mut behind = 0;
    for name in &names {
        let state = state_folder(&surroundings, name).read();
        let never = state.loaded.is_none() && state.owed.is_none();
        let problem = directory.broken.get(name).or(state.problem.as_ref());
        behind += usize::from(problem.is_some() || state.owed.is_some() || never);
        let _ = writeln!(text, "{name}");
        match &state.loaded {
            Some(digest) => {
                let short = digest.get(..8).unwrap_or(digest);
                let _ = writeln!(text, "  in place and loaded   {short}, revision {}", state.revision);
            }
            None => {
                let _ = writeln!(text, "  in place and loaded   nothing yet");
            }
        }
        for path in &state.files {
            let _ = writeln!(text, "  file                  {}", path.display());
        }
        for (key, why) in &state.left_out {
            let _ = writeln!(text, "  left out              {}: {}", key.escape_debug(), why.escape_debug());
        }
        if let Some(owed) = &state.owed {
            let short = owed.get(..8).unwrap_or(owed);
            let _ =
                writeln!(text, "  RELOAD OWED           {short} was put in place, its reload is not proved");
        }
        if let Some(problem) = problem {
            let _ = writeln!(text, "  NOT UP TO DATE        {}", problem.trim());
        }
    }
    for (name, folder) in states(&surroundings).unwrap_or_default() {
        if !names.contains(&name) && !folder.read().files.is_empty() {
            let _ = writeln!(text, "{name}\n  gone                  its files stay as they are");
        }
    }
    print(text.as_bytes())?;
    if behind > 0 {
        bail!("{behind} of {} resources are not up to date", names.len());
    }
    Ok(())
}
