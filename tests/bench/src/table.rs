//! Samples, and the table in which they are compared.

use std::io::Write;
use std::time::Duration;

/// Times of the same thing, measured again and again.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn push(&mut self, sample: Duration) {
        self.0.push(sample);
        self.0.sort_unstable();
    }

    /// The middle one; of an even number the upper of the two.
    pub(crate) fn median(&self) -> Duration {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }

    /// What so many of a hundred are not slower than.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let index = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(index).copied().unwrap_or_default()
    }

    pub(crate) fn fastest(&self) -> Duration {
        self.0.first().copied().unwrap_or_default()
    }

    /// Median, fastest and slowest in milliseconds.
    pub(crate) fn print(&self) -> String {
        let milliseconds = |duration: Option<&Duration>| duration.map_or(0.0, |d| d.as_secs_f64() * 1000.0);
        format!(
            "{:.1} ms ({:.1} to {:.1}, n {})",
            self.median().as_secs_f64() * 1000.0,
            milliseconds(self.0.first()),
            milliseconds(self.0.last()),
            self.0.len()
        )
    }
}

/// `ours / peer` with two digits; below 1 ours is the smaller one.
pub(crate) fn ratio(ours: f64, peer: f64) -> String {
    if peer > 0.0 { format!("{:.2}", ours / peer) } else { "–".to_owned() }
}

/// A table of four columns that is printed as it grows.
#[derive(Debug)]
pub(crate) struct Table;

impl Table {
    pub(crate) fn new(title: &str) -> Self {
        print(&format!("\n{title}\n"));
        let table = Self;
        table.row(["what", "Convoy", "peer", "ratio"]);
        table
    }

    #[allow(clippy::unused_self)] // a row belongs to a table
    pub(crate) fn row(&self, [what, ours, peer, ratio]: [&str; 4]) {
        print(&format!("  {what:<58} {ours:<38} {peer:<38} {ratio}"));
    }
}

pub(crate) fn print(line: &str) {
    // A reader that went away has seen enough.
    let _ = writeln!(std::io::stdout(), "{line}");
}
