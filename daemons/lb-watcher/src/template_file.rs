//! The template in use: the operator's file, or the shipped one.

use std::path::{Path, PathBuf};

use convoy_lb_config::{SHIPPED_TEMPLATE, Template, TemplateError};
use thiserror::Error;

/// What the shipped template is called in messages; packages install a copy there to start one's own from.
const SHIPPED_NAME: &str = "/usr/lib/convoy/templates/nginx.conf.j2";

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
    path: Option<PathBuf>,
    loaded: Option<(String, Template)>,
}

impl TemplateFile {
    /// The operator's file, or the shipped template.
    pub(crate) fn new(path: Option<&Path>) -> Self {
        Self { path: path.map(Path::to_owned), loaded: None }
    }

    /// The template as it is now, and its text.
    pub(crate) fn current(&mut self) -> Result<(&Template, &str), TemplateFileError> {
        let text = match &self.path {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|source| TemplateFileError::Read { path: path.clone(), source })?,
            None => SHIPPED_TEMPLATE.to_owned(),
        };
        let loaded = match self.loaded.take() {
            Some(loaded) if loaded.0 == text => loaded,
            _ => {
                let name = self.path.as_ref().map_or(SHIPPED_NAME.into(), |path| path.to_string_lossy());
                let template = Template::parse(&name, &text)?;
                (text, template)
            }
        };
        let (text, template) = self.loaded.insert(loaded);
        Ok((template, text))
    }
}
