//! Collects what is wrong with one file.

use crate::{Problem, Strictness};

/// Errors and warnings of one file.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    file: &'a str,
    strictness: Strictness,
    pub(crate) errors: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(file: &'a str, strictness: Strictness) -> Self {
        Self { file, strictness, errors: Vec::new(), warnings: Vec::new() }
    }

    fn problem(&self, line: u32, option: &str, message: String, remedy: String) -> Problem {
        Problem {
            file: self.file.to_owned(),
            line: (line > 0).then_some(line),
            option: (!option.is_empty()).then(|| option.to_owned()),
            message,
            remedy,
        }
    }

    /// The unit can't be submitted. No option is named if `option` is empty, no line if it is 0.
    pub(crate) fn error(
        &mut self,
        line: u32,
        option: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let problem = self.problem(line, option, message.into(), remedy.into());
        self.errors.push(problem);
    }

    /// The unit can be submitted.
    pub(crate) fn warning(
        &mut self,
        line: u32,
        option: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let problem = self.problem(line, option, message.into(), remedy.into());
        self.warnings.push(problem);
    }

    /// What fleet let through: an error, or in compatible mode a warning that says what fleet made of it.
    pub(crate) fn let_through(
        &mut self,
        line: u32,
        option: &str,
        message: &str,
        effect: &str,
        remedy: impl Into<String>,
    ) {
        match self.strictness {
            Strictness::Strict => self.error(line, option, message, remedy),
            Strictness::Compatible => self.warning(line, option, format!("{message}: {effect}"), remedy),
        }
    }
}
