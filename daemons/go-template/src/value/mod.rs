//! What templates compute with.

mod complex;
mod function;
mod list;
mod map;
mod record;
mod types;

pub use complex::Complex;
pub use function::{Call, CallError, Function, Functions};
pub use list::List;
pub use map::Map;
pub use record::Record;
pub use types::{Type, Width};

use std::sync::Arc;

use crate::text::Text;

/// A value of Go.
#[derive(Debug, Clone)]
pub enum Value {
    /// No value: an untyped nil, a missing key.
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// An unsigned integer.
    Uint(u64, Width),
    /// `float64`
    Float(f64),
    /// `complex128`
    Complex(Complex),
    /// `string`
    String(Text),
    /// A slice.
    List(List),
    /// A map with strings as keys.
    Map(Map),
    /// A struct with fields and methods.
    Record(Arc<dyn Record>),
    /// A function.
    Function(Function),
}

impl Value {
    /// Its type; no value has none.
    pub fn type_of(&self) -> Option<Type> {
        Some(match self {
            Self::Nil => return None,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_, width) => Type::Uint(*width),
            Self::Float(_) => Type::Float,
            Self::Complex(_) => Type::Complex,
            Self::String(_) => Type::String,
            Self::List(list) => list.type_of().clone(),
            Self::Map(map) => map.type_of(),
            Self::Record(record) => Type::Record(record.type_name()),
            Self::Function(function) => Type::Function(function.signature().into()),
        })
    }

    /// The name of its type, as `%T` prints it.
    pub fn type_name(&self) -> String {
        self.type_of().map_or_else(|| "<nil>".to_owned(), |kind| kind.to_string())
    }

    /// The zero value of a type.
    pub fn zero(kind: &Type) -> Self {
        match kind {
            Type::Any | Type::Function(_) | Type::Record(_) => Self::Nil,
            Type::Bool => Self::Bool(false),
            Type::Int => Self::Int(0),
            Type::Uint(width) => Self::Uint(0, *width),
            Type::Float => Self::Float(0.0),
            Type::Complex => Self::Complex(Complex::default()),
            Type::String => Self::String(Text::default()),
            Type::List { .. } => Self::List(List::nil(kind.clone())),
            Type::Map { element } => Self::Map(Map::nil(element.as_ref().clone())),
        }
    }

    /// Go's idea of truth: not the zero value, not empty. Structs are always true.
    pub fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Uint(value, _) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Complex(value) => *value != Complex::default(),
            Self::String(text) => !text.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Record(_) | Self::Function(_) => true,
        }
    }

    /// Whether it is nil: no value, or a nil slice or map.
    pub(crate) fn is_nil(&self) -> bool {
        match self {
            Self::Nil => true,
            Self::List(list) => list.is_nil(),
            Self::Map(map) => map.is_nil(),
            _ => false,
        }
    }

    /// How deep lists and maps are nested in it.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::List(list) => list.depth(),
            Self::Map(map) => map.depth(),
            _ => 0,
        }
    }

    /// About how many bytes it keeps by itself; what it shares with others is not counted again.
    pub(crate) fn weight(&self) -> usize {
        const SLOT: usize = size_of::<Value>();
        SLOT + match self {
            Self::String(text) => text.len(),
            Self::List(list) => list.len().saturating_mul(SLOT),
            Self::Map(map) => map.len().saturating_mul(2 * SLOT),
            _ => 0,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl<'a> From<&'a str> for Value {
    fn from(value: &'a str) -> Self {
        Self::String(Text::from(value))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(Text::from(value))
    }
}

impl From<Text> for Value {
    fn from(value: Text) -> Self {
        Self::String(value)
    }
}

/// The deepest nesting among some values.
fn value_depth<'a>(values: impl Iterator<Item = &'a Value>) -> usize {
    values.map(Value::depth).max().unwrap_or(0)
}
