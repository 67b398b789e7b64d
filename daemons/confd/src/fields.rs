//! TOML as confd reads it: names of fields in any case, each value of one type. What is wrong has a line.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use convoy_suggest::nearest;
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong in a TOML file, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct FieldError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there, and what to do.
    pub what: String,
}

/// A text and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Text {
    /// An error about this text.
    pub(crate) fn wrong(&self, what: impl fmt::Display) -> FieldError {
        FieldError { line: self.line, what: what.to_string() }
    }
}

/// One value, and where it stands.
pub(crate) struct Field<'d> {
    name: String,
    value: &'d Spanned<DeValue<'d>>,
    document: &'d str,
}

/// One table, and which of its fields have been asked for.
pub(crate) struct Fields<'d> {
    table: &'d DeTable<'d>,
    document: &'d str,
    line: usize,
    known: RefCell<BTreeSet<String>>,
}

fn line_at(document: &str, offset: usize) -> usize {
    document.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// Parses a file; syntax errors have their line.
pub(crate) fn parse(document: &str) -> Result<Spanned<DeTable<'_>>, FieldError> {
    DeTable::parse(document).map_err(|error| {
        let line = error.span().map_or(1, |span| line_at(document, span.start));
        FieldError { line, what: format!("this is no TOML: {}", error.message()) }
    })
}

impl<'d> Fields<'d> {
    /// The fields of a whole file.
    pub(crate) fn of_file(table: &'d DeTable<'d>, document: &'d str) -> Self {
        Self { table, document, line: 1, known: RefCell::default() }
    }

    /// The line where the table begins.
    pub(crate) fn line(&self) -> usize {
        self.line
    }

    /// A field by its name in lower case; names in the file may be of any case, the exact one wins.
    pub(crate) fn get(&self, name: &str) -> Option<Field<'d>> {
        self.known.borrow_mut().insert(name.to_owned());
        let exact = self.table.iter().find(|(key, _)| key.get_ref() == name);
        let (_, value) =
            exact.or_else(|| self.table.iter().find(|(key, _)| key.get_ref().to_lowercase() == name))?;
        Some(Field { name: name.to_owned(), value, document: self.document })
    }

    /// A field that is a text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<Text>, FieldError> {
        self.get(name).map(|field| field.text()).transpose()
    }

    /// A field that is a list of texts.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<Text>>, FieldError> {
        self.get(name).map(|field| field.texts()).transpose()
    }

    /// What stands in the table and was never asked for: a line and a name each.
    pub(crate) fn unknown(&self) -> Vec<(usize, String)> {
        let known = self.known.borrow();
        let rest = self.table.keys().filter(|key| !known.contains(&key.get_ref().to_lowercase()));
        rest.map(|key| (line_at(self.document, key.span().start), key.get_ref().to_string())).collect()
    }

    /// The name of the known field that is most like this one, if any is.
    pub(crate) fn nearest(&self, name: &str) -> Option<String> {
        let known = self.known.borrow();
        nearest(name, known.iter().map(String::as_str)).map(ToOwned::to_owned)
    }
}

impl<'d> Field<'d> {
    fn line(&self) -> usize {
        line_at(self.document, self.value.span().start)
    }

    /// An error about this field.
    pub(crate) fn wrong(&self, what: impl fmt::Display) -> FieldError {
        FieldError { line: self.line(), what: format!("{}: {what}", self.name) }
    }

    fn expected(&self, what: &str) -> FieldError {
        let found = match self.value.get_ref().type_str() {
            kind @ ("integer" | "array") => format!("an {kind}"),
            kind => format!("a {kind}"),
        };
        self.wrong(format!("{what} is expected, here stands {found}"))
    }

    /// Whether it is a list.
    pub(crate) fn is_list(&self) -> bool {
        self.value.get_ref().is_array()
    }

    pub(crate) fn text(&self) -> Result<Text, FieldError> {
        let text = self.value.get_ref().as_str().ok_or_else(|| self.expected("a text in quotes"))?;
        Ok(Text { text: text.to_owned(), line: self.line() })
    }

    pub(crate) fn texts(&self) -> Result<Vec<Text>, FieldError> {
        let wrong = || self.expected("a list of texts, as [\"…\", \"…\"],");
        let list = self.value.get_ref().as_array().ok_or_else(wrong)?;
        list.iter()
            .map(|element| Field { name: self.name.clone(), value: element, document: self.document }.text())
            .collect()
    }

    /// A text, a number or a truth value, as text.
    pub(crate) fn scalar(&self) -> Result<String, FieldError> {
        match self.value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().replace('_', "")),
            DeValue::Boolean(truth) => Ok(truth.to_string()),
            _ => Err(self.expected("a text, a number, true or false")),
        }
    }

    pub(crate) fn number(&self) -> Result<u32, FieldError> {
        let wrong = || self.expected("a whole number from 0 on");
        let number = self.value.get_ref().as_integer().ok_or_else(wrong)?;
        u32::from_str_radix(&number.as_str().replace('_', ""), number.radix())
            .map_err(|_| self.wrong(format!("{} is no number from 0 to {}", number.as_str(), u32::MAX)))
    }

    /// Whether it is an empty text, which is as good as none.
    pub(crate) fn is_empty(&self) -> bool {
        self.value.get_ref().as_str().is_some_and(str::is_empty)
    }

    /// Whether it is the number -1, by which confd means "not set".
    pub(crate) fn is_minus_one(&self) -> bool {
        self.value.get_ref().as_integer().is_some_and(|number| number.as_str() == "-1")
    }

    /// A field that is a table.
    pub(crate) fn table(&self) -> Result<Fields<'d>, FieldError> {
        let table = self.value.get_ref().as_table();
        let table = table.ok_or_else(|| self.expected(&format!("one table, as [{}],", self.name)))?;
        Ok(Fields { table, document: self.document, line: self.line(), known: RefCell::default() })
    }

    /// A field that is a list of tables.
    pub(crate) fn tables(&self) -> Result<Vec<Fields<'d>>, FieldError> {
        let wrong = || self.expected("a list of tables");
        let list = self.value.get_ref().as_array().ok_or_else(wrong)?;
        list.iter()
            .map(|element| Field { name: self.name.clone(), value: element, document: self.document }.table())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_what_nobody_asked_for_is_told() {
        let document = "Src = \"a\"\n\ndset = \"b\"\nUID = 0x10\n";
        let table = parse(document).unwrap();
        let fields = Fields::of_file(table.get_ref(), document);
        assert_eq!(fields.text("src").unwrap().unwrap(), Text { text: "a".into(), line: 1 });
        assert_eq!(fields.get("uid").unwrap().number(), Ok(16));
        assert!(fields.text("dest").unwrap().is_none());
        assert_eq!(fields.unknown(), [(3, "dset".to_owned())]);
        assert_eq!(fields.nearest("dset").as_deref(), Some("dest"));
        assert_eq!(fields.nearest("colour"), None);
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        assert_eq!(parse("a = 1\nb = \n").unwrap_err().line, 2);
        let document = "a = 1\nkeys = \"/x\"\nuid = -1\n";
        let table = parse(document).unwrap();
        let fields = Fields::of_file(table.get_ref(), document);
        assert_eq!(fields.texts("keys").unwrap_err().line, 2);
        assert_eq!(fields.get("uid").unwrap().number().unwrap_err().line, 3);
        assert!(fields.text("a").unwrap_err().to_string().contains("an integer"));
    }
}
