//! The folder of an operator's confd: `conf.d` with resources, `templates` with templates.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use convoy_confd::resource::{Resource, ResourceWarning};
use thiserror::Error;

/// Deeper folders are a circle of links.
const DEEPEST: usize = 32;

/// The folder can't be used at all.
#[derive(Debug, Error)]
#[error("{path}: the resources can't be listed ({source}); make the folder, or name another one with -confdir", path = path.display())]
pub(super) struct DirectoryError {
    path: PathBuf,
    source: io::Error,
}

/// What stands in the folder.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    /// Resources, in the order of their names, with their text.
    pub(super) resources: Vec<(Resource, String)>,
    /// What can't be used, by name, and why.
    pub(super) broken: BTreeMap<String, String>,
    /// What has no effect, or not the one that was meant.
    pub(super) warnings: Vec<ResourceWarning>,
}

/// Where the resources are.
pub(super) fn resource_folder(confdir: &Path) -> PathBuf {
    confdir.join("conf.d")
}

/// Where the templates are.
pub(super) fn template_folder(confdir: &Path) -> PathBuf {
    confdir.join("templates")
}

impl Directory {
    /// Reads all resources: files below `conf.d` whose name ends in `toml`, as confd finds them. A broken one keeps no
    /// other from being read.
    pub(super) fn read(confdir: &Path, global_prefix: Option<&str>) -> Result<Self, DirectoryError> {
        let folder = resource_folder(confdir);
        let mut names = Vec::new();
        find(&folder, Path::new(""), 0, &mut names)
            .map_err(|source| DirectoryError { path: folder.clone(), source })?;
        names.sort();
        let mut directory = Self::default();
        for name in names {
            let shown = name.to_string_lossy().into_owned();
            let text = match fs::read_to_string(folder.join(&name)) {
                Ok(text) => text,
                Err(error) => {
                    directory.broken.insert(shown, format!("it can't be read: {error}"));
                    continue;
                }
            };
            match Resource::parse(&shown, &text, global_prefix) {
                Ok((resource, warnings)) => {
                    directory.warnings.extend(warnings);
                    directory.add(resource, text);
                }
                Err(error) => drop(directory.broken.insert(shown, error.error.to_string())),
            }
        }
        Ok(directory)
    }

    /// Two resources that make the same file would take turns for ever.
    fn add(&mut self, resource: Resource, text: String) {
        let ours: Vec<String> = fixed(&resource);
        let rival = self.resources.iter().find_map(|(other, _)| {
            let path = fixed(other).into_iter().find(|path| ours.contains(path))?;
            Some((other.name.clone(), path))
        });
        match rival {
            Some((other, path)) => {
                let why = format!("{path} is made by {other} already; give one of the two another dest");
                self.broken.insert(resource.name, why);
            }
            None => self.resources.push((resource, text)),
        }
    }
}

fn fixed(resource: &Resource) -> Vec<String> {
    if resource.for_each.is_some() {
        return Vec::new();
    }
    resource.files.iter().filter_map(|file| file.destination(None).ok()).collect()
}

fn find(root: &Path, below: &Path, depth: usize, names: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if depth < DEEPEST {
                find(root, &name, depth + 1, names)?;
            }
        } else if entry.file_name().as_encoded_bytes().ends_with(b"toml") {
            names.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(dest: &str) -> String {
        format!("[template]\nsrc = \"a\"\ndest = \"{dest}\"\n")
    }

    #[test]
    fn files_are_found_as_confd_finds_them_and_a_broken_one_stops_no_other() {
        let confdir = tempfile::tempdir().unwrap();
        let folder = resource_folder(confdir.path());
        fs::create_dir_all(folder.join("sub")).unwrap();
        for (name, text) in [
            ("b.toml", resource("/b")),
            ("sub/x.toml", resource("/x")),
            (".hid.toml", resource("/hid")),
            ("zztoml", resource("/zz")),
            ("w.TOML", resource("/w")),
            ("y.toml.bak", resource("/y")),
            ("broken.toml", "[template]\nsrc = 5\n".to_owned()),
            ("rival.toml", resource("/b")),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        let read = Directory::read(confdir.path(), None).unwrap();
        let names: Vec<&str> = read.resources.iter().map(|(resource, _)| resource.name.as_str()).collect();
        assert_eq!(names, [".hid.toml", "b.toml", "sub/x.toml", "zztoml"]);
        assert!(read.broken["broken.toml"].starts_with("line 2: src"), "{:?}", read.broken);
        assert!(read.broken["rival.toml"].contains("/b is made by b.toml"), "{:?}", read.broken);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Directory::read(Path::new("/nonexistent"), None).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/conf.d") && error.contains("-confdir"), "{error}");
    }
}
