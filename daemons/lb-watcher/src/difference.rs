//! Two texts side by side, in the form of diff(1).

use std::fmt::Write as _;
use std::path::Path;

use similar::TextDiff;

/// Adds how a file differs from what it should be; nothing if it doesn't. A text that is none is a file that isn't there.
pub(crate) fn compare(out: &mut String, path: &Path, there: Option<&[u8]>, wanted: Option<&[u8]>) {
    if there == wanted {
        return;
    }
    let name = |bytes: Option<&[u8]>| bytes.map_or("/dev/null".to_owned(), |_| path.display().to_string());
    let shown = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let (old, new) = (shown(there), shown(wanted));
    let difference = TextDiff::from_lines(&old, &new);
    // Writing to a String can't fail.
    let _ = write!(out, "{}", difference.unified_diff().header(&name(there), &name(wanted)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown_and_an_absent_file_is_named_as_diff_does() {
        let mut out = String::new();
        compare(&mut out, Path::new("/a"), Some(b"one\ntwo\n"), Some(b"one\ntwo\n"));
        assert_eq!(out, "");
        compare(&mut out, Path::new("/a"), Some(b"one\ntwo\n"), Some(b"one\n"));
        assert_eq!(out, "--- /a\n+++ /a\n@@ -1,2 +1 @@\n one\n-two\n");
        out.clear();
        compare(&mut out, Path::new("/a"), None, Some(b"one\n"));
        assert!(out.starts_with("--- /dev/null\n+++ /a\n") && out.ends_with("+one\n"), "{out}");
    }
}
