//! Whether a program has really taken a new configuration over: nginx and HAProxy start new workers for it.
//!
//! Both say that a reload succeeded when the signal was delivered. If the new configuration can't be used (a port that
//! somebody else has), the master writes a line into its log and the old workers go on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often the processes are looked at.
const POLL: Duration = Duration::from_millis(5);
/// nginx marks a worker so in its title (`ngx_setproctitle`) when it takes no more connections.
const LEAVING: &str = "is shutting down";

/// A program whose masters keep workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    Nginx,
    Haproxy,
}

/// Which of a program's masters a command speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Which {
    /// The process of this number.
    Process(u32),
    /// The one that was started with this configuration.
    Configuration(String),
    /// The one that was started with its usual configuration.
    Usual,
}

impl Program {
    /// By the name of its process.
    fn of(name: &str) -> Option<Self> {
        match name {
            "nginx" => Some(Self::Nginx),
            "haproxy" => Some(Self::Haproxy),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    /// The option that names a configuration.
    fn option(self) -> &'static str {
        match self {
            Self::Nginx => "-c",
            Self::Haproxy => "-f",
        }
    }

    /// The program of a process.
    pub(super) fn of_process(pid: u32) -> Option<Self> {
        Self::of(std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim())
    }

    /// The one that a command speaks of, if it speaks of one.
    pub(super) fn named_in(command: &str) -> Option<Self> {
        let words = command.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
        let mut found: Vec<Self> = words.filter_map(Self::of).collect();
        found.dedup();
        match found.as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    /// Which of its masters a command speaks of. There may be several on a machine: load balancers, containers.
    pub(super) fn meant_in(self, command: &str) -> Which {
        let words = || command.split(|c: char| c.is_whitespace() || "\"'`()<>;|&$".contains(c));
        let number = words()
            .filter(|word| Path::new(word).extension().is_some_and(|extension| extension == "pid"))
            .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok());
        if let Some(pid) = number {
            return Which::Process(pid);
        }
        let mut words = words().filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            // A shell has an option -c, too.
            if word == self.option()
                && let Some(path) = words.peek().filter(|path| path.starts_with('/'))
            {
                return Which::Configuration((*path).to_owned());
            }
        }
        Which::Usual
    }

    /// Whether a master is the one that is meant.
    fn is_meant(self, pid: u32, which: &Which) -> bool {
        match which {
            Which::Process(number) => *number == pid,
            Which::Configuration(path) => self.configuration(pid).as_deref() == Some(path),
            Which::Usual => {
                let configuration = self.configuration(pid);
                // HAProxy has none that is built in.
                self == Self::Haproxy || configuration.is_none_or(|path| path == "/etc/nginx/nginx.conf")
            }
        }
    }

    /// The configuration that a master was started with, where its command line tells. nginx writes that into its title.
    fn configuration(self, pid: u32) -> Option<String> {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let mut words = line.split(['\0', ' ']).skip_while(|word| *word != self.option()).skip(1);
        words.next().map(str::to_owned)
    }
}

/// The masters of a program with their workers.
#[derive(Debug, Clone)]
pub(super) struct Generation {
    program: Program,
    which: Which,
    masters: BTreeMap<u32, BTreeSet<u32>>,
}

