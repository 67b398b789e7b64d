//! The binary `convoyctl`.

use std::process::ExitCode;

use clap::{Parser, error::ErrorKind};
use convoyctl::{cli::Cli, console::Console, exit::Outcome};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else is a mistake.
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let _ = error.print();
            return if asked { ExitCode::SUCCESS } else { Outcome::Usage.into() };
        }
    };
    if cli.global.debug {
        convoy_service::logging::init("convoyctl");
    }
    let mut console = Console::system();
    let outcome = convoyctl::run(cli, &mut console);
    match console.finish() {
        Ok(()) => outcome.into(),
        Err(_) => Outcome::Error.into(),
    }
}
