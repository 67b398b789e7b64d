//! The master process of nginx or HAProxy, and its workers.

use std::collections::BTreeSet;
use std::path::Path;

use convoy_lb_config::Engine;
use rustix::process::{Pid, Signal, kill_process};

/// A master process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Master(Pid);

impl Master {
    /// The process of this number; none when it is no master of this program (any more).
    pub(crate) fn find(engine: Engine, pid: i32) -> Option<Self> {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        if name.trim() == engine.program() { Pid::from_raw(pid).map(Self) } else { None }
    }

    /// The process whose number stands in this file.
    pub(crate) fn from_file(engine: Engine, path: &Path) -> Option<Self> {
        Self::find(engine, std::fs::read_to_string(path).ok()?.trim().parse().ok()?)
    }

    /// Sends it a signal.
    pub(crate) fn signal(self, signal: Signal) -> std::io::Result<()> {
        Ok(kill_process(self.0, signal)?)
    }

    /// The workers of all generations. Empty where the kernel doesn't tell.
    pub(crate) fn workers(self) -> BTreeSet<i32> {
        let pid = self.0.as_raw_nonzero();
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_another_program_is_not_taken_for_one() {
        let own = i32::try_from(std::process::id()).unwrap();
        for engine in [Engine::Nginx, Engine::Haproxy] {
            assert!(Master::find(engine, own).is_none());
            assert!(Master::find(engine, i32::MAX).is_none());
            assert!(Master::from_file(engine, Path::new("/nonexistent")).is_none());
        }
    }
}
