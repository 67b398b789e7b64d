//! The types of Go that values have, as far as templates meet them.

use std::fmt;
use std::sync::Arc;

/// A type of Go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// `interface {}`: anything.
    Any,
    /// `bool`
    Bool,
    /// `int`, 64 bits wide.
    Int,
    /// `uint8`, `uint16`, `uint32` or `uint64`.
    Uint(Width),
    /// `float64`
    Float,
    /// `complex128`
    Complex,
    /// `string`
    String,
    /// A slice.
    List {
        /// What the slice type is called, when it has a name.
        name: Option<&'static str>,
        /// What is in it.
        element: Arc<Type>,
    },
    /// A map with strings as keys.
    Map {
        /// What is in it.
        element: Arc<Type>,
    },
    /// A struct, or a pointer to one, by its name.
    Record(&'static str),
    /// A function, by its signature.
    Function(Arc<str>),
}

/// The width of an unsigned integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// `uint8`
    W8,
    /// `uint16`
    W16,
    /// `uint32`
    W32,
    /// `uint64`
    W64,
}

impl Type {
    /// A slice type without a name.
    pub fn list(element: Self) -> Self {
        Self::List { name: None, element: Arc::new(element) }
    }

    /// A map from strings.
    pub fn map(element: Self) -> Self {
        Self::Map { element: Arc::new(element) }
    }

    /// Whether `nil` is a value of it.
    pub(crate) fn can_be_nil(&self) -> bool {
        matches!(self, Self::Any | Self::List { .. } | Self::Map { .. } | Self::Function(_))
    }

    /// Whether a value of type `other` may be used where this one is asked for.
    pub(crate) fn accepts(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            // Slices with the same element are interchangeable unless both have names.
            (Self::List { name, element }, Self::List { name: other_name, element: other_element }) => {
                element == other_element && (name == other_name || name.is_none() || other_name.is_none())
            }
            _ => self == other,
        }
    }

    /// Whether `==` is defined for it in Go.
    pub(crate) fn is_comparable(&self) -> bool {
        !matches!(self, Self::List { .. } | Self::Map { .. } | Self::Function(_))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => out.write_str("interface {}"),
            Self::Bool => out.write_str("bool"),
            Self::Int => out.write_str("int"),
            Self::Uint(Width::W8) => out.write_str("uint8"),
            Self::Uint(Width::W16) => out.write_str("uint16"),
            Self::Uint(Width::W32) => out.write_str("uint32"),
            Self::Uint(Width::W64) => out.write_str("uint64"),
            Self::Float => out.write_str("float64"),
            Self::Complex => out.write_str("complex128"),
            Self::String => out.write_str("string"),
            Self::List { name: Some(name), .. } | Self::Record(name) => out.write_str(name),
            Self::List { name: None, element } => write!(out, "[]{element}"),
            Self::Map { element } => write!(out, "map[string]{element}"),
            Self::Function(signature) => out.write_str(signature),
        }
    }
}
