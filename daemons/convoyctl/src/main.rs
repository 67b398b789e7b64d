//! The binary `convoyctl`.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use convoyctl::cli::Cli;
use convoyctl::console::Console;
use convoyctl::exit::{Outcome, USAGE};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else is a mistake.
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let _ = error.print();
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
        }
    };
    let mut console = Console::system();
    let outcome = convoyctl::run(cli, &mut console).unwrap_or_else(|error| {
        console.note(format_args!("convoyctl: {error:#}"));
        Outcome::Error
    });
    match console.finish() {
        Ok(()) => outcome.into(),
        Err(_) => Outcome::Error.into(),
    }
}
