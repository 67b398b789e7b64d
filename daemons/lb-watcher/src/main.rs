//! The binary `lb-watcher`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use convoy_confd::settings::{Settings, usage};
use convoy_config::SearchPath;
use convoy_lb_watcher::cli::{Cli, Command, ConfdOptions, Options};
use convoy_lb_watcher::resources::Configuration;
use convoy_lb_watcher::settings::Settings as LoadBalancerSettings;
use convoy_lb_watcher::{bootstrap, check, inspect, reload, render, resources, run, status, wait};
use convoy_service::{exit, logging};

fn main() -> ExitCode {
    if let Some(arguments) = confd_arguments() {
        return confd(&arguments);
    }
    let command = Cli::parse().command;
    // Tools for people and scripts: what goes wrong belongs on standard error, not into the journal.
    if let Some(tool) = tool(&command) {
        return outcome(tool);
    }
    logging::init("lb-watcher");
    exit::report(dispatch(command))
}

/// confd's command line, when we are called as confd is: by its name, or with a flag where our commands are.
fn confd_arguments() -> Option<Vec<String>> {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    if Path::new(&name).file_name().is_some_and(|name| name == "confd") {
        return Some(arguments);
    }
    let first = arguments.first()?;
    let own = ["-h", "--help", "-V", "--version"];
    (first.starts_with('-') && !own.contains(&first.as_str())).then_some(arguments)
}

/// What confd does: follow template resources, or make their files once.
fn confd(arguments: &[String]) -> ExitCode {
    if Settings::asks_for_version(arguments) {
        return outcome(tell(concat!("confd 0.16.0 (lb-watcher ", env!("CARGO_PKG_VERSION"), ")\n")));
    }
    let configuration = match Configuration::resolve(arguments) {
        Ok(configuration) => configuration,
        Err(error) => {
            // As Go's package flag does it.
            let _ = write!(std::io::stderr(), "{error:#}\nUsage of confd:\n{}", usage());
            return ExitCode::from(2);
        }
    };
    logging::init_at("lb-watcher", configuration.settings.log_level.as_deref());
    for warning in &configuration.settings.warnings {
        tracing::warn!("{warning}");
    }
    exit::report(on_runtime(async {
        if configuration.settings.onetime {
            resources::onetime(configuration).await
        } else {
            resources::run(configuration).await
        }
    }))
}

fn tell(text: &str) -> anyhow::Result<ExitCode> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn outcome(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        // Without standard error there is nobody left to tell.
        let _ = writeln!(std::io::stderr(), "lb-watcher: {error:#}");
        ExitCode::FAILURE
    })
}

/// Commands that only tell something; none for those that belong to a load balancer.
fn tool(command: &Command) -> Option<anyhow::Result<ExitCode>> {
    let configured = |confd: &ConfdOptions| Configuration::resolve(&confd.arguments());
    let done = |()| ExitCode::SUCCESS;
    Some(match command {
        Command::Render(options) => render::render(options).map(done),
        Command::Lint(options) => render::lint_files(options).map(done),
        Command::Overlaid(options) => resources::overlaid(options).map(done),
        Command::Check(subject) if !subject.is_load_balancer() => {
            configured(&subject.confd).and_then(|configuration| resources::check(&configuration)).map(done)
        }
        Command::Status(subject) if !subject.is_load_balancer() => {
            configured(&subject.confd).and_then(|configuration| resources::status(&configuration)).map(done)
        }
        Command::Diff(subject) => if subject.is_load_balancer() {
            settings(&subject.options).and_then(|settings| on_runtime(inspect::diff(&settings)))
        } else {
            configured(&subject.confd).and_then(|configuration| on_runtime(resources::diff(&configuration)))
        }
        .map(|same| if same { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        Command::Why(subject) => if subject.is_load_balancer() {
            settings(&subject.options).and_then(|settings| on_runtime(inspect::why(&settings)))
        } else {
            configured(&subject.confd)
                .and_then(|configuration| on_runtime(resources::why(&configuration, subject.resource())))
        }
        .map(done),
        _ => return None,
    })
}

fn on_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    // Two: writing a file through to the disk must not hold up the lease.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    runtime.block_on(work)
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    on_runtime(async {
        match command {
            Command::Run(options) => run(settings(&options)?).await,
            Command::Bootstrap(options) => bootstrap(&settings(&options)?).await.map(drop),
            Command::Reload { pid, pid_file, options } => {
                reload(&settings(&options)?, pid.as_deref(), pid_file.as_deref()).await
            }
            Command::Wait(options) => wait(&settings(&options)?).await,
            Command::Check(subject) => check(&settings(&subject.options)?).await,
            Command::Status(subject) => status(&settings(&subject.options)?).await,
            // Done by `tool`.
            Command::Render(_)
            | Command::Lint(_)
            | Command::Diff(_)
            | Command::Why(_)
            | Command::Overlaid(_) => Ok(()),
        }
    })
}

fn settings(options: &Options) -> anyhow::Result<LoadBalancerSettings> {
    let variable = |name: &str| std::env::var(name).ok();
    Ok(LoadBalancerSettings::resolve(options, variable, &SearchPath::system())?)
}
