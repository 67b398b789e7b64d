//! The template in use: the operator's file, or the shipped one.

use std::path::{Path, PathBuf};

use convoy_lb_config::{Engine, Template, TemplateError};
use thiserror::Error;

/// Where packages install a copy of the shipped templates, to start one's own from.
const SHIPPED: &str = "/usr/lib/convoy/templates";

/// The template can't be used.
#[derive(Debug, Error)]
pub(crate) enum TemplateFileError {
    /// The file can't be read.
    #[error("{path}: the template can't be read ({source}); correct the path, its owner or its mode", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no template.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// The template, parsed again only when its text has changed.
#[derive(Debug)]
pub(crate) struct TemplateFile {
    engine: Engine,
    path: Option<PathBuf>,
    loaded: Option<(String, Template)>,
}

impl TemplateFile {
    /// The operator's file, or the shipped template.
    pub(crate) fn new(engine: Engine, path: Option<&Path>) -> Self {
        Self { engine, path: path.map(Path::to_owned), loaded: None }
    }

    /// The template as it is now, and its text.
    pub(crate) fn current(&mut self) -> Result<(&Template, &str), TemplateFileError> {
        let text = match &self.path {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|source| TemplateFileError::Read { path: path.clone(), source })?,
            None => self.engine.shipped_template().to_owned(),
        };
        let loaded = match self.loaded.take() {
            Some(loaded) if loaded.0 == text => loaded,
            _ => {
                let name = match &self.path {
                    Some(path) => path.to_string_lossy().into_owned(),
                    None => format!("{SHIPPED}/{}.j2", self.engine.file_name()),
                };
                let template = Template::parse(self.engine, &name, &text)?;
                (text, template)
            }
        };
        let (text, template) = self.loaded.insert(loaded);
        Ok((template, text))
    }
}
