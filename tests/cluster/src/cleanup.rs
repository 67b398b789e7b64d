//! Removing a cluster, whatever state it was left in: a tool that was killed, machines that still run, mounts.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};

use crate::command::{self, SHORT};
use crate::error::ClusterError;
use crate::layout::StateDir;
use crate::nspawn;
use crate::possible::{Reason, cgroup_root};

/// Ends everything that belongs to the cluster and removes its folder. What does not exist is fine.
pub(crate) fn remove(state: &StateDir, name: &str) -> Result<(), ClusterError> {
    let dir = state.cluster(name);
    for cgroup in cgroups_of(name)? {
        nspawn::kill(&cgroup)?;
        nspawn::remove_cgroup(&cgroup);
    }
    kill_in_network(&dir.network());
    unmount_below(dir.path())?;
    remove_tree(dir.path())
}

/// Removes a folder with all that is in it.
pub(crate) fn remove_tree(path: &Path) -> Result<(), ClusterError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ClusterError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn cgroups_of(cluster: &str) -> Result<Vec<PathBuf>, ClusterError> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let root = cgroup_root(&mounts).ok_or(Reason::NoCgroup)?;
    let prefix = format!("convoy-{cluster}-m");
    let is_ours = |name: &str| {
        name.strip_prefix(&prefix)
            .is_some_and(|index| !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()))
    };
    let entries = fs::read_dir(&root).map_err(ClusterError::file("list", &root))?;
    Ok(entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_ours))
        .map(|e| e.path())
        .collect())
}

/// Ends load generators and the like, which were started in the cluster's network from outside.
fn kill_in_network(namespace: &Path) {
    let Ok(wanted) = fs::metadata(namespace).map(|file| (file.dev(), file.ino())) else { return };
    let own = fs::metadata("/proc/self/ns/net").map(|file| (file.dev(), file.ino()));
    if own.is_ok_and(|own| own == wanted) {
        return;
    }
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let network = fs::metadata(entry.path().join("ns/net")).map(|file| (file.dev(), file.ino()));
        if let (Ok(network), Some(process)) = (network, Pid::from_raw(process))
            && network == wanted
        {
            // It may have ended by itself.
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

fn unmount_below(folder: &Path) -> Result<(), ClusterError> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for point in mount_points_below(&mounts, folder) {
        unmount(&point, UnmountFlags::DETACH)
            .map_err(ClusterError::system(format!("unmount {}", point.display())))?;
    }
    Ok(())
}

/// Mount points inside `folder`, the last mounted first.
fn mount_points_below(mountinfo: &str, folder: &Path) -> Vec<PathBuf> {
    let point = |line: &str| line.split(' ').nth(4).map(|point| PathBuf::from(point.replace("\\040", " ")));
    mountinfo.lines().rev().filter_map(point).filter(|point| point.starts_with(folder)).collect()
}

/// Copies the container engine's storage: the layers, which nobody writes to, as hard links.
pub(crate) fn copy_storage(from: &Path, to: &Path) -> Result<(), ClusterError> {
    let script = r#"
        mkdir -p "$2"
        for entry in "$1"/*; do
            case ${entry##*/} in
                overlay2) cp -al "$entry" "$2/" ;;
                *) cp -a "$entry" "$2/" ;;
            esac
        done"#;
    let mut command = Command::new("sh");
    command.args(["-euc", script, "sh"]).arg(from).arg(to);
    let what = "copy the container images";
    command::run(what, command, None, SHORT)?.ok(what).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_mounts_of_this_cluster_only_and_the_last_first() {
        let mountinfo = "1 0 8:1 / / rw - ext4 /dev/vda rw\n\
            2 1 0:4 net:[4026] /state/clusters/a/network rw - nsfs nsfs rw\n\
            3 1 0:5 / /state/clusters/a/m1/tree rw - overlay overlay rw\n\
            4 1 0:6 / /state/clusters/ab/m1/tree rw - overlay overlay rw\n";
        assert_eq!(
            mount_points_below(mountinfo, Path::new("/state/clusters/a")),
            [Path::new("/state/clusters/a/m1/tree"), Path::new("/state/clusters/a/network")]
        );
    }
}
