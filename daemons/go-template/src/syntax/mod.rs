//! The language: tokens, trees, and the way from one to the other.

mod lex;
mod number;
mod parse;
mod token;
pub(crate) mod tree;

pub(crate) use parse::{Trees, parse};
