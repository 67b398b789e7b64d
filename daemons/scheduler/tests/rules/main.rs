//! The rules, with a store of paper and a clock that goes when it is told to.

// What the tests share fails tests as they do themselves.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod absence;
mod agreement;
mod attention;
mod model;
mod once;
mod protocol;
