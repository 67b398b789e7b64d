//! JSON as Go reads and writes it: numbers are `float64`, the last of equal keys counts.

mod read;
mod write;

use std::collections::BTreeMap;

use convoy_go_template::{List, Map, Text, Type, Value};
use thiserror::Error;

use write::quoted;
pub(crate) use write::write;

/// The text is no JSON.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}, at byte {offset}")]
pub struct JsonError {
    /// What is wrong.
    pub what: String,
    /// Where.
    pub offset: usize,
}

/// A JSON value, with its numbers as they were written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, and how it was written.
    Number(f64, String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// What the value is called in Go's messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(..) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// The value as templates see it.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Nil,
            Self::Bool(truth) => Value::Bool(truth),
            Self::Number(number, _) => Value::Float(number),
            Self::String(text) => Value::from(text),
            Self::Array(elements) => {
                Value::List(List::new(Type::Any, elements.into_iter().map(Self::into_value).collect()))
            }
            Self::Object(entries) => Value::Map(Map::new(
                entries.into_iter().map(|(key, value)| (Text::from(key), value.into_value())).collect(),
            )),
        }
    }
}

impl std::fmt::Display for Json {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Bool(truth) => write!(out, "{truth}"),
            Self::Number(_, written) => out.write_str(written),
            Self::String(text) => out.write_str(&quoted(text.as_bytes())),
            Self::Array(elements) => {
                out.write_str("[")?;
                for (index, element) in elements.iter().enumerate() {
                    write!(out, "{}{element}", if index > 0 { "," } else { "" })?;
                }
                out.write_str("]")
            }
            Self::Object(entries) => {
                out.write_str("{")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(out, "{comma}{}:{value}", quoted(key.as_bytes()))?;
                }
                out.write_str("}")
            }
        }
    }
}
