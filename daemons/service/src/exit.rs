//! The one place where an outcome becomes an exit code.

use std::process::ExitCode;

use convoy_config::ConfigError;

/// `EX_CONFIG` of sysexits(3): units name it in `RestartPreventExitStatus=`, since trying again changes nothing.
pub const EX_CONFIG: u8 = 78;

/// Logs the chain of causes, one line each, and gives the exit code that fits.
pub fn report(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    let mut causes = error.chain();
    if let Some(first) = causes.next() {
        tracing::error!("{first}");
    }
    for cause in causes {
        tracing::error!("caused by: {cause}");
    }
    if error.chain().any(<dyn std::error::Error>::is::<ConfigError>) {
        ExitCode::from(EX_CONFIG)
    } else {
        ExitCode::FAILURE
    }
}
