//! Templates as Go's package text/template defines them (the language of Go 1.24), evaluated within a budget.
//!
//! Pure: a text and [`Functions`] become a [`Template`], a template and a [`Value`] become bytes. What is wrong
//! with a text is found when it is parsed, in branches that are never taken too; errors are in Go's words and
//! name template, line and column. Values have Go's types and print as Go prints them.
//!
//! Left out: channels, functions as iterators, and addresses (`%p`).

mod budget;
mod builtins;
mod error;
mod exec;
mod inspect;
mod print;
mod quote;
mod runes;
mod syntax;
mod template;
mod text;
mod value;

pub use budget::{Budget, Limits};
pub use error::{ParseError, Place, RenderError};
pub use inspect::{Argument, CallSite, Inspection, PrintedField};
pub use template::{MissingKey, Template};
pub use text::Text;
pub use value::{Call, CallError, Complex, Function, Functions, List, Map, Record, Type, Value, Width};

/// A string as Go's `%q` writes it: double quotes, escapes for what can't be printed.
pub fn quote(text: &[u8]) -> Vec<u8> {
    quote::quote(text, quote::Escape::Unprintable)
}

/// What Go's `printf` makes of a format and these operands, with `%!d(string=a)` and the like for what doesn't fit.
pub fn printf(format: &[u8], operands: &[Value], budget: &Budget) -> Result<Vec<u8>, CallError> {
    print::printf(format, operands, budget)
}
