//! HTTP/2 by h2spec, strict cases included: `H2SPEC=/path/to/h2spec`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Completion, Failed};

use crate::stage::Edge;

/// What h2spec 2.6 asks with `--strict`. Fewer would mean that some were left out.
const CASES: u32 = 147;

pub(crate) fn judge(prove: fn(&Path, &Edge) -> Result<(), Failed>) -> Result<Completion, Failed> {
    let program = match crate::named("H2SPEC") {
        Ok(program) => program,
        Err(ignored) => return Ok(ignored),
    };
    let edge = Edge::start();
    prove(&program, &edge)?;
    // Of all the nonsense in between nothing but the access log tells.
    let log = edge.stop();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains(" WARN ")).collect();
    if warnings.is_empty() { Ok(Completion::Completed) } else { Err(warnings.join("\n").into()) }
}

pub(crate) fn over_tls(program: &Path, edge: &Edge) -> Result<(), Failed> {
    run(program, edge.https, &["--tls", "--insecure"], &[])
}

/// A door without TLS is for both versions, and what isn't HTTP/2's preface is a bad request in HTTP/1.1: it is answered
/// with 400 before the connection ends, where h2spec wants nothing but the end.
pub(crate) fn in_the_clear(program: &Path, edge: &Edge) -> Result<(), Failed> {
    run(program, edge.http, &[], &["2: Sends invalid connection preface"])
}

fn run(program: &Path, door: SocketAddr, arguments: &[&str], excepted: &[&str]) -> Result<(), Failed> {
    let output = Command::new(program)
        .args(["--host", "127.0.0.1", "--port", &door.port().to_string(), "--strict", "--timeout", "10"])
        .args(arguments)
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some([tests, passed, skipped, failed]) = summary(&said) else {
        return Err(format!("no summary in what h2spec says:\n{said}").into());
    };
    // The report at the end lists those that failed once more.
    let report = said.rsplit_once("Failures:").map_or("", |(_, report)| report);
    let failures: Vec<_> = report.lines().filter_map(|line| line.trim().strip_prefix("× ")).collect();
    if tests < CASES || skipped != 0 || passed + failed != tests || failures != excepted {
        return Err(said.into());
    }
    Ok(())
}

/// The numbers of `147 tests, 147 passed, 0 skipped, 0 failed`.
fn summary(said: &str) -> Option<[u32; 4]> {
    let line = said.lines().rfind(|line| line.contains(" tests, "))?;
    let mut parts = line.trim().split(", ");
    let mut number = |word: &str| parts.next()?.strip_suffix(word)?.trim_end().parse().ok();
    Some([number("tests")?, number("passed")?, number("skipped")?, number("failed")?])
}
