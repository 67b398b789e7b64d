//! What the demo prints: a line per step with its time, a bar on long work.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Result;

/// Cells of the bar.
const WIDTH: usize = 30;
/// A bar is drawn at most this often.
const REDRAW: Duration = Duration::from_millis(100);

/// The screen of one demo.
#[derive(Debug)]
pub(crate) struct Screen {
    started: Instant,
    terminal: bool,
    bar: Option<Bar>,
}

#[derive(Debug)]
struct Bar {
    text: String,
    drawn: Option<Instant>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), terminal: io::stdout().is_terminal(), bar: None }
    }

    /// A heading between parts.
    pub(crate) fn part(&mut self, title: &str) {
        self.line(&if self.terminal { format!("\n\x1b[1m{title}\x1b[0m") } else { format!("\n{title}") });
    }

    /// A step that is done.
    pub(crate) fn step(&mut self, text: &str) {
        let at = self.started.elapsed().as_secs_f64();
        self.line(&format!("  [{at:6.1} s] {text}"));
    }

    /// Something to read, indented under its step.
    pub(crate) fn detail(&mut self, text: &str) {
        for line in text.lines() {
            self.line(&format!("             {line}"));
        }
    }

    /// A line without a time.
    pub(crate) fn line(&mut self, text: &str) {
        self.clear_bar();
        self.write(&format!("{text}\n"));
    }

    /// Runs a step that takes time and prints it with its duration when it is done.
    pub(crate) fn run<T>(&mut self, text: &str, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let began = Instant::now();
        self.progress(text, 0, 0);
        let outcome = work(self);
        let took = began.elapsed().as_secs_f64();
        match &outcome {
            Ok(_) => self.step(&format!("{text} ({took:.1} s)")),
            Err(_) => self.step(&format!("{text}: failed after {took:.1} s")),
        }
        outcome
    }

    /// The bar: so many of so many; with a total of zero only the text and the time.
    pub(crate) fn progress(&mut self, text: &str, done: u64, total: u64) {
        if !self.terminal {
            return;
        }
        let same = self.bar.as_ref().filter(|bar| bar.text == text);
        if same.and_then(|bar| bar.drawn).is_some_and(|drawn| drawn.elapsed() < REDRAW && done < total) {
            return;
        }
        let at = self.started.elapsed().as_secs_f64();
        let drawn = match (done.min(total) * WIDTH as u64).checked_div(total) {
            Some(cells) => {
                let cells = usize::try_from(cells).unwrap_or(WIDTH);
                format!("{}{} {done}/{total}", "█".repeat(cells), "░".repeat(WIDTH - cells))
            }
            None => "…".to_owned(),
        };
        self.write(&format!("\r\x1b[K  [{at:6.1} s] {text} {drawn}"));
        self.bar = Some(Bar { text: text.to_owned(), drawn: Some(Instant::now()) });
    }

    fn clear_bar(&mut self) {
        if self.bar.take().is_some() {
            self.write("\r\x1b[K");
        }
    }

    #[allow(clippy::unused_self)] // the screen is one thing, even if standard output is global
    fn write(&self, text: &str) {
        let mut output = io::stdout().lock();
        // Whoever closed the pipe has seen enough; the demo still has to clean up.
        let _ = output.write_all(text.as_bytes());
        let _ = output.flush();
    }
}
