//! Files as they should be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Whose a file is and who may do what with it. What isn't said stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What stands in it.
    pub bytes: Vec<u8>,
    /// Owner and mode.
    pub attributes: Attributes,
}

/// Files that belong together: they are checked, put in place and taken back as one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileSet(BTreeMap<PathBuf, Content>);

impl FileSet {
    /// Adds a file. The former one is given back if there was one of the same path.
    pub fn insert(&mut self, path: PathBuf, content: Content) -> Option<Content> {
        self.0.insert(path, content)
    }

    /// The file of a path.
    pub fn get(&self, path: &Path) -> Option<&Content> {
        self.0.get(path)
    }

    /// All files in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Content)> {
        self.0.iter().map(|(path, content)| (path.as_path(), content))
    }

    /// All paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// SHA-256 over paths and contents, in hexadecimal: two sets with the same one mean the same to their reader.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (path, content) in &self.0 {
            for part in [path.as_os_str().as_encoded_bytes(), &content.bytes] {
                hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
                hash.update(part);
            }
        }
        convoy_lb_config::hexadecimal(&hash.finalize())
    }
}

impl FromIterator<(PathBuf, Content)> for FileSet {
    fn from_iter<T: IntoIterator<Item = (PathBuf, Content)>>(files: T) -> Self {
        Self(files.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(files: &[(&str, &str)]) -> FileSet {
        let content = |text: &str| Content { bytes: text.into(), attributes: Attributes::default() };
        files.iter().map(|(path, text)| (PathBuf::from(path), content(text))).collect()
    }

    #[test]
    fn a_digest_tells_paths_and_contents_apart() {
        let digests = [
            set(&[]),
            set(&[("/a", "")]),
            set(&[("/a", "b")]),
            set(&[("/ab", "")]),
            set(&[("/a", "b"), ("/c", "")]),
            set(&[("/a", "b/c")]),
        ]
        .map(|set| set.digest());
        for (index, digest) in digests.iter().enumerate() {
            assert_eq!(digests.iter().position(|other| other == digest), Some(index));
        }
        let mut other = set(&[("/a", "b")]);
        let content =
            Content { bytes: "b".into(), attributes: Attributes { mode: Some(0o600), ..Default::default() } };
        other.insert("/a".into(), content);
        assert_eq!(other.digest(), set(&[("/a", "b")]).digest(), "owner and mode are no reason to reload");
    }
}
