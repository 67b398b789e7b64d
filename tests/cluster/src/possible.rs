//! Whether this computer can boot machines, and why not, in one line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::command::{self, SHORT};
use crate::layout::StateDir;

/// Why machines can't be booted here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Namespaces and mounts need root.
    #[error("not root")]
    NotRoot,
    /// The base tree is built from the host's own release.
    #[error(
        "no Debian: the machines are built from the host's own packages, and ID in /etc/os-release is {0:?}"
    )]
    NotDebian(String),
    /// A program is not installed.
    #[error("{} not installed; packaging/setup-debian.sh test installs what is missing", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// systemd in the machines needs a cgroup2 hierarchy that can be written.
    #[error("no cgroup2 hierarchy that can be written to")]
    NoCgroup,
    /// The kernel or a sandbox refused a namespace or a mount.
    #[error("{what} refused: {detail}")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// The answer, in one line.
        detail: String,
    },
}

const PROGRAMS: [&str; 9] =
    ["apt-get", "mmdebstrap", "systemd-nspawn", "nsenter", "unshare", "setsid", "mount", "ip", "bridge"];

/// Tries what booting needs, leaves nothing behind.
pub(crate) fn check(state: &StateDir) -> Result<(), Reason> {
    if !rustix::process::geteuid().is_root() {
        return Err(Reason::NotRoot);
    }
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|program| !installed(program)).collect();
    if !missing.is_empty() {
        return Err(Reason::Missing(missing));
    }
    check_distribution(&fs::read_to_string("/etc/os-release").unwrap_or_default())?;
    check_cgroup()?;
    attempt(
        "a network namespace",
        "unshare",
        &["--net", "--pid", "--fork", "--mount", "ip", "link", "set", "lo", "up"],
    )?;
    attempt(
        "an overlay mount",
        "unshare",
        &["--mount", "sh", "-ec", TRY_OVERLAY, "sh", &state.path().to_string_lossy()],
    )
}

/// The state folder may itself be on an overlay (inside a container), which can't carry another one.
const TRY_OVERLAY: &str = r#"
mkdir -p "$1"
folder=$(mktemp -d "$1/try.XXXXXX")
trap 'umount "$folder/tree" 2>/dev/null; rm -rf "$folder"' EXIT
mkdir "$folder/lower" "$folder/upper" "$folder/work" "$folder/tree"
mount -t overlay overlay -o "lowerdir=$folder/lower,upperdir=$folder/upper,workdir=$folder/work" "$folder/tree"
"#;

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn check_distribution(os_release: &str) -> Result<(), Reason> {
    let id =
        os_release.lines().find_map(|line| line.strip_prefix("ID=")).unwrap_or_default().trim_matches('"');
    if id == "debian" { Ok(()) } else { Err(Reason::NotDebian(id.to_owned())) }
}

fn check_cgroup() -> Result<(), Reason> {
    // Several threads may look at the same time.
    static PROBES: AtomicU32 = AtomicU32::new(0);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let root = cgroup_root(&mounts).ok_or(Reason::NoCgroup)?;
    let number = PROBES.fetch_add(1, Ordering::Relaxed);
    let probe = root.join(format!("convoy-probe-{}-{number}", std::process::id()));
    fs::create_dir(&probe).map_err(|_| Reason::NoCgroup)?;
    fs::remove_dir(&probe).map_err(|_| Reason::NoCgroup)
}

/// The mount point of the cgroup2 hierarchy, from the text of /proc/self/mountinfo.
pub(crate) fn cgroup_root(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let point = left.split(' ').nth(4)?;
        (right.split(' ').next()? == "cgroup2").then(|| Path::new(point).to_owned())
    })
}

fn attempt(what: &'static str, program: &str, arguments: &[&str]) -> Result<(), Reason> {
    let mut command = Command::new(program);
    command.args(arguments);
    let refused = |detail: String| Reason::Refused {
        what,
        detail: detail.lines().last().unwrap_or_default().to_owned(),
    };
    let output = command::run(what, command, None, SHORT).map_err(|error| refused(error.to_string()))?;
    if output.success() { Ok(()) } else { Err(refused(output.text())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_cgroup2_in_hybrid_and_unified_layouts() {
        let hybrid = "30 20 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
                      31 30 0:27 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n\
                      32 30 0:28 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroup_root(hybrid), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        let unified = "35 24 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(cgroup_root(unified), Some(PathBuf::from("/sys/fs/cgroup")));
        assert_eq!(cgroup_root("31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"), None);
    }

    #[test]
    fn names_what_is_missing_and_how_to_get_it() {
        let text = Reason::Missing(vec!["mmdebstrap", "ip"]).to_string();
        assert_eq!(
            text,
            "mmdebstrap, ip not installed; packaging/setup-debian.sh test installs what is missing"
        );
        let fedora = check_distribution("NAME=Fedora\nID=fedora\n").unwrap_err().to_string();
        assert!(fedora.contains("\"fedora\""), "{fedora}");
        assert_eq!(check_distribution("ID=debian\n"), Ok(()));
    }

    #[test]
    fn every_reason_is_one_line() {
        let reasons = [
            Reason::NotRoot,
            Reason::NotDebian("arch".into()),
            Reason::Missing(vec!["ip"]),
            Reason::NoCgroup,
            attempt("two lines", "sh", &["-c", "echo one; echo two; exit 1"]).unwrap_err(),
        ];
        assert!(reasons.iter().all(|reason| !reason.to_string().contains('\n')));
    }
}
