//! Changes on disk: resources, templates, and files in place that somebody edits.

use std::os::unix::ffi::OsStrExt;

use convoy_disk_watch::{Change, DiskWatch};

/// Waits for a change of somebody else: candidates of our own are passed over. Can be cancelled.
pub(super) async fn changed(disk: &mut DiskWatch) -> Change {
    loop {
        let change = disk.changed().await;
        if !is_candidate(&change) {
            return change;
        }
    }
}

fn is_candidate(change: &Change) -> bool {
    let Change::In { name: Some(name), .. } = change else { return false };
    name.as_bytes().ends_with(b".convoy-staged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_candidates_are_our_own() {
        let in_folder = |name: Option<&str>| Change::In { folder: "/f".into(), name: name.map(Into::into) };
        for (change, ours) in [
            (in_folder(Some(".a.convoy-staged")), true),
            (in_folder(Some("a")), false),
            (in_folder(None), false),
            (Change::Anything, false),
        ] {
            assert_eq!(is_candidate(&change), ours, "{change:?}");
        }
    }
}
