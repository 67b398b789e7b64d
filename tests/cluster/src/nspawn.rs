//! Booting one machine: the overlay, the cgroup, and systemd-nspawn around a real systemd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::mount::{MountFlags, mount};

use crate::command::{self, SHORT};
use crate::error::ClusterError;
use crate::layout::MachineDir;
use crate::possible::{Reason, cgroup_root};
use crate::wait::wait_until;

/// Where a machine sees the cluster's shared folder.
pub(crate) const SHARE: &str = "/srv/cluster";
/// Where a machine sees the archive of container images.
pub(crate) const IMAGES: &str = "/srv/images";

/// What is needed to boot a machine.
#[derive(Debug)]
pub(crate) struct Boot<'a> {
    pub(crate) dir: &'a MachineDir,
    /// Its host name.
    pub(crate) name: &'a str,
    pub(crate) cluster_network: &'a Path,
    pub(crate) cgroup: &'a Path,
    /// Folders bound read-only: on the host, in the machine.
    pub(crate) read_only: &'a [(PathBuf, &'static str)],
}

/// The cgroup of one machine, outside of what a systemd on the host manages.
pub(crate) fn cgroup(cluster: &str, machine: &str) -> Result<PathBuf, ClusterError> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let root = cgroup_root(&mounts).ok_or(Reason::NoCgroup)?;
    Ok(root.join(format!("convoy-{cluster}-{machine}")))
}

/// Mounts the machine's file system: its own layer over the base tree.
pub(crate) fn mount_tree(dir: &MachineDir, base: &Path) -> Result<(), ClusterError> {
    for folder in [dir.upper(), dir.work(), dir.tree(), dir.docker(), dir.containers()] {
        fs::create_dir_all(&folder).map_err(ClusterError::file("create", &folder))?;
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        base.display(),
        dir.upper().display(),
        dir.work().display()
    );
    let options = std::ffi::CString::new(options)
        .map_err(|error| ClusterError::Unknown(format!("the path of the state folder: {error}")))?;
    mount("overlay", dir.tree(), "overlay", MountFlags::empty(), options.as_c_str())
        .map_err(ClusterError::system(format!("mount the overlay {}", dir.tree().display())))
}

/// Starts the machine and returns as soon as its first process runs. The machine goes on when this process ends.
pub(crate) fn boot(boot: &Boot<'_>) -> Result<(), ClusterError> {
    let cgroup = boot.cgroup;
    fs::create_dir_all(cgroup).map_err(ClusterError::file("create", cgroup))?;
    let console = boot.dir.console();
    let log = fs::File::create(&console).map_err(ClusterError::file("create", &console))?;
    let errors = log.try_clone().map_err(ClusterError::file("open", &console))?;
    // The shell moves itself into the machine's cgroup first: with keep-unit nspawn builds the machine's cgroups
    // below the one that it finds itself in, and two machines must not share one.
    let launch = "echo 0 > \"$1/cgroup.procs\" && echo $$ > \"$2\" && shift 2 && exec \"$@\"";
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", launch, "sh"]).arg(cgroup).arg(boot.dir.pid());
    command.arg("nsenter").arg(format!("--net={}", boot.cluster_network.display())).arg("--");
    command.arg("systemd-nspawn").args(nspawn_arguments(boot));
    // cgroup2 only inside; /proc/sys/net writable, because Docker sets up forwarding there.
    command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1").env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network");
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    let child = command.spawn().map_err(|source| ClusterError::Start { program: "setsid".into(), source })?;
    reap(child);
    wait_until(&format!("first process of {}", boot.name), Duration::from_secs(15), || {
        first_process(boot.dir).ok_or_else(|| fs::read_to_string(&console).unwrap_or_default())
    })
    .map(drop)
}

/// A machine that ends while this process still runs must not stay as a zombie.
fn reap(mut child: std::process::Child) {
    std::thread::spawn(move || child.wait());
}

