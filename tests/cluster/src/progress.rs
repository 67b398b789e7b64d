//! What the tool is doing, for people who wait.

use std::io::Write;
use std::time::{Duration, Instant};

/// One thing to tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress<'a> {
    /// A step begins.
    Begin {
        /// What it does.
        step: &'a str,
    },
    /// A long step goes on.
    Part {
        /// What it does.
        step: &'a str,
        /// How much of it is done, 0 to 1.
        fraction: f32,
    },
    /// A step is done.
    Done {
        /// What it did.
        step: &'a str,
        /// How long it took.
        took: Duration,
    },
}

/// Somebody who wants to know.
pub trait Reporter: Send + Sync {
    /// Called as it happens; must not block for long.
    fn report(&self, progress: Progress<'_>);
}

impl<F: Fn(Progress<'_>) + Send + Sync> Reporter for F {
    fn report(&self, progress: Progress<'_>) {
        self(progress);
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _progress: Progress<'_>) {}
}

/// A line on standard error for each step that is done, with its time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lines;

impl Reporter for Lines {
    fn report(&self, progress: Progress<'_>) {
        if let Progress::Done { step, took } = progress {
            // Who closed standard error does not want to know.
            let _ = writeln!(std::io::stderr().lock(), "{:>7.2} s  {step}", took.as_secs_f32());
        }
    }
}

/// Runs one step and reports its begin and its end.
pub(crate) fn step<T, E>(
    reporter: &dyn Reporter,
    step: &str,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let started = Instant::now();
    reporter.report(Progress::Begin { step });
    let value = work()?;
    reporter.report(Progress::Done { step, took: started.elapsed() });
    Ok(value)
}
