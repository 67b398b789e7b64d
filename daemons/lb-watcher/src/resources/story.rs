//! The line that `systemctl status` shows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::target::Target;
use crate::story::count;

/// The whole story in a line, trouble at its end.
pub(crate) fn line(
    targets: &BTreeMap<String, Target>,
    broken: &BTreeMap<String, String>,
    has_listed: bool,
    store_error: Option<&str>,
    held: usize,
) -> String {
    let good = targets.values().filter(|target| {
        let standing = target.standing();
        standing.loaded.is_some() && standing.problem.is_none()
    });
    let good = good.count();
    let unread = broken.keys().filter(|name| !targets.contains_key(*name)).count();
    let all = targets.len() + unread;
    let revision = targets.values().filter_map(|target| target.standing().loaded).max();
    let mut text = match revision {
        Some(revision) => format!("revision {revision} in place, {good} of {} good", count(all, "resource")),
        None if !has_listed => "waiting for the store; all files are as they were".to_owned(),
        None => format!("making the files of {}", count(all, "resource")),
    };
    // Writing to a String can't fail.
    if held > 0 {
        let _ = write!(text, "; {} held back", count(held, "removal"));
    }
    if let Some(error) = store_error {
        let _ = write!(text, "; store unreachable, all files stay: {error}");
    }
    let problems =
        targets.iter().filter_map(|(name, target)| Some((name, target.standing().problem.as_ref()?)));
    for (name, problem) in problems.chain(broken) {
        let _ = write!(text, "; NOT UP TO DATE: {name}: {}", problem.trim());
    }
    text
}
