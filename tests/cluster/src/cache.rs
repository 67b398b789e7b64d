//! What is made once and used again: the base tree. A change of its recipe makes a new one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::cleanup::remove_tree;
use crate::command::run_with_lines;
use crate::error::ClusterError;
use crate::layout::StateDir;
use crate::progress::{Progress, Reporter, step};

/// Builds a Debian tree or archive from the host's mirrors.
pub(crate) const BUILD: &str = include_str!("../base/build.sh");
const CUSTOMIZE: &str = include_str!("../base/customize.sh");
const PACKAGES: &str = include_str!("../base/packages.txt");

/// Downloads and unpacks some hundred packages; on a slow line this takes minutes.
const BUILD_DEADLINE: Duration = Duration::from_secs(30 * 60);

/// The lines that mmdebstrap writes, and how much of the time has gone by then.
const MILESTONES: [(&str, f32); 6] = [
    ("running apt-get update", 0.02),
    ("downloading packages", 0.05),
    ("extracting archives", 0.25),
    ("installing essential", 0.35),
    ("installing remaining", 0.4),
    ("cleaning package lists", 0.95),
];

/// Holds off others that would build or remove the same; released when dropped or when the process ends.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Waits for the lock of this name.
pub(crate) fn lock(state: &StateDir, what: &str) -> Result<Lock, ClusterError> {
    fs::create_dir_all(state.path()).map_err(ClusterError::file("create", state.path()))?;
    let path = state.lock_file(what);
    let file = File::create(&path).map_err(ClusterError::file("create", &path))?;
    file.lock().map_err(ClusterError::file("lock", &path))?;
    Ok(Lock(file))
}

/// The base tree of all machines; built when the recipe changed.
pub(crate) fn base_tree(state: &StateDir, reporter: &dyn Reporter) -> Result<PathBuf, ClusterError> {
    let recipe: Vec<&str> = [BUILD, CUSTOMIZE].into_iter().chain(listed(PACKAGES)).collect();
    let tree = state.cache().join(format!("base-{}", recipe_hash(&recipe)));
    if tree.is_dir() {
        return Ok(tree);
    }
    let title = "build the base tree from this computer's Debian mirrors (once)";
    step(reporter, title, || {
        make(&tree, |partial| {
            let mut command = script(BUILD);
            command.arg("minbase").arg(partial).args(listed(PACKAGES));
            build(title, command, reporter)?;
            let mut command = script(CUSTOMIZE);
            command.arg(partial);
            let what = "prepare the base tree";
            run_with_lines(what, command, None, BUILD_DEADLINE, |_| {})?.ok(what).map(drop)
        })
    })?;
    Ok(tree)
}

/// Runs `build.sh` and reports how far it is.
pub(crate) fn build(step: &str, command: Command, reporter: &dyn Reporter) -> Result<(), ClusterError> {
    run_with_lines(step, command, None, BUILD_DEADLINE, |line| {
        if let Some(fraction) = fraction(line) {
            reporter.report(Progress::Part { step, fraction });
        }
    })?
    .ok(step)
    .map(drop)
}

/// Makes `target` in full or not at all.
pub(crate) fn make(
    target: &Path,
    work: impl FnOnce(&Path) -> Result<(), ClusterError>,
) -> Result<(), ClusterError> {
    // A name of our own: what a killed process started may still be at work on its own draft.
    let partial = target.with_extension(format!("{}.partial", std::process::id()));
    remove_tree(&partial)?;
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(ClusterError::file("create", parent))?;
        remove_old_drafts(parent);
    }
    work(&partial)?;
    fs::rename(&partial, target).map_err(ClusterError::file("rename", &partial))
}

/// Drafts that were left behind by a process that was killed; one that is still being written stays.
fn remove_old_drafts(folder: &Path) {
    let is_draft = |path: &Path| path.extension().is_some_and(|extension| extension == "partial");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_draft(&entry.path()) {
            let _ = if entry.path().is_dir() {
                fs::remove_dir_all(entry.path())
            } else {
                fs::remove_file(entry.path())
            };
        }
    }
}

/// A shell script that came with this program.
pub(crate) fn script(text: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", text, "sh"]);
    command
}

/// The entries of a list file: a line each, comments begin with `#`.
pub(crate) fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Twelve hex digits that change with any part of a recipe.
pub(crate) fn recipe_hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize()).chars().take(12).collect()
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn fraction(line: &str) -> Option<f32> {
    MILESTONES.iter().find(|(text, _)| line.contains(text)).map(|(_, fraction)| *fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_known_by_all_of_its_text() {
        let hash = recipe_hash(&["ab", "c"]);
        assert_eq!(hash, recipe_hash(&["ab", "c"]));
        assert_ne!(hash, recipe_hash(&["a", "bc"]));
        assert_eq!(hash.len(), 12);
    }

    #[test]
    fn package_lists_have_comments() {
        assert_eq!(listed("# a\n\nb\n  c # not a comment\n").collect::<Vec<_>>(), ["b", "c # not a comment"]);
        assert!(listed(PACKAGES).any(|package| package == "systemd"));
    }

    #[test]
    fn what_failed_half_way_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("thing");
        let failed = make(&target, |partial| {
            fs::create_dir(partial).unwrap();
            Err(ClusterError::Unknown("no".into()))
        });
        assert!(failed.is_err() && !target.exists());
        make(&target, |partial| fs::create_dir(partial).map_err(ClusterError::file("create", partial)))
            .unwrap();
        assert!(target.is_dir());
    }

    #[test]
    fn milestones_only_grow() {
        assert!(MILESTONES.windows(2).all(|pair| pair[0].1 < pair[1].1));
        assert_eq!(fraction("I: extracting archives..."), Some(0.25));
        assert_eq!(fraction("Get:1 something"), None);
    }
}
