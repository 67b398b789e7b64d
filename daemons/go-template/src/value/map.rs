//! Maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Value;
use super::types::Type;
use super::value_depth;
use crate::text::Text;

/// A map of Go with strings as keys, in the order of their bytes.
#[derive(Debug, Clone)]
pub struct Map(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    element: Type,
    depth: usize,
    nil: bool,
    entries: BTreeMap<Text, Value>,
}

impl Map {
    /// `map[string]interface {}`
    pub fn new(entries: BTreeMap<Text, Value>) -> Self {
        Self::of(Type::Any, entries)
    }

    /// A map with this element type.
    pub fn of(element: Type, entries: BTreeMap<Text, Value>) -> Self {
        let depth = 1 + value_depth(entries.values());
        Self(Arc::new(Inner { element, depth, nil: false, entries }))
    }

    /// A map that is nil.
    pub fn nil(element: Type) -> Self {
        Self(Arc::new(Inner { element, depth: 1, nil: true, entries: BTreeMap::new() }))
    }

    /// Its type.
    pub fn type_of(&self) -> Type {
        Type::map(self.0.element.clone())
    }

    /// The type of its elements.
    pub fn element_type(&self) -> &Type {
        &self.0.element
    }

    /// All entries.
    pub fn entries(&self) -> &BTreeMap<Text, Value> {
        &self.0.entries
    }

    /// One element.
    pub fn get(&self, key: &[u8]) -> Option<&Value> {
        self.0.entries.get(key)
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// Whether it is nil.
    pub fn is_nil(&self) -> bool {
        self.0.nil
    }

    pub(super) fn depth(&self) -> usize {
        self.0.depth
    }
}
