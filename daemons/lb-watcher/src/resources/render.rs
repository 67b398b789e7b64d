//! From keys to files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use convoy_confd::resource::{Each, FileSpec, Owner, Resource};
use convoy_confd::{Snapshot, World, functions};
use convoy_go_template::{Limits, Template, Value};
use thiserror::Error;

use super::directory::template_folder;
use super::format;
use crate::install::set::{Attributes, Content, FileSet};
use crate::machine::Machine;

/// The files can't be made of these keys.
#[derive(Debug, Error)]
pub(super) enum RenderError {
    /// A template can't be read.
    #[error("{path}: the template can't be read ({source}); correct src, or the file's owner or mode", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A template is broken, or fails with these keys.
    #[error("{0}")]
    Template(String),
    /// What came out is not what its readers expect.
    #[error("{path} is no {format}: {what}; correct the template or the keys", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it should be.
        format: convoy_confd::resource::Format,
        /// What is wrong.
        what: String,
    },
    /// An owner or a group that isn't there.
    #[error(
        "{what} {name:?} is not known on this machine; make it first (sysusers.d), or correct the resource"
    )]
    Owner {
        /// User or group.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Two files of the same path.
    #[error("{path} is made twice by this resource; give the files different names", path = .0.display())]
    Twice(PathBuf),
    /// A path that can't be made.
    #[error("dest: {0}")]
    Destination(String),
}

/// Templates that were parsed, with their text: parsed again only when that has changed.
#[derive(Debug, Default)]
pub(super) struct Templates(BTreeMap<PathBuf, (Vec<u8>, Template)>);

/// Files, and what no file could be made for.
#[derive(Debug)]
pub(super) struct Rendered {
    /// The files.
    pub(super) set: FileSet,
    /// Keys that can't be part of a file's name.
    pub(super) unusable: Vec<String>,
}

impl Templates {
    /// Makes the files of a resource of these keys.
    pub(super) fn render(
        &mut self,
        resource: &Resource,
        confdir: &Path,
        snapshot: &Snapshot,
    ) -> Result<Rendered, RenderError> {
        let (instances, unusable) = resource.instances(snapshot);
        let mut set = FileSet::default();
        for file in &resource.files {
            let source = template_folder(confdir).join(file.source.trim_start_matches('/'));
            let world: Arc<dyn World> = Arc::new(Machine::new(&source));
            let functions = functions(snapshot, &world);
            let template = self.template(&source)?;
            let attributes = attributes(file)?;
            for each in &instances {
                let data = each.as_ref().map_or(Value::Nil, Each::data);
                let bytes = template.render(&data, &functions, Limits::default());
                let bytes = bytes.map_err(|error| RenderError::Template(error.to_string()))?;
                let path = file.destination(each.as_ref()).map_err(RenderError::Destination)?;
                let path = PathBuf::from(path);
                if let Some(format) = file.format {
                    format::check(format, &bytes).map_err(|what| RenderError::Format {
                        path: path.clone(),
                        format,
                        what,
                    })?;
                }
                if set.insert(path.clone(), Content { bytes, attributes }).is_some() {
                    return Err(RenderError::Twice(path));
                }
            }
        }
        Ok(Rendered { set, unusable })
    }

    /// Whether the templates that were used are still what they were.
    pub(super) fn are_current(&self) -> bool {
        self.0.iter().all(|(source, (text, _))| std::fs::read(source).is_ok_and(|found| found == *text))
    }

    fn template(&mut self, source: &Path) -> Result<&Template, RenderError> {
        let text = std::fs::read(source)
            .map_err(|error| RenderError::Read { path: source.to_owned(), source: error })?;
        let loaded = match self.0.remove(source) {
            Some(loaded) if loaded.0 == text => loaded,
            _ => (text.clone(), parse(source, &text)?),
        };
        let (_, template) = self.0.entry(source.to_owned()).or_insert(loaded);
        Ok(template)
    }
}

/// Parses a template; messages call it by its file, as confd does.
pub(super) fn parse(source: &Path, text: &[u8]) -> Result<Template, RenderError> {
    let world: Arc<dyn World> = Arc::new(Machine::new(source));
    let functions = functions(&Snapshot::default(), &world);
    let name = source.file_name().unwrap_or(source.as_os_str()).to_string_lossy();
    Template::parse(&name, text, &functions).map_err(|error| RenderError::Template(error.to_string()))
}

fn attributes(file: &FileSpec) -> Result<Attributes, RenderError> {
    let uid = match &file.owner {
        Some(Owner::Id(uid)) => Some(*uid),
        Some(Owner::Name(name)) => {
            let user = uzers::get_user_by_name(name);
            let user = user.ok_or_else(|| RenderError::Owner { what: "user", name: name.clone() })?;
            Some(user.uid())
        }
        None => None,
    };
    let gid = match &file.group {
        Some(Owner::Id(gid)) => Some(*gid),
        Some(Owner::Name(name)) => {
            let group = uzers::get_group_by_name(name);
            let group = group.ok_or_else(|| RenderError::Owner { what: "group", name: name.clone() })?;
            Some(group.gid())
        }
        None => None,
    };
    Ok(Attributes { mode: file.mode.map(convoy_confd::resource::Mode::bits), uid, gid })
}
