//! A template: parsed once, rendered as often as data changes.

use crate::budget::{Budget, Limits};
use crate::builtins::Builtin;
use crate::error::{ParseError, RenderError};
use crate::exec;
use crate::syntax::tree::Item;
use crate::syntax::{self, Trees};
use crate::value::{Functions, Value};

/// What a missing key of a map is: Go's option `missingkey`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// No value, printed as `<no value>`.
    #[default]
    Default,
    /// The zero value of the map's elements.
    Zero,
    /// An error.
    Error,
}

/// A template that has been parsed, with all that it defines.
#[derive(Debug, Clone)]
pub struct Template {
    name: String,
    text: Vec<u8>,
    trees: Trees,
    missing_key: MissingKey,
}

impl Template {
    /// Parses a text; `name` is the file it came from, for messages. A name of a function that is neither in
    /// `functions` nor one of Go's own is an error, wherever it stands.
    pub fn parse(name: &str, text: &[u8], functions: &Functions) -> Result<Self, ParseError> {
        let known = |name: &str| functions.get(name).is_some() || Builtin::find(name).is_some();
        let trees = syntax::parse(name, text, &known)?;
        Ok(Self { name: name.to_owned(), text: text.to_owned(), trees, missing_key: MissingKey::default() })
    }

    /// The same template with Go's option `missingkey`.
    #[must_use]
    pub fn with_missing_key(self, missing_key: MissingKey) -> Self {
        Self { missing_key, ..self }
    }

    /// What it was named when parsed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Renders it with this data as its dot. The same input gives the same bytes.
    pub fn render(
        &self,
        data: &Value,
        functions: &Functions,
        limits: Limits,
    ) -> Result<Vec<u8>, RenderError> {
        self.render_within(data, functions, &mut Budget::new(limits))
    }

    /// Renders it as part of another one, out of the same budget.
    pub fn render_within(
        &self,
        data: &Value,
        functions: &Functions,
        budget: &mut Budget,
    ) -> Result<Vec<u8>, RenderError> {
        exec::run(self, &self.name, data, functions, budget)
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(crate) fn tree(&self, name: &str) -> Option<&[Item]> {
        self.trees.get(name).map(Vec::as_slice)
    }

    pub(crate) fn trees(&self) -> &Trees {
        &self.trees
    }

    pub(crate) fn missing_key(&self) -> MissingKey {
        self.missing_key
    }
}
