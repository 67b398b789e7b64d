//! Candidates laid over the files in place, for one command alone.
//!
//! In a mount namespace of its own the command sees each folder with its candidates in it; everybody else sees the folder
//! as it is. That is how a fragment, or several files, are checked as they will look together. It takes root, and a
//! system that allows it.

use std::collections::BTreeSet;
use std::ffi::{CString, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use convoy_confd::resource::Invocation;
use rustix::mount::{MountFlags, mount};
use serde::{Deserialize, Serialize};

use crate::balancer::Command;
use crate::install::disk::{Difference, staged};
use crate::install::reader::CheckError;

/// What the inner process is told.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    /// Candidates and their places.
    candidates: Vec<(PathBuf, PathBuf)>,
    /// Files that will be gone.
    removed: Vec<PathBuf>,
    /// An empty folder.
    scratch: PathBuf,
    /// A file to make when all is in place.
    begun: PathBuf,
}

/// What the inner process is called with.
#[derive(Debug, Clone, Args)]
pub struct OverlaidOptions {
    /// The plan.
    #[arg(value_name = "PLAN.json")]
    plan: PathBuf,
    /// The command.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs a check that sees the staged candidates in their places.
pub(super) async fn check(
    folder: &Path,
    difference: &Difference,
    invocation: &Invocation,
    deadline: Duration,
) -> Result<(), CheckError> {
    let impossible = |error: String| CheckError::NoOverlay(error);
    let (plan, begun) = prepare(folder, difference).map_err(|error| impossible(error.to_string()))?;
    let own = std::env::current_exe().map_err(|error| impossible(error.to_string()))?;
    let mut command = Command::new("unshare").arg("--mount").arg("--propagation").arg("private").arg("--");
    command = command.arg(own).arg("overlaid").arg(plan).arg("--");
    command = match invocation {
        Invocation::Shell(line) => command.arg("/bin/sh").arg("-c").arg(line),
        Invocation::Program(parts) => parts.iter().fold(command, Command::arg),
    };
    let finished = command.run(deadline).await;
    let has_begun = fs::remove_file(&begun).is_ok();
    match finished {
        Ok(finished) if finished.success => Ok(()),
        Ok(finished) if has_begun => Err(CheckError::Refused(finished.to_string())),
        Err(error) if has_begun => Err(CheckError::NotRun(error)),
        Ok(finished) => Err(impossible(finished.to_string())),
        Err(error) => Err(impossible(error)),
    }
}

fn prepare(folder: &Path, difference: &Difference) -> anyhow::Result<(PathBuf, PathBuf)> {
    let folder = folder.join("overlay");
    let scratch = folder.join("scratch");
    fs::create_dir_all(&scratch)?;
    let absolute = |path: &PathBuf| std::path::absolute(path);
    let candidates = difference.changed.iter().map(|path| Ok((absolute(&staged(path))?, absolute(path)?)));
    let removed = difference.stale.iter().map(absolute);
    let begun = std::path::absolute(folder.join("begun"))?;
    let plan = Plan {
        candidates: candidates.collect::<std::io::Result<_>>()?,
        removed: removed.collect::<std::io::Result<_>>()?,
        scratch: std::path::absolute(&scratch)?,
        begun: begun.clone(),
    };
    // One that a killed watcher left would be taken for ours.
    let _ = fs::remove_file(&begun);
    let path = folder.join("plan.json");
    fs::write(&path, serde_json::to_vec(&plan)?)?;
    Ok((path, begun))
}

/// The inner process: lays the candidates over their folders and becomes the command.
pub fn overlaid(options: &OverlaidOptions) -> anyhow::Result<()> {
    let plan: Plan = serde_json::from_slice(&fs::read(&options.plan)?).context("the plan can't be read")?;
    let scratch = plan.scratch.as_path();
    mount("tmpfs", scratch, "tmpfs", MountFlags::empty(), None).context("a tmpfs can't be mounted")?;
    let paths = plan.candidates.iter().map(|(_, path)| path).chain(&plan.removed);
    // Outer folders first, or they would hide what was laid over the inner ones.
    let folders: BTreeSet<PathBuf> = paths
        .filter_map(|path| path.parent())
        .map(fs::canonicalize)
        .collect::<std::io::Result<_>>()
        .context("a folder can't be found")?;
    for (number, folder) in folders.iter().enumerate() {
        let [upper, work] = ["upper", "work"].map(|name| scratch.join(format!("{name}{number}")));
        for folder in [&upper, &work] {
            fs::create_dir(folder)?;
        }
        let layers = [("lowerdir", folder), ("upperdir", &upper), ("workdir", &work)];
        let layers = layers.map(|(name, path)| [name.as_bytes(), b"=", &escaped(path)].concat());
        let layers = CString::new(layers.join(&b','))?;
        mount("overlay", folder, "overlay", MountFlags::empty(), Some(layers.as_c_str()))
            .with_context(|| format!("nothing can be laid over {}", folder.display()))?;
    }
    for (candidate, path) in &plan.candidates {
        // Renamed, as it will be: a link in its place is replaced, not followed.
        fs::rename(candidate, path).with_context(|| format!("can't show {}", path.display()))?;
    }
    for path in &plan.removed {
        fs::remove_file(path).with_context(|| format!("can't hide {}", path.display()))?;
    }
    let mut words = options.command.iter();
    let mut process = Process::new(words.next().context("there is no command")?);
    process.args(words);
    fs::write(&plan.begun, "")?;
    Err(process.exec()).context("the check can't be started")
}

/// A path as an option of overlayfs: commas and colons have a meaning there.
fn escaped(path: &Path) -> Vec<u8> {
    let mut escaped = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b',' | b':' | b'\\') {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    escaped
}