impl Generation {
    /// The masters that are meant, of those that can be seen and aren't somebody else's (as those in containers are).
    pub(super) fn now(program: Program, which: &Which) -> Self {
        let mut parents = BTreeMap::new();
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            if Program::of_process(pid) == Some(program)
                && let Some(parent) = parent(pid)
            {
                parents.insert(pid, parent);
            }
        }
        let mut masters: BTreeMap<u32, BTreeSet<u32>> = parents
            .iter()
            .filter(|(_, parent)| !parents.contains_key(parent))
            .filter(|(pid, _)| is_ours(**pid) && program.is_meant(**pid, which))
            .map(|(pid, _)| (*pid, BTreeSet::new()))
            .collect();
        for (pid, parent) in &parents {
            if let Some(workers) = masters.get_mut(parent) {
                workers.insert(*pid);
            }
        }
        Self { program, which: which.clone(), masters }
    }

    /// Whether none runs.
    pub(super) fn is_absent(&self) -> bool {
        self.masters.is_empty()
    }

    /// Waits until a master has workers that it did not have before, and the former ones take no more requests.
    pub(super) async fn followed(&self, deadline: Duration) -> Result<(), String> {
        let limit = Instant::now() + deadline;
        let mut followed = false;
        loop {
            let now = Self::now(self.program, &self.which);
            let fresh: Vec<u32> =
                now.masters.keys().copied().filter(|master| self.is_new(&now, *master)).collect();
            followed |= !fresh.is_empty();
            let still = fresh.iter().any(|master| self.still_serves(*master));
            if followed && !still {
                return Ok(());
            }
            if Instant::now() >= limit {
                let name = self.program.name();
                return Err(if now.is_absent() {
                    format!("{name} does not run any more")
                } else if followed {
                    format!("old workers of {name} still take connections after {} s", deadline.as_secs())
                } else {
                    format!(
                        "{name} has started no new workers within {} s, so the former configuration goes on; its log tells why",
                        deadline.as_secs()
                    )
                });
            }
            sleep(POLL).await;
        }
    }

    fn is_new(&self, now: &Self, master: u32) -> bool {
        let workers = now.masters.get(&master);
        match self.masters.get(&master) {
            Some(former) => workers.is_some_and(|workers| workers.difference(former).next().is_some()),
            // Started again as a whole.
            None => workers.is_some_and(|workers| !workers.is_empty()),
        }
    }

    /// Whether a worker from before still takes connections. Only nginx tells.
    fn still_serves(&self, master: u32) -> bool {
        let former = self.masters.get(&master).into_iter().flatten();
        self.program == Program::Nginx
            && former.into_iter().any(|worker| {
                let title = std::fs::read_to_string(format!("/proc/{worker}/cmdline")).unwrap_or_default();
                parent(*worker) == Some(master) && !title.is_empty() && !title.contains(LEAVING)
            })
    }
}

/// Whether a process lives where we live: those in containers have a number there, too (proc_pid_status(5)).
fn is_ours(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    // Kernels without the line tell nothing.
    numbers.is_none_or(|numbers| numbers.split_whitespace().count() == 1)
}

/// A process's parent (proc_pid_stat(5)). Its name may hold anything, so the fields are counted behind it.
fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_its_program_or_does_not() {
        for (command, expected) in [
            ("/usr/sbin/service nginx reload", Some(Program::Nginx)),
            ("/usr/sbin/nginx -s reload", Some(Program::Nginx)),
            ("kill -HUP $(cat /run/nginx.pid)", Some(Program::Nginx)),
            ("systemctl reload haproxy.service", Some(Program::Haproxy)),
            ("true", None),
            ("docker kill -s HUP my-nginx-1", None),
            ("nginx -t && haproxy -c", None),
        ] {
            assert_eq!(Program::named_in(command), expected, "{command}");
        }
    }

    #[test]
    fn a_command_tells_which_master_it_means() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.pid");
        std::fs::write(&file, "4711\n").unwrap();
        let meant = |command: &str| Program::Nginx.meant_in(command);
        assert_eq!(meant(&format!("kill -HUP $(cat {})", file.display())), Which::Process(4711));
        let path = Which::Configuration("/a/main.conf".to_owned());
        assert_eq!(meant("/usr/sbin/nginx -s reload -c /a/main.conf"), path);
        assert_eq!(meant("sh -c 'nginx -c \"/a/main.conf\" -s reload'"), path);
        assert_eq!(meant("service nginx reload"), Which::Usual);
    }

    #[test]
    fn the_parent_of_a_process_is_known() {
        assert_eq!(parent(std::process::id()), Some(std::os::unix::process::parent_id()));
        assert_eq!(parent(u32::MAX), None);
    }
}
