//! One file per command, or per family of them.

mod plan;

use anyhow::Result;

use crate::{
    cli::{Cli, Command},
    console::Console,
    exit::Outcome,
};

/// Carries a command out.
pub fn run(cli: Cli, console: &mut Console) -> Result<Outcome> {
    match cli.command {
        Command::Plan(arguments) => plan::run(&arguments, console),
    }
}
