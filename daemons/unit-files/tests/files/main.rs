//! What unit files mean, as tables: fleet's documented meaning, systemd's syntax, and what Convoy adds.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its assumptions do; clippy sees that only inside test functions"
)]

mod convoy_options;
mod definition;
mod differential;
mod fleet_options;
mod glob;
mod mixes;
mod name;
mod oracle;
mod properties;
mod quantities;
mod syntax;
mod ties;

use convoy_unit_files::{Definition, Problem, Rejected, Strictness, UnitName};

/// Reads the text as the file of the unit.
fn read(name: &str, text: &str, strictness: Strictness) -> Result<Definition, Rejected> {
    Definition::read(&UnitName::parse(name).unwrap(), name, text, strictness)
}

/// Reads a `[X-Fleet]` section in strict mode; there must be no error.
fn fleet(name: &str, options: &str) -> Definition {
    read(name, &format!("[X-Fleet]\n{options}\n"), Strictness::Strict)
        .unwrap_or_else(|rejected| panic!("{options:?} of {name}: {rejected}"))
}

/// The errors of a `[X-Fleet]` section in strict mode.
fn fleet_errors(name: &str, options: &str) -> Vec<Problem> {
    match read(name, &format!("[X-Fleet]\n{options}\n"), Strictness::Strict) {
        Ok(definition) => panic!("{options:?} of {name} was taken: {:?}", definition.rules),
        Err(rejected) => rejected.0,
    }
}

/// A `[X-Fleet]` section in compatible mode; there must be no error.
fn compatible(name: &str, options: &str) -> Definition {
    read(name, &format!("[X-Fleet]\n{options}\n"), Strictness::Compatible)
        .unwrap_or_else(|rejected| panic!("{options:?} of {name}: {rejected}"))
}

/// The patterns.
fn globs(list: &[convoy_unit_files::Glob]) -> Vec<&str> {
    list.iter().map(convoy_unit_files::Glob::as_str).collect()
}
