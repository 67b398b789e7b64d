//! The edge router under the eyes of other people's tools: slowhttptest, sslscan and testssl.sh, with what has to come out.
//!
//! `convoy-outside [slow|tls]`; each check is a line, and one that does not hold makes the end a failure.

mod slow;
mod stage;
mod testssl;
mod tls;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use stage::Stage;

fn main() -> ExitCode {
    let only = std::env::args().nth(1);
    if only.as_deref().is_some_and(|only| !["slow", "tls"].contains(&only)) {
        say("usage: convoy-outside [slow|tls]");
        return ExitCode::from(64);
    }
    match run(only.as_deref()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            say(&format!("{failed} failed"));
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("the checks ended early: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// How many did not hold.
fn run(only: Option<&str>) -> Result<u32> {
    let wanted = |part: &str| only.is_none_or(|only| only == part);
    let stage = Stage::set()?;
    let mut failed = 0;
    let mut tell = |name: &str, outcome: Result<String>| match outcome {
        Ok(seen) => say(&format!("ok      {name}: {seen}")),
        Err(error) => {
            failed += 1;
            say(&format!("FAILED  {name}: {error:#}"));
        }
    };
    if wanted("tls") {
        tell("sslscan", tls::scan(&stage));
        tell("testssl", testssl::scan(&stage));
    }
    if wanted("slow") {
        for attack in slow::ATTACKS {
            tell(attack.name, attack.prove(&stage));
        }
    }
    Ok(failed)
}

fn say(line: &str) {
    // A closed pipe is no reason to leave servers behind.
    let _ = writeln!(std::io::stdout(), "{line}");
}
