//! A test harness for scenarios that share a cluster.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use convoy_cluster::{Cluster, UpOptions};

/// One promise, and the steps that prove it.
pub struct Scenario<S> {
    /// The promise, as a sentence in snake case.
    pub name: &'static str,
    /// The proof.
    pub prove: fn(&S) -> Result<()>,
}

impl<S> std::fmt::Debug for Scenario<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Scenario").field(&self.name).finish()
    }
}

/// Boots a cluster, makes the stage out of it, and runs the scenarios in order.
///
/// A scenario that later ones build on is marked by its place: when one fails, those after it still run, since most
/// of them tell something of their own. Where machines can't be booted, all are skipped with the reason; with
/// `CI=true` that is a failure.
pub fn run<S>(
    options: Result<UpOptions>,
    stage: impl FnOnce(Cluster) -> Result<S>,
    scenarios: &[Scenario<S>],
) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let chosen: Vec<_> = scenarios.iter().filter(|scenario| is_chosen(scenario.name, &arguments)).collect();
    let left_out = scenarios.len() - chosen.len();
    if arguments.iter().any(|argument| argument == "--list") {
        for scenario in &chosen {
            say(&format!("{}: test", scenario.name));
        }
        return ExitCode::SUCCESS;
    }
    say(&format!("\nrunning {} tests", chosen.len()));
    if chosen.is_empty() {
        return end(0, &[], 0, left_out);
    }
    if let Err(reason) = Cluster::possible() {
        for scenario in &chosen {
            say(&format!("test {} ... ignored, no machines can be booted here: {reason}", scenario.name));
        }
        if std::env::var("CI").is_ok_and(|value| value == "true") {
            say("with CI=true the scenarios have to run");
            return end(0, &["the cluster of real machines"], 0, left_out);
        }
        return end(0, &[], chosen.len(), left_out);
    }
    let started = Instant::now();
    let booted = options.and_then(|options| Ok(Cluster::up(options)?));
    let staged = booted.and_then(stage);
    let stage = match staged {
        Ok(stage) => stage,
        Err(error) => {
            say(&format!("test the_cluster_boots ... FAILED\n    {error:#}"));
            return end(0, &["the_cluster_boots"], 0, left_out);
        }
    };
    say(&format!("the cluster is up ({:.1} s)", started.elapsed().as_secs_f64()));
    let mut failed = Vec::new();
    for scenario in &chosen {
        let started = Instant::now();
        let outcome = (scenario.prove)(&stage);
        let took = started.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => say(&format!("test {} ... ok ({took:.1} s)", scenario.name)),
            Err(error) => {
                say(&format!("test {} ... FAILED ({took:.1} s)\n    {error:#}", scenario.name));
                failed.push(scenario.name);
            }
        }
    }
    end(chosen.len() - failed.len(), &failed, 0, left_out)
}

fn is_chosen(name: &str, arguments: &[String]) -> bool {
    let exact = arguments.iter().any(|argument| argument == "--exact");
    let mut filters = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
    filters.peek().is_none()
        || filters.any(|filter| if exact { name == filter } else { name.contains(filter.as_str()) })
}

fn end(passed: usize, failed: &[&str], ignored: usize, left_out: usize) -> ExitCode {
    if !failed.is_empty() {
        say(&format!("\nfailures:\n    {}", failed.join("\n    ")));
    }
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    say(&format!(
        "\ntest result: {verdict}. {passed} passed; {} failed; {ignored} ignored; 0 measured; {left_out} filtered out\n",
        failed.len()
    ));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

fn say(line: &str) {
    // A closed pipe is no reason to leave machines behind.
    let _ = writeln!(std::io::stdout(), "{line}");
}
