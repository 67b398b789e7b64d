//! One file per command, or per family of them.

mod explain;
mod files;
mod generate;
mod launch;
mod list;
mod machines;
mod moves;
mod plan;
mod remote;
mod rollout;
mod stop;

use anyhow::{Context, Result};
use convoy_store::Store;

use crate::{
    cli::{Cli, Command, Global},
    connect,
    console::Console,
    exit::Outcome,
    picture::{PREFIX, Picture},
    refusal::Refusal,
};

/// Carries a command out and says what went wrong.
pub fn run(cli: Cli, console: &mut Console) -> Outcome {
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime can't be started")
        .and_then(|runtime| runtime.block_on(dispatch(cli, console)));
    outcome.unwrap_or_else(|error| {
        let refusal = error.downcast_ref::<Refusal>();
        console.note(format_args!("convoyctl: {error:#}"));
        refusal.map_or(Outcome::Error, Refusal::outcome)
    })
}

/// What every command that asks the store needs.
struct Session<'a> {
    store: Store,
    global: Global,
    console: &'a mut Console,
}

impl Session<'_> {
    /// The cluster as it is now. Says what can't be read in it.
    async fn picture(&mut self) -> Result<Picture> {
        let snapshot = self.store.list(PREFIX).await?;
        let picture = Picture::of(snapshot.entries.values());
        for (key, error) in &picture.broken {
            self.console.note(format_args!("warning: {key} is passed over: {error}"));
        }
        Ok(picture)
    }
}

async fn dispatch(cli: Cli, console: &mut Console) -> Result<Outcome> {
    let Cli { global, command } = cli;
    // What needs no store comes first.
    let command = match command {
        Command::Plan(arguments) if arguments.cluster.is_some() => return plan::on_file(&arguments, console),
        Command::Explain(arguments) if arguments.cluster.is_some() => {
            return explain::on_file(&arguments, console);
        }
        Command::Verify(arguments) => return files::verify(&arguments, console),
        Command::Completions { shell } => return generate::completions(shell, console),
        Command::Man { directory } => return generate::man(&directory),
        Command::Version => {
            console.line(format_args!("convoyctl version {}", env!("CARGO_PKG_VERSION")));
            return Ok(Outcome::Done);
        }
        other => other,
    };
    let fields = match &command {
        Command::ListUnits(arguments) if list::asks_for_fields(arguments) => Some(list::unit_fields()),
        Command::ListUnitFiles(arguments) if list::asks_for_fields(arguments) => {
            Some(list::unit_file_fields())
        }
        Command::ListMachines(arguments) if list::asks_for_fields(arguments) => Some(list::machine_fields()),
        _ => None,
    };
    if let Some(fields) = fields {
        console.write(&fields);
        return Ok(Outcome::Done);
    }
    let connection = connect::open(&global).await?;
    let mut session = Session { store: connection.store.clone(), global, console };
    let session = &mut session;
    match command {
        Command::Submit(arguments) => launch::submit(session, &arguments).await,
        Command::Load(arguments) => launch::load(session, &arguments).await,
        Command::Start(arguments) => launch::start(session, &arguments).await,
        Command::Stop(arguments) => stop::stop(session, &arguments).await,
        Command::Unload(arguments) => stop::unload(session, &arguments).await,
        Command::Destroy(arguments) => stop::destroy(session, &arguments).await,
        Command::Restart(arguments) => rollout::restart(session, &arguments).await,
        Command::Update(arguments) => rollout::update(session, &arguments).await,
        Command::Cat(arguments) => files::cat(session, &arguments).await,
        Command::Import(arguments) => files::import(session, &arguments).await,
        Command::ListUnits(arguments) => list::units(session, &arguments).await,
        Command::ListUnitFiles(arguments) => list::unit_files(session, &arguments).await,
        Command::ListMachines(arguments) => list::machines(session, &arguments).await,
        Command::Status(arguments) => remote::status(session, &arguments).await,
        Command::Journal(arguments) => remote::journal(session, &arguments).await,
        Command::Ssh(arguments) => remote::ssh(session, &arguments).await,
        Command::Plan(arguments) => plan::on_store(session, &arguments).await,
        Command::Explain(arguments) => explain::on_store(session, &arguments).await,
        Command::Move(arguments) => moves::one(session, &arguments).await,
        Command::Rebalance(arguments) => moves::rebalance(session, &arguments).await,
        Command::Drain(arguments) => machines::drain(session, &arguments).await,
        Command::Cordon(arguments) => machines::cordon(session, &arguments).await,
        Command::Undrain(arguments) | Command::Uncordon(arguments) => {
            machines::release(session, &arguments).await
        }
        Command::AnnounceReboot(arguments) => machines::announce(session, &arguments).await,
        Command::Resume(waiting) => machines::resume(session, waiting).await,
        Command::CompleteNames => list::names(session).await,
        Command::Verify(_) | Command::Completions { .. } | Command::Man { .. } | Command::Version => {
            Ok(Outcome::Done)
        }
    }
}
