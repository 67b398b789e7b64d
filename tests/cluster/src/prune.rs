//! Base trees and images of old recipes go away by themselves, once nobody has used them for some days.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::cleanup::remove_tree;
use crate::layout::StateDir;

/// Other branches with other recipes are worked on in the same week.
const UNUSED: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Notes that these are in use and removes what has not been for days. Failures don't matter: the next cluster
/// tries again. To be called with the cache locked.
pub(crate) fn keep_and_prune(state: &StateDir, used: &[&Path]) {
    let now = SystemTime::now();
    for path in used {
        let _ = File::open(path).and_then(|file| file.set_modified(now));
    }
    let records = records(state);
    for path in old_entries(&state.cache(), now) {
        // A cluster that runs for a week still has its base tree below it.
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if records.iter().any(|record| record.contains(&name)) {
            continue;
        }
        let _ = if path.is_dir() { remove_tree(&path).is_ok() } else { fs::remove_file(&path).is_ok() };
    }
}

fn records(state: &StateDir) -> Vec<String> {
    let clusters = fs::read_dir(state.clusters()).into_iter().flatten().flatten();
    let name = |cluster: fs::DirEntry| cluster.file_name().into_string().ok();
    let record = |name: String| fs::read_to_string(state.cluster(&name).record()).ok();
    clusters.filter_map(name).filter_map(record).collect()
}

fn old_entries(cache: &Path, now: SystemTime) -> Vec<PathBuf> {
    let is_old = |entry: &fs::DirEntry| {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| now.duration_since(modified).is_ok_and(|age| age > UNUSED))
    };
    let entries = fs::read_dir(cache).into_iter().flatten().flatten();
    entries.filter(is_old).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_old_and_below_no_cluster_goes() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let long_ago = SystemTime::now() - UNUSED - Duration::from_secs(60);
        for (name, old) in
            [("base-used", true), ("base-running", true), ("base-old", true), ("base-new", false)]
        {
            let tree = state.cache().join(name);
            fs::create_dir_all(tree.join("etc")).unwrap();
            if old {
                File::open(&tree).unwrap().set_modified(long_ago).unwrap();
            }
        }
        let cluster = state.cluster("long-lived");
        fs::create_dir_all(cluster.path()).unwrap();
        fs::write(cluster.record(), "{\"base\": \"/somewhere/cache/base-running\"}").unwrap();
        keep_and_prune(&state, &[&state.cache().join("base-used")]);
        let left = |name: &str| state.cache().join(name).exists();
        assert_eq!(
            ["base-used", "base-running", "base-old", "base-new"].map(left),
            [true, true, false, true]
        );
    }
}
