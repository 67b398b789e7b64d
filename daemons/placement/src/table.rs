//! A vector whose positions are handed out by this crate, so that every position exists.

use std::ops::{Index, IndexMut};

/// The position of a unit in the [`crate::catalog::Catalog`].
pub(crate) type UnitAt = usize;
/// The position of a machine there; machines are in the order of their ids.
pub(crate) type MachineAt = usize;

/// A vector that is read by positions which its owner has handed out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Table<T>(pub(crate) Vec<T>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Table<T> {
    pub(crate) fn filled(value: T, len: usize) -> Self {
        Self(vec![value; len])
    }
}

impl<T> Table<T> {
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push(&mut self, value: T) -> usize {
        self.0.push(value);
        self.0.len() - 1
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.0.iter_mut()
    }
}

impl<T> FromIterator<T> for Table<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

impl<T> Index<usize> for Table<T> {
    type Output = T;

    #[allow(
        clippy::indexing_slicing,
        reason = "positions are handed out by push and filled, and never by input"
    )]
    fn index(&self, at: usize) -> &T {
        &self.0[at]
    }
}

impl<T> IndexMut<usize> for Table<T> {
    #[allow(
        clippy::indexing_slicing,
        reason = "positions are handed out by push and filled, and never by input"
    )]
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.0[at]
    }
}
