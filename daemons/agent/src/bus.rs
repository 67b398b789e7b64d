//! The connection to systemd, made again whenever it is lost.

use std::sync::Arc;
use std::time::Duration;

use convoy_retry::Backoff;
use convoy_systemd::{Manager, ServiceEnd, SystemdError, UnitChange, UnitChanges};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A change of a unit; with it, for a service that failed, how it ended.
pub(crate) type Told = (UnitChange, Option<ServiceEnd>);

/// A connection that works, and what is heard on it.
#[derive(Debug)]
pub(crate) struct Bus {
    /// For calls.
    pub(crate) manager: Arc<Manager>,
    told: mpsc::UnboundedReceiver<Told>,
    listener: JoinHandle<()>,
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Bus {
    /// Connects, however long that takes.
    pub(crate) async fn connect() -> Self {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            match Self::try_connect().await {
                Ok(bus) => return bus,
                Err(error) => {
                    tracing::warn!(%error, "systemd can't be reached; it is tried again");
                    sleep(backoff.next()).await;
                }
            }
        }
    }

    async fn try_connect() -> Result<Self, SystemdError> {
        // In this order: nothing happens unheard between subscription and first look.
        let mut changes = UnitChanges::subscribe().await?;
        let manager = Arc::new(Manager::connect().await?);
        let (sender, told) = mpsc::unbounded_channel();
        let asked = Arc::clone(&manager);
        let listener = tokio::spawn(async move {
            while let Some(change) = changes.next().await {
                let end = end(&asked, &change).await;
                if sender.send((change, end)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { manager, told, listener })
    }

    /// The next change; none when the connection is lost. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }
}

/// One after another, so that changes stay in order.
async fn end(manager: &Manager, change: &UnitChange) -> Option<ServiceEnd> {
    let is = |field: &Option<String>, text: &str| field.as_ref().is_some_and(|value| value.starts_with(text));
    let ended = is(&change.active, "failed") || is(&change.sub, "auto-restart");
    if !ended || !change.unit.ends_with(".service") {
        return None;
    }
    manager.service_end(&change.unit).await.ok()
}
