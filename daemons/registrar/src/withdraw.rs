//! The way out: off the list, wait until every reader has noticed, let the lease go.

use std::time::Duration;

use convoy_service::{Shutdown, message};
use convoy_store::Ownership;
use tokio::time::timeout;

use crate::drain::{Drained, wait_for_readers};
use crate::registration::Registration;
use crate::run::{Inputs, MORE_TIME, now};

/// How long the store may take with a withdrawal. After that the time to live has to do it.
pub(crate) const WITHDRAWAL: Duration = Duration::from_secs(3);

/// Withdraws the instance; `listed` tells whether readers may know of it. Bounded whatever happens: systemd stops the
/// app only when we are gone.
pub(crate) async fn withdraw(
    inputs: &Inputs,
    registration: Registration,
    ownership: Ownership,
    listed: bool,
    mut shutdown: Shutdown,
) {
    inputs.notifier.stopping("withdrawing the instance");
    inputs.notifier.extend_timeout(inputs.settings.drain + MORE_TIME);
    if listed && registration.is_offered() {
        tokio::select! {
            () = drain(inputs, registration, &ownership) => {}
            // A second signal: somebody is in a hurry.
            () = shutdown.wait() => tracing::warn!("told to stop again; the drain is cut short"),
        }
    }
    let instance = inputs.settings.instance.to_string();
    match ownership.release(WITHDRAWAL).await {
        Ok(()) => tracing::info!(
            MESSAGE_ID = message::WITHDRAWN,
            app_instance = instance,
            reason = "stop",
            "the instance is withdrawn"
        ),
        Err(error) => tracing::warn!(
            %error,
            app_instance = instance,
            ttl_seconds = inputs.settings.ttl.as_secs(),
            "the lease could not be revoked; the keys go when it runs out: {error}"
        ),
    }
    inputs.metrics.listed.set(0);
}

async fn drain(inputs: &Inputs, mut registration: Registration, ownership: &Ownership) {
    registration.drain(now());
    let keys = match registration.keys() {
        Ok(keys) => keys,
        Err(error) => {
            tracing::warn!(%error, "the record of the drain can't be written; stopping without one: {error}");
            return;
        }
    };
    ownership.declare(keys);
    let revision = match timeout(WITHDRAWAL, ownership.applied()).await {
        Ok(Ok(revision)) => revision,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the store does not take the withdrawal; stopping without a drain: {error}");
            return;
        }
        Err(_) => {
            tracing::warn!("the store does not answer; stopping without a drain");
            return;
        }
    };
    inputs.notifier.status("draining: waiting until every load balancer has taken the instance off");
    let app = &inputs.settings.instance.app;
    match wait_for_readers(&inputs.store, app, revision, inputs.settings.drain).await {
        Drained::Proved { readers } => {
            tracing::info!(readers, %revision, "drained: {readers} readers serve without the instance");
        }
        Drained::TimedOut { behind } => {
            let behind = behind.into_iter().collect::<Vec<_>>().join(" ");
            tracing::warn!(
                behind,
                %revision,
                "stopping although these did not say in time that they serve without the instance: {behind}"
            );
        }
    }
}
