//! A connection that became a tunnel: bytes go both ways until one side ends it.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use convoy_http1::{Body, Delimit};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::control::{Phase, Verdict};
use crate::exchange::Exchange;
use crate::front::Front;
use crate::inlet::InletSource;
use crate::link::Link;
use crate::outlet::Outlet;
use crate::serve_http1::After;

/// One way through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    Over,
    Broken,
}

impl Way {
    /// Moves what there is. A side that says no more is told to the other one.
    fn poll<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        outlet: &mut Outlet,
        to: &mut (impl AsyncWrite + Unpin),
        mut from: InletSource<'_, R>,
    ) -> Poll<Way> {
        if *self == Self::Open {
            if ready!(outlet.poll(cx, to, &mut from)).is_err()
                || ready!(Pin::new(to).poll_shutdown(cx)).is_err()
            {
                *self = Self::Broken;
            } else {
                *self = Self::Over;
            }
        }
        Poll::Ready(*self)
    }
}

/// Runs until both sides are done, nothing moved for too long, or a drain is over. The answer that began it is staged.
pub(crate) async fn run(exchange: Box<Exchange>, front: &mut Front, mut link: Box<Link>) -> After {
    let client = Rc::clone(&exchange.client);
    let (control, buffers) = (&client.control, &client.worker.buffers);
    control.enter(Phase::Tunnel);
    front.inlet.begin_body(0, Body::to_the_end());
    link.inlet.begin_body(0, Body::to_the_end());
    let mut to_target = Outlet::new();
    to_target.begin(Delimit::Plain, false);
    let (mut up, mut down) = (Way::Open, Way::Open);
    poll_fn(|cx| {
        control.register(cx.waker());
        if control.verdict() == Verdict::Cut {
            return Poll::Ready(());
        }
        let source = InletSource { io: &mut front.io, inlet: &mut front.inlet, buffers };
        let upward = up.poll(cx, &mut to_target, &mut link.stream, source);
        let source = InletSource { io: &mut link.stream, inlet: &mut link.inlet, buffers };
        let downward = down.poll(cx, &mut front.outlet, &mut front.io, source);
        // A side that vanishes ends a tunnel as well as one that says good-bye; there is nothing to tell the other.
        let is_broken = [upward, downward].contains(&Poll::Ready(Way::Broken));
        if is_broken || upward.is_ready() && downward.is_ready() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    exchange.tunnelled(front.outlet.passed());
    After::Cut
}
