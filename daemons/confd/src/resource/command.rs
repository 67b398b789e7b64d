//! Commands that a resource names.

use std::fmt;
use std::time::Duration;

use convoy_go_template::{Functions, Limits, Map, Template, Value};

use crate::fields::{Field, FieldError};

/// A command: what it is given, and how long it may take.
#[derive(Debug, Clone)]
pub struct Command {
    line: Line,
    deadline: Duration,
    names_source: bool,
}

#[derive(Debug, Clone)]
enum Line {
    /// For `/bin/sh -c`, as confd has it.
    Shell(Part),
    /// A program and its arguments, without a shell.
    Program(Vec<Part>),
}

#[derive(Debug, Clone)]
enum Part {
    /// confd takes a check for a template.
    Template(Template),
    /// And a reload for plain text, in which there may be braces of somebody else (`docker ps --format`).
    Plain(String),
}

/// How a command tells where its paths go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filling {
    /// It is a template of Go.
    Template,
    /// The words `{{.src}}` and `{{.dest}}`, everything else as it stands.
    Words,
}

/// A command with its paths filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// A line for `/bin/sh -c`.
    Shell(String),
    /// A program and its arguments.
    Program(Vec<String>),
}

impl Command {
    /// Reads a field: a text is for the shell, a list is a program and its arguments. `{{.src}}` and `{{.dest}}`
    /// stand for paths.
    pub(crate) fn read(field: &Field<'_>, filling: Filling, deadline: Duration) -> Result<Self, FieldError> {
        let part = |text: &str| Part::parse(text, filling).map_err(|what| field.wrong(what));
        let line = if field.is_list() {
            let parts = field.texts()?;
            if parts.first().is_none_or(|program| program.text.is_empty()) {
                return Err(field.wrong("the list is empty; its first entry is the program"));
            }
            Line::Program(parts.iter().map(|text| part(&text.text)).collect::<Result<_, _>>()?)
        } else {
            Line::Shell(part(&field.text()?.text)?)
        };
        let mut command = Self { line, deadline, names_source: false };
        command.names_source = command.invoke("/one", "/dest") != command.invoke("/other", "/dest");
        Ok(command)
    }

    /// How long it may take.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Whether it is told where the staged file is. One that isn't looks at the place where the file will be.
    pub fn names_source(&self) -> bool {
        self.names_source
    }

    /// The command for these paths.
    pub fn invoke(&self, source: &str, destination: &str) -> Result<Invocation, String> {
        let fill = |part: &Part| part.fill(source, destination);
        Ok(match &self.line {
            Line::Shell(line) => Invocation::Shell(fill(line)?),
            Line::Program(parts) => Invocation::Program(parts.iter().map(fill).collect::<Result<_, _>>()?),
        })
    }
}

impl Part {
    fn parse(text: &str, filling: Filling) -> Result<Self, String> {
        if filling == Filling::Words {
            return Ok(Self::Plain(text.to_owned()));
        }
        let template = Template::parse("command", text.as_bytes(), &Functions::new());
        let part = Self::Template(template.map_err(|error| error.to_string())?);
        // Whatever isn't one of the two prints <no value>, and a shell makes a redirection of that.
        if part.fill("/src", "/dest")?.contains("<no value>") {
            return Err(format!(
                "{text:?} uses something that isn't there; {{{{.src}}}}, the staged file, and {{{{.dest}}}} are"
            ));
        }
        Ok(part)
    }

    fn fill(&self, source: &str, destination: &str) -> Result<String, String> {
        match self {
            Self::Plain(text) => Ok(text.replace("{{.src}}", source).replace("{{.dest}}", destination)),
            Self::Template(template) => {
                let paths = [("src", source), ("dest", destination)];
                let data = paths.into_iter().map(|(name, path)| (name.into(), Value::from(path))).collect();
                let filled =
                    template.render(&Value::Map(Map::new(data)), &Functions::new(), Limits::default());
                let filled = filled.map_err(|error| error.to_string())?;
                String::from_utf8(filled).map_err(|error| error.to_string())
            }
        }
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(line) => out.write_str(line),
            Self::Program(parts) => out.write_str(&parts.join(" ")),
        }
    }
}
