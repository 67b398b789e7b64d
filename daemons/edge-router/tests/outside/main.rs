//! Judges from outside, which no package carries: each runs when the environment says where it is, and is listed as
//! ignored otherwise, with CI=true as well.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its assumptions do; clippy sees that only inside test functions"
)]

mod h2spec;
mod stage;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

fn main() -> ExitCode {
    let trials = vec![
        Trial::ignorable_test("http2_over_tls_is_http2", || h2spec::judge(h2spec::over_tls)),
        Trial::ignorable_test("http2_in_the_clear_is_http2", || h2spec::judge(h2spec::in_the_clear)),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The program that a variable names, or why there is none.
fn named(variable: &str) -> Result<std::path::PathBuf, Completion> {
    std::env::var_os(variable)
        .map(Into::into)
        .ok_or_else(|| Completion::ignored_with(format!("{variable}=/path/to/it isn't set")))
}
