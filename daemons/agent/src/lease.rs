//! The program `convoy-lease`: a unit that lives as long as this machine's lease does, so that others can be bound to
//! it.
//!
//! The agent sends a line for each keep-alive that was answered. Each line winds systemd's watchdog up for what is
//! left of the lease. When no lines come any more, because the store is out of reach or the agent was killed or
//! frozen, systemd ends this program when the time is over, and everything that is bound to it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use convoy_service::message;
use sd_notify::NotifyState;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::beat::{Beat, monotonic};

/// A line is 42 bytes at most.
const LONGEST_LINE: u64 = 64;

/// Lives as long as this machine's lease in the store.
#[derive(Debug, Parser)]
#[command(name = "convoy-lease", version)]
pub struct Cli {
    /// The socket at which keep-alives are heard of.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// How many seconds longer than the lease to live.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    after: u64,
}

/// Listens for ever.
pub async fn run(cli: &Cli) -> anyhow::Result<()> {
    // A run that was killed leaves its socket behind.
    match std::fs::remove_file(&cli.socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{} can't be replaced", cli.socket.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&cli.socket)
        .with_context(|| format!("{} can't be listened at", cli.socket.display()))?;
    let grace = Duration::from_secs(cli.after.min(7 * 24 * 3600));
    let mut ready = false;
    loop {
        let (stream, _) = listener.accept().await.context("the socket takes no connections")?;
        // Anybody may connect; only root is heard.
        if !stream.peer_cred().is_ok_and(|peer| peer.uid() == 0) {
            continue;
        }
        // One agent at a time: a new one begins when the old one's end of the line is closed.
        hear(stream, grace, &mut ready).await;
    }
}

async fn hear(stream: UnixStream, grace: Duration, ready: &mut bool) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        match (&mut reader).take(LONGEST_LINE).read_line(&mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let Some(left) = Beat::parse(&line).and_then(|beat| beat.left(monotonic(), grace)) else { continue };
        wind_up(left, ready);
    }
}

fn wind_up(left: Duration, ready: &mut bool) {
    let micros = u32::try_from(left.as_micros()).unwrap_or(u32::MAX);
    let until = NotifyState::WatchdogUsec(micros);
    let told = if *ready {
        sd_notify::notify(&[until])
    } else {
        sd_notify::notify(&[NotifyState::Ready, NotifyState::Status("this machine is announced"), until])
    };
    match told {
        Ok(()) if !*ready => {
            *ready = true;
            tracing::info!(
                MESSAGE_ID = message::LEASE_HELD,
                left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
                "units that live by this machine's lease may run"
            );
        }
        Ok(()) => {}
        // Then the time runs out, which is the safe side.
        Err(error) => tracing::warn!(%error, "systemd could not be told that the lease holds"),
    }
}
