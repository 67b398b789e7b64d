//! Clients that take their time to keep others out: slowhttptest in its four ways.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use convoy_road::process::tail;
use convoy_road::traffic::Traffic;

use crate::stage::{HOST, Stage};

/// Slow clients; slowhttptest takes no more than a thousand files.
const SLOW: u64 = 900;
/// What a slow client may cost the router, in KiB.
const EACH: u64 = 256;
/// Why slowhttptest ended, when the server got rid of all of its connections.
const ALL_GONE: &str = "No open connections left";
/// Longest run of all.
const LIMIT: Duration = Duration::from_secs(120);

/// One way, and what has to come of it.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    arguments: &'static [&'static str],
    path: &'static str,
    /// Whether the router has to have got rid of all of them before the time is over.
    ends: bool,
}

/// The router's limits are those that it has by itself: 15 s for the head of a request, 30 s without a byte of its body.
pub(crate) const ATTACKS: [Attack; 4] = [
    Attack { name: "slow heads", arguments: &["-H", "-i", "5", "-l", "40"], path: "", ends: true },
    Attack {
        name: "slow bodies",
        arguments: &["-B", "-i", "60", "-l", "60", "-s", "8192", "-x", "10"],
        path: "take",
        ends: true,
    },
    Attack {
        name: "slow readers",
        arguments: &["-X", "-k", "3", "-n", "5", "-z", "32", "-w", "10", "-y", "20", "-l", "30"],
        path: "large",
        ends: false,
    },
    Attack {
        name: "many ranges",
        arguments: &["-R", "-t", "HEAD", "-a", "10", "-b", "3000", "-l", "30"],
        path: "large",
        ends: true,
    },
];

/// A line of slowhttptest's statistics.
#[derive(Debug, Clone, Copy)]
struct Second {
    number: u64,
    closed: u64,
    connected: u64,
    is_available: bool,
}

impl Attack {
    pub(crate) fn prove(&self, stage: &Stage) -> Result<String> {
        let traffic = Traffic::start(&stage.target(), 2, Duration::from_millis(5), LIMIT);
        // What the attack before has cost is forgotten by the first call.
        stage.most_memory()?;
        let before = stage.most_memory()?;
        let prefix = stage.folder.path().join(self.name.replace(' ', "-"));
        let output = Command::new("slowhttptest")
            .args(self.arguments)
            .args(["-c", &SLOW.to_string(), "-r", "300", "-p", "5", "-g", "-o"])
            .arg(&prefix)
            .args(["-u", &format!("http://{HOST}:{}/{}", stage.plain.port(), self.path)])
            .output()
            .context("slowhttptest can't be started (packaging/setup-debian.sh outside)")?;
        let after = stage.most_memory()?;
        let report = traffic.stop();
        let said = String::from_utf8_lossy(&output.stdout);
        let statistics = fs::read_to_string(prefix.with_extension("csv")).with_context(|| tail(&said))?;
        let seconds = read(&statistics)?;
        let last = seconds.last().context("there are no statistics")?;

        let away: Vec<_> = seconds.iter().filter(|second| !second.is_available).collect();
        ensure!(away.is_empty(), "its probes got no answer: {away:?}");
        let (failed, requests) = (report.failed, report.requests);
        ensure!(requests > 100, "only {requests} ordinary requests were answered");
        ensure!(failed == 0, "{failed} of {requests} ordinary requests failed: {:?}", report.failures);
        let most = seconds.iter().map(|second| second.connected + second.closed).max().unwrap_or_default();
        if self.ends {
            // Some went after the last line was written.
            ensure!(most * 2 >= SLOW, "only {most} of {SLOW} were connected");
            ensure!(said.contains(ALL_GONE), "{} were still connected at the end", last.connected);
        } else {
            ensure!(last.connected * 10 >= SLOW * 9, "only {} of {SLOW} were served", last.connected);
        }
        let cost = after.saturating_sub(before) / SLOW;
        ensure!(cost <= EACH, "each slow client costs {cost} KiB of memory");
        let end = if self.ends { "all gone" } else { "served on" };
        Ok(format!(
            "{SLOW} slow clients, {end} after {} s, {cost} KiB each; 0 of {requests} ordinary requests failed, p99 {:.1} ms",
            last.number,
            Duration::from_micros(report.latency_us[1]).as_secs_f64() * 1000.0
        ))
    }
}

/// `Seconds,Closed,Pending,Connected,Service Available`, the last one 0 while a probe gets no answer.
fn read(statistics: &str) -> Result<Vec<Second>> {
    let lines = statistics.lines().skip(1).filter(|line| !line.trim().is_empty());
    let second = |line: &str| -> Result<Second> {
        let numbers: Vec<u64> = line.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let [number, closed, _, connected, available] = numbers.as_slice() else {
            anyhow::bail!("five are expected")
        };
        Ok(Second { number: *number, closed: *closed, connected: *connected, is_available: *available > 0 })
    };
    lines.map(|line| second(line).with_context(|| format!("a line of the statistics: {line}"))).collect()
}
