//! The binary `machine-setup`, run at boot by `convoy-setup.service`.

mod cli;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use convoy_machine_setup::{Gathered, Role, Roots, SetupError, gather_when_addressed, install};
use convoy_service::{exit, logging};

use crate::cli::{Action, Cli};

/// A lease from DHCP takes seconds; after this long somebody should look at the network.
const ADDRESS_DEADLINE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init("machine-setup");
    exit::report(run(&cli).map_err(|error| match error {
        // As itself, so that its exit code is the one of a wrong configuration.
        SetupError::Config(error) => error.into(),
        other => other.into(),
    }))
}

fn run(cli: &Cli) -> Result<(), SetupError> {
    let roots = Roots::system();
    let gathered = gather_when_addressed(&roots, ADDRESS_DEADLINE)?;
    tell(&gathered);
    match cli.command {
        Some(Action::Check) => {}
        None | Some(Action::Apply) => install(&roots, &gathered)?,
    }
    Ok(())
}

fn tell(gathered: &Gathered) {
    let addresses = &gathered.machine.addresses;
    let (role, seeds) = match &gathered.role {
        Role::Member { seeds, .. } => ("member", seeds.len()),
        Role::Client { seeds } => ("client", seeds.len()),
        Role::None => ("none", 0),
    };
    tracing::info!(
        private_ipv4 = %addresses.private,
        private_from = %addresses.private_origin,
        public_ipv4 = %addresses.public,
        public_from = %addresses.public_origin,
        etcd_role = role,
        etcd_seeds = seeds,
        "machine set up"
    );
}
