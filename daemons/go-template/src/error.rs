//! Errors, with the template, line and column that they are about.

use thiserror::Error;

/// Where something stands in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The template, as it was named when parsed: usually a file.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
    /// Bytes before it in that line, as Go counts columns: from 0.
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}:{}", self.name, self.line, self.column)
    }
}

impl Place {
    pub(crate) fn of(name: &str, text: &[u8], offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.split(|byte| *byte == b'\n').count();
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count();
        Self { name: name.to_owned(), line, column }
    }
}

/// A text that is no template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("template: {place}: {what}")]
pub struct ParseError {
    /// Where.
    pub place: Place,
    /// What, in the words of Go's parser.
    pub what: String,
}

/// A template that can't be rendered with this data.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("template: {place}: executing {template} at <{context}>: {what}", template = quoted(template))]
pub struct RenderError {
    /// Where.
    pub place: Place,
    /// The template that was executed: the file, or one defined in it.
    pub template: String,
    /// The expression, as it was understood.
    pub context: String,
    /// What, in Go's words where Go has the same error.
    pub what: String,
}

pub(crate) fn quoted(text: &str) -> String {
    String::from_utf8_lossy(&crate::quote::quote(text.as_bytes(), crate::quote::Escape::Unprintable))
        .into_owned()
}
