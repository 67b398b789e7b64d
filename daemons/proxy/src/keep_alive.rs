//! Whether the other end of an HTTP/2 connection is there (RFC 9113, section 6.7).

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct KeepAlive {
    pings: PingPong,
    interval: Duration,
    timer: Pin<Box<Sleep>>,
    is_asked: bool,
    /// What had moved at the last look.
    moved: u32,
}

impl KeepAlive {
    /// Asks at this interval.
    pub(crate) fn new(pings: PingPong, interval: Duration) -> Self {
        Self { pings, interval, timer: Box::pin(sleep(interval)), is_asked: false, moved: 0 }
    }

    /// Ready when the other end is gone. Where nobody wants to know, it is not asked. Nor is it while bytes come or go, by
    /// `moved`, which also are a sign of life where the answer waits its turn behind them.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>, wants_to_know: bool, moved: u32) -> Poll<()> {
        loop {
            if self.is_asked && self.pings.poll_pong(cx).is_ready() {
                self.is_asked = false;
                self.timer.as_mut().reset(Instant::now() + self.interval);
            }
            ready!(self.timer.as_mut().poll(cx));
            let is_quiet = std::mem::replace(&mut self.moved, moved) == moved;
            if self.is_asked && is_quiet {
                return Poll::Ready(());
            }
            if !self.is_asked && is_quiet && wants_to_know {
                // Fails on a connection that is ending, which is not asked any more.
                self.is_asked = self.pings.send_ping(Ping::opaque()).is_ok();
            }
            let next = if self.is_asked { PATIENCE } else { self.interval };
            self.timer.as_mut().reset(Instant::now() + next);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);
    /// Of a client that says nothing more: the preface, and settings without any.
    const FIRST_WORDS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    /// Serves nobody, until the other end is gone or closes. How long that took. Bytes move for so long.
    async fn served(io: tokio::io::DuplexStream, wants_to_know: bool, moving: Duration) -> Duration {
        let mut connection = h2::server::handshake(io).await.unwrap();
        let mut keep_alive = KeepAlive::new(connection.ping_pong().unwrap(), INTERVAL);
        let started = Instant::now();
        poll_fn(|cx| {
            let moved = started.elapsed().min(moving).as_secs();
            if keep_alive.poll_gone(cx, wants_to_know, u32::try_from(moved).unwrap()).is_ready() {
                return Poll::Ready(());
            }
            connection.poll_accept(cx).map(drop)
        })
        .await;
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_gone() {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        far.write_all(FIRST_WORDS).await.unwrap();
        assert_eq!(served(near, true, Duration::ZERO).await.as_secs(), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn who_answers_stays() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let client = async {
            let (sender, connection) = h2::client::handshake(far).await.unwrap();
            let _ = tokio::time::timeout(Duration::from_secs(600), connection).await;
            drop(sender);
        };
        let (elapsed, ()) = tokio::join!(served(near, true, Duration::ZERO), client);
        assert_eq!(elapsed.as_secs(), 600);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_asked_for_no_reason() {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        far.write_all(FIRST_WORDS).await.unwrap();
        let served =
            tokio::time::timeout(Duration::from_secs(600), served(near, false, Duration::ZERO)).await;
        assert!(served.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_gone_while_bytes_move() {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        far.write_all(FIRST_WORDS).await.unwrap();
        let took = served(near, true, Duration::from_secs(300)).await.as_secs();
        assert!((350..=380).contains(&took), "{took}");
    }
}