fn nspawn_arguments(boot: &Boot<'_>) -> Vec<String> {
    let bind = |option: &str, from: &Path, to: &str| format!("--{option}={}:{to}", from.display());
    let mut arguments = vec![
        "--boot".to_owned(),
        "--quiet".to_owned(),
        format!("--directory={}", boot.dir.tree().display()),
        format!("--machine={}", unique_name(boot.cgroup)),
        format!("--hostname={}", boot.name),
        "--register=no".to_owned(),
        "--keep-unit".to_owned(),
        "--capability=all".to_owned(),
        "--system-call-filter=@keyring bpf".to_owned(),
        format!("--network-namespace-path={}", boot.dir.network().display()),
        "--resolv-conf=off".to_owned(),
        "--timezone=off".to_owned(),
        "--link-journal=no".to_owned(),
        "--console=pipe".to_owned(),
        bind("bind", &boot.dir.docker(), "/var/lib/docker"),
        bind("bind", &boot.dir.containers(), "/var/lib/containers"),
    ];
    arguments.extend(boot.read_only.iter().map(|(from, to)| bind("bind-ro", from, to)));
    arguments
}

/// nspawn keeps folders below /run under the machine's name; the cgroup's name is unique on this computer.
fn unique_name(cgroup: &Path) -> String {
    cgroup.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The machine's first process as the host sees it, or none when the machine is off.
pub(crate) fn first_process(dir: &MachineDir) -> Option<u32> {
    let nspawn: u32 = fs::read_to_string(dir.pid()).ok()?.trim().parse().ok()?;
    // The number may be another process by now.
    let command_line = fs::read(format!("/proc/{nspawn}/cmdline")).ok()?;
    let tree = format!("--directory={}", dir.tree().display());
    command_line.split(|byte| *byte == 0).find(|argument| *argument == tree.as_bytes())?;
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
    children.split_whitespace().filter_map(|child| child.parse().ok()).find(|child| is_first(*child))
}

/// Whether the process is number 1 of a process namespace, and past the set-up by nspawn.
fn is_first(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let is_one = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .is_some_and(|numbers| numbers.split_whitespace().nth(1) == Some("1"));
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    is_one && name.trim() == "systemd"
}

/// Whether any process of the machine is left, nspawn included.
pub(crate) fn is_empty(cgroup: &Path) -> bool {
    let events = fs::read_to_string(cgroup.join("cgroup.events")).unwrap_or_default();
    !events.lines().any(|line| line == "populated 1")
}

/// Kills every process of the machine at once.
pub(crate) fn kill(cgroup: &Path) -> Result<(), ClusterError> {
    if !cgroup.exists() {
        return Ok(());
    }
    let file = cgroup.join("cgroup.kill");
    fs::write(&file, "1").map_err(ClusterError::file("write", &file))?;
    wait_until("end of all processes of a machine", Duration::from_secs(15), || {
        if is_empty(cgroup) { Ok(()) } else { Err("processes are left".to_owned()) }
    })
}

/// Stops all processes of the machine without a word to them, or lets them go on.
pub(crate) fn set_frozen(cgroup: &Path, frozen: bool) -> Result<(), ClusterError> {
    let file = cgroup.join("cgroup.freeze");
    fs::write(&file, if frozen { "1" } else { "0" }).map_err(ClusterError::file("write", &file))?;
    let wanted = format!("frozen {}", u8::from(frozen));
    wait_until("freezing a machine", Duration::from_secs(10), || {
        let events = fs::read_to_string(cgroup.join("cgroup.events")).unwrap_or_default();
        if events.lines().any(|line| line == wanted) { Ok(()) } else { Err(events) }
    })
}

/// Removes the machine's cgroups, innermost first.
pub(crate) fn remove_cgroup(cgroup: &Path) {
    let Ok(entries) = fs::read_dir(cgroup) else { return };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        remove_cgroup(&entry.path());
    }
    // One that is still in use is found again by the next clean-up.
    let _ = fs::remove_dir(cgroup);
}

/// The program, to be run in the machine by its first process's namespaces, with a login's environment.
pub(crate) fn inside(first_process: u32, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    let target = format!("--target={first_process}");
    command
        .arg(target)
        .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "--"]);
    command.args([
        "env",
        "-i",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/convoy/bin",
    ]);
    command.args([
        "HOME=/root",
        "LANG=C.UTF-8",
        "ETCDCTL_API=3",
        "SYSTEMD_COLORS=0",
        "SYSTEMD_PAGER=",
        program,
    ]);
    command
}

/// Asks the machine to power off; returns at once.
pub(crate) fn ask_power_off(first_process: u32) -> Result<(), ClusterError> {
    let mut command = inside(first_process, "systemctl");
    command.args(["poweroff", "--no-block"]);
    command::run("power off", command, None, SHORT)?.ok("power off").map(drop)
}
