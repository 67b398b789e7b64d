//! Changes of units, as systemd signals them.

use std::num::NonZeroUsize;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zbus::{MatchRule, MessageStream};

use crate::manager::{CALL_DEADLINE, manager, open};
use crate::path::{UNITS, unit_of};
use crate::unit::{Properties, change};
use crate::{SystemdError, UnitChange};

/// A boot or a reload changes every unit of a machine at once.
const SIGNALS_KEPT: usize = 4096;

/// All changes of all units, in order, from a connection of its own.
#[derive(Debug)]
pub struct UnitChanges {
    changes: mpsc::UnboundedReceiver<UnitChange>,
    reader: JoinHandle<()>,
}

impl Drop for UnitChanges {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl UnitChanges {
    /// Subscribes. What changes from here on is told; how things stand is to be asked afterwards.
    pub async fn subscribe() -> Result<Self, SystemdError> {
        let connection = open(CALL_DEADLINE).await?;
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender("org.freedesktop.systemd1")
            .interface("org.freedesktop.DBus.Properties")
            .member("PropertiesChanged")
            .path_namespace(UNITS)
            .arg(0, "org.freedesktop.systemd1.Unit")
            .build()
            .map_err(SystemdError::Bus)?;
        let kept = NonZeroUsize::new(SIGNALS_KEPT);
        let mut stream =
            MessageStream::for_match_rule(rule, &connection, kept).await.map_err(SystemdError::Bus)?;
        manager(&connection).await?.subscribe().await.map_err(SystemdError::Bus)?;
        let (sender, changes) = mpsc::unbounded_channel();
        let reader = tokio::spawn(async move {
            // Held, so that the subscription lives as long as the stream.
            let _connection = connection;
            while let Some(Ok(message)) = stream.next().await {
                let header = message.header();
                let Some(unit) = header.path().and_then(|path| unit_of(path.as_str())) else { continue };
                let body = message.body();
                let Ok((_, properties, _)) = body.deserialize::<(String, Properties, Vec<String>)>() else {
                    continue;
                };
                if sender.send(change(unit, &properties)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { changes, reader })
    }

    /// The next change; none when the bus is gone and everything has to be built anew. Cancel-safe.
    pub async fn next(&mut self) -> Option<UnitChange> {
        self.changes.recv().await
    }
}
