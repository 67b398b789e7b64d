//! Takes connections from the listening sockets and hands them to the worker that has the fewest.
//!
//! A socket that systemd hands over can't be opened once per thread, and threads that race for the same queue share it
//! unevenly. One acceptor knows all the counts; with kept-alive connections it has little to do. It needs no event loop,
//! and without one a connection is registered once, by the worker that gets it.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};

use crate::listener::Socket;
use crate::shared::Post;
use crate::wire::Accepted;
use crate::worker::Message;

/// Accepted from one socket before the next one gets a turn.
const BATCH: usize = 64;
/// Pause when the process or the system has no more file descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Acceptor {
    pub(crate) posts: Vec<Arc<Post>>,
    pub(crate) max_connections: usize,
    pub(crate) listeners: Vec<Socket>,
    /// Closed at the other end when it is time to stop.
    pub(crate) stop: UnixStream,
}

impl Acceptor {
    /// Accepts until told to stop. The listening sockets are closed then, but whoever handed them over has its own.
    pub(crate) fn run(self) {
        let mut turn = 0;
        let mut exhausted = false;
        while !self.wait(exhausted) {
            let mut failure = None;
            for door in 0..self.listeners.len() {
                if let Err(error) = self.empty_queue(door, &mut turn) {
                    failure = Some(error);
                }
            }
            if let Some(error) = failure
                && !exhausted
            {
                tracing::warn!(%error, "no connections can be accepted for the moment");
            }
            exhausted = failure.is_some();
        }
    }

    /// Waits for connections, or a little while when the last ones could not be taken. True when it is time to stop.
    fn wait(&self, exhausted: bool) -> bool {
        let mut descriptors = vec![PollFd::new(&self.stop, PollFlags::IN)];
        if !exhausted {
            descriptors.extend(self.listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
        }
        let pause = Timespec::try_from(EXHAUSTED_PAUSE).ok().filter(|_| exhausted);
        match poll(&mut descriptors, pause.as_ref()) {
            Ok(_) => descriptors.first().is_some_and(|stop| !stop.revents().is_empty()),
            Err(Errno::INTR | Errno::AGAIN | Errno::NOMEM) => false,
            Err(error) => {
                tracing::error!(%error, "the listening sockets can't be watched");
                true
            }
        }
    }

    fn empty_queue(&self, door: usize, turn: &mut usize) -> Result<(), Errno> {
        let Some(listener) = self.listeners.get(door) else { return Ok(()) };
        for _ in 0..BATCH {
            match acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok((socket, peer)) => {
                    *turn = turn.wrapping_add(1);
                    let (socket, peer) = match listener {
                        Socket::Tcp(_) => {
                            let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                            (Accepted::Tcp(socket.into()), peer)
                        }
                        Socket::Unix(_) => (Accepted::Unix(socket.into()), None),
                    };
                    self.hand_over(socket, peer, door, *turn);
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) if concerns_one_client(error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn hand_over(&self, socket: Accepted, peer: Option<SocketAddr>, door: usize, turn: usize) {
        let counts = || self.posts.iter().map(|post| post.connections.load(Relaxed));
        let open: usize = counts().sum();
        // Far beyond the limit even the courtesy of an answer costs too much.
        if open >= self.max_connections + self.max_connections / 8 + 16 {
            return;
        }
        let fewest = counts().min().unwrap_or(0);
        let start = turn.checked_rem(self.posts.len()).unwrap_or(0);
        let (before, from) = self.posts.split_at_checked(start).unwrap_or((&[], &self.posts));
        let chosen = from.iter().chain(before).find(|post| post.connections.load(Relaxed) <= fewest);
        if let Some(post) = chosen {
            post.connections.fetch_add(1, Relaxed);
            let shed = open >= self.max_connections;
            if !post.send(Message::Connection { socket, peer, door, shed }) {
                post.connections.fetch_sub(1, Relaxed);
            }
        }
    }
}

/// The client gave up while it waited, or the network had an error for it (accept(2)).
fn concerns_one_client(error: Errno) -> bool {
    matches!(
        error,
        Errno::CONNABORTED
            | Errno::INTR
            | Errno::NETDOWN
            | Errno::PROTO
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
            | Errno::TIMEDOUT
            | Errno::PERM
    )
}
