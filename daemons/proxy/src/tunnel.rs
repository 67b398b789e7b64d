//! A connection that became a tunnel: bytes go both ways until one side ends it.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::control::{Phase, Verdict};
use crate::exchange::Exchange;

/// Runs until both sides are done, nothing moved for too long, or a drain is over.
pub(crate) async fn run(client: OnUpgrade, target: OnUpgrade, exchange: Box<Exchange>) {
    let (client, target) = match futures_util::future::join(client, target).await {
        (Ok(client), Ok(target)) => (client, target),
        (Err(error), _) | (_, Err(error)) => {
            tracing::debug!(%error, "a connection was not upgraded");
            return;
        }
    };
    let control = Rc::clone(&exchange.client);
    let control = &control.control;
    control.enter(Phase::Tunnel);
    let (mut client, mut target) = (TokioIo::new(client), TokioIo::new(target));
    let mut copy = pin!(tokio::io::copy_bidirectional(&mut client, &mut target));
    let copied = poll_fn(|cx| {
        control.register(cx.waker());
        if control.verdict() == Verdict::Cut {
            return Poll::Ready(None);
        }
        copy.as_mut().poll(cx).map(Result::ok)
    })
    .await;
    // A side that vanishes ends a tunnel as well as one that says good-bye; there is nothing to tell the other.
    exchange.tunnelled(copied.map_or(0, |(_, to_client)| to_client));
}
