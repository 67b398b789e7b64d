//! What the router offers to clients with TLS, and every attack on TLS that has a name: testssl.sh.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::stage::{AUTHORITY, HOST, Stage};

/// What is no matter of the router: the certificate is this program's, its name has no owner, and what a page may do is the
/// app's to say.
const OF_OTHERS: [&str; 5] =
    ["cert_expirationStatus", "cert_validityPeriod", "cert_revocation", "DNS_CAArecord", "security_headers"];
/// No findings.
const FINE: [&str; 3] = ["OK", "INFO", "DEBUG"];
/// A look that could not be made: the program has its own troubles with openssl.
const NOT_MADE: &str = "WARN";
/// A report that looked at less has missed something.
const LOOKS: usize = 60;

/// One look.
#[derive(Debug, Deserialize)]
struct Look {
    id: String,
    severity: String,
    finding: String,
}

pub(crate) fn scan(stage: &Stage) -> Result<String> {
    let folder = stage.folder.path();
    let report = folder.join("testssl.json");
    let status = Command::new("testssl")
        .args(["--quiet", "--color", "0", "--warnings", "batch", "--ip", "one", "--sneaky"])
        .arg("--add-ca")
        .arg(folder.join(AUTHORITY))
        .arg("--jsonfile")
        .arg(&report)
        .arg(format!("{HOST}:{}", stage.secure.port()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("testssl can't be started (packaging/setup-debian.sh outside)")?;
    let report = fs::read_to_string(&report).with_context(|| format!("testssl left no report: {status}"))?;
    let looks: Vec<Look> = serde_json::from_str(&report).context("testssl's report is no JSON")?;
    ensure!(looks.len() >= LOOKS, "testssl looked {} times only", looks.len());
    let is_finding = |look: &&Look| {
        look.severity != NOT_MADE
            && !FINE.contains(&look.severity.as_str())
            && !OF_OTHERS.iter().any(|prefix| look.id.starts_with(prefix))
    };
    let findings: Vec<_> = looks
        .iter()
        .filter(is_finding)
        .map(|look| format!("{} {}: {}", look.severity, look.id, look.finding))
        .collect();
    ensure!(findings.is_empty(), "{}", findings.join("; "));
    let not_made: Vec<_> =
        looks.iter().filter(|look| look.severity == NOT_MADE).map(|look| look.id.as_str()).collect();
    Ok(format!("{} looks, no finding; not made: {not_made:?}", looks.len()))
}
