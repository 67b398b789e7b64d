//! Binding a sidekick that is about to start and that the generator could not know.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use convoy_service::message;
use convoy_systemd::{ActiveState, Manager, SystemdError};
use tokio::time::timeout;

use crate::binding::Binding;
use crate::generate::write_binding;

/// How long others may take with their reloads before us.
const TURN: Duration = Duration::from_secs(60);

/// How long before our start an end of the app unit still belongs to the same story, in microseconds.
const JUST_BEFORE: u64 = 1_000_000;

/// Makes the manager know that the sidekick is bound to its app unit, and has the app unit started.
///
/// It runs while the sidekick's start job waits for it. The job obeys what the manager learns in the meantime: it
/// starts after the app unit, or not at all if that fails. But the transaction that queued the job did not know of
/// the app unit, so its start is queued here, unless it is the app unit that brought us here.
pub async fn bind(binding: &Binding, units: &Path) -> Result<()> {
    let manager = Manager::connect().await.context("systemd can't be asked about the binding")?;
    // Asked first: during the reload the app unit may end, and be forgotten with all its times.
    let needed = needs_start(&manager, binding).await?;
    if !is_known(&manager, binding).await? {
        make_known(&manager, binding, units).await?;
    }
    if needed { start_app(&manager, &binding.app_unit()).await } else { Ok(()) }
}

/// Whether nobody else has the app unit started, or just had.
async fn needs_start(manager: &Manager, binding: &Binding) -> Result<bool> {
    let app_unit = binding.app_unit();
    let state = manager.active_state(&app_unit).await;
    let state = state.with_context(|| format!("{app_unit}: its state can't be read"))?;
    if !matches!(state, ActiveState::Inactive | ActiveState::Failed) {
        return Ok(false);
    }
    let job = manager.has_job(&app_unit).await;
    if job.with_context(|| format!("{app_unit}: its job can't be read"))? {
        return Ok(false);
    }
    let ended = manager.unit_number(&app_unit, "InactiveEnterTimestampMonotonic").await;
    let began = manager.unit_number(&binding.binder(), "InactiveExitTimestampMonotonic").await;
    let (ended, began) = ended.and_then(|ended| Ok((ended, began?))).context("no times of the units")?;
    let of_late = ended_of_late(ended, began);
    if of_late {
        tracing::info!(
            app_unit,
            "{app_unit} has just ended; whether it starts again is not up to the sidekick"
        );
    }
    Ok(!of_late)
}

async fn is_known(manager: &Manager, binding: &Binding) -> Result<bool> {
    let bound = manager.unit_list(&binding.sidekick(), "BindsTo").await;
    let bound = bound.with_context(|| format!("{}: its binding can't be read", binding.sidekick()))?;
    Ok(bound.contains(&binding.app_unit()))
}

async fn make_known(manager: &Manager, binding: &Binding, units: &Path) -> Result<()> {
    write_binding(binding, units).context("the binding can't be written")?;
    // One reload at a time: it may serve all who wrote theirs before it began.
    let folder = File::open(units).with_context(|| format!("{}: can't be opened", units.display()))?;
    let locked = tokio::task::spawn_blocking(move || folder.lock().map(|()| folder));
    let _turn = timeout(TURN, locked)
        .await
        .context("others have been reloading systemd for a minute")?
        .context("the wait for others was broken off")?
        .with_context(|| format!("{}: can't be locked", units.display()))?;
    if is_known(manager, binding).await? {
        return Ok(());
    }
    manager.daemon_reload().await.context("systemd can't be made to read the binding")?;
    if !is_known(manager, binding).await? {
        bail!(
            "{} is not bound to {} even after a reload: is {} overridden by a file in /etc/systemd/system?",
            binding.sidekick(),
            binding.app_unit(),
            binding.path().display()
        );
    }
    tracing::info!(
        MESSAGE_ID = message::BOUND,
        sidekick = binding.sidekick(),
        app_unit = binding.app_unit(),
        "{} is bound to {}",
        binding.sidekick(),
        binding.app_unit()
    );
    Ok(())
}

/// Whether the app unit ended while we were at work, or just before: it failed to start in the transaction that
/// brought us here, or somebody stopped it again. Both in microseconds since boot; 0 is never.
fn ended_of_late(ended: u64, began: u64) -> bool {
    ended != 0 && ended.saturating_add(JUST_BEFORE) >= began
}

async fn start_app(manager: &Manager, app_unit: &str) -> Result<()> {
    match manager.queue_start_unless_opposed(app_unit).await {
        // A stop is under way: whoever asked for that came later than whoever asked for the sidekick.
        Err(SystemdError::Opposed { message, .. }) => {
            tracing::info!(app_unit, reason = message, "{app_unit} is not started: {message}");
            Ok(())
        }
        other => other.with_context(|| format!("{app_unit}: can't be started")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_that_ended_under_our_hands_is_not_started_again() {
        const SECOND: u64 = 1_000_000;
        for (ended, began, of_late) in [
            (0, 5 * SECOND, false),
            (0, 0, false),
            (2 * SECOND, 60 * SECOND, false),
            (59 * SECOND + 1, 60 * SECOND, true),
            (61 * SECOND, 60 * SECOND, true),
            (u64::MAX, 60 * SECOND, true),
        ] {
            assert_eq!(ended_of_late(ended, began), of_late, "ended {ended}, began {began}");
        }
    }
}
