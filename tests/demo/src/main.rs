//! The demo: the whole road, shown step by step.
//!
//! On four real machines where they can be booted, on loopback otherwise. `convoy-demo down` removes what it left.

mod loopback;
mod machines;
mod screen;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use convoy_cluster::{Cluster, StateDir};
use screen::Screen;

/// The whole road, shown step by step.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// On four real machines (the default, where they can be booted)
    Machines,
    /// On loopback, with processes instead of machines
    Loopback,
    /// Removes the machines that the demo left running
    Down,
}

fn main() -> ExitCode {
    let mut screen = Screen::new();
    match run(&mut screen, Options::parse().command.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen.line(&format!("\nThe demo failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(screen: &mut Screen, command: Option<&Command>) -> Result<()> {
    match command {
        Some(Command::Down) => {
            Cluster::remove(&StateDir::from_environment(), machines::NAME)?;
            screen.line(
                "The demo's machines are gone. Their base tree is kept, so that the next demo is quick;",
            );
            screen.line("`target/release/cluster down --purge` removes it too.");
            Ok(())
        }
        Some(Command::Machines) => machines::show(screen),
        Some(Command::Loopback) => loopback::show(screen),
        None => match Cluster::possible() {
            Ok(()) => machines::show(screen),
            Err(reason) => {
                screen.line(&format!(
                    "No machines can be booted here: {reason}. The same road on loopback instead:"
                ));
                loopback::show(screen)
            }
        },
    }
}
