//! Slices.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::Value;
use super::types::Type;
use super::value_depth;

/// A slice of Go. Copies share the elements, as in Go: a function that sorts in place is seen by all of them.
#[derive(Clone)]
pub struct List {
    kind: Type,
    /// Nesting of what it was made of; elements that replace others in place never nest deeper.
    depth: usize,
    nil: bool,
    elements: Arc<RwLock<Vec<Value>>>,
}

impl List {
    /// A slice of this element type.
    pub fn new(element: Type, elements: Vec<Value>) -> Self {
        Self::of(Type::list(element), elements)
    }

    /// A slice of this slice type.
    pub fn of(kind: Type, elements: Vec<Value>) -> Self {
        let depth = 1 + value_depth(elements.iter());
        Self { kind, depth, nil: false, elements: Arc::new(RwLock::new(elements)) }
    }

    /// `[]string`
    pub fn strings<T: Into<Value>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::new(Type::String, texts.into_iter().map(Into::into).collect())
    }

    /// A slice that is nil.
    pub fn nil(kind: Type) -> Self {
        Self { nil: true, ..Self::of(kind, Vec::new()) }
    }

    /// Its type.
    pub fn type_of(&self) -> &Type {
        &self.kind
    }

    /// The type of its elements.
    pub fn element_type(&self) -> &Type {
        match &self.kind {
            Type::List { element, .. } => element,
            other => other,
        }
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.read(Vec::len)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is nil.
    pub fn is_nil(&self) -> bool {
        self.nil
    }

    /// One element.
    pub fn get(&self, index: usize) -> Option<Value> {
        self.read(|elements| elements.get(index).cloned())
    }

    /// All elements as they are now.
    pub fn elements(&self) -> Vec<Value> {
        self.read(Clone::clone)
    }

    /// Puts the elements into another order, for everybody who holds this slice.
    pub fn reorder(&self, change: impl FnOnce(&mut [Value])) {
        change(&mut self.elements.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The same slice, sharing its elements, under another slice type.
    #[must_use]
    pub fn renamed(&self, kind: Type) -> Self {
        Self { kind, ..self.clone() }
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    fn read<T>(&self, look: impl FnOnce(&Vec<Value>) -> T) -> T {
        look(&self.elements.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for List {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.kind)?;
        out.debug_list().entries(self.elements()).finish()
    }
}
