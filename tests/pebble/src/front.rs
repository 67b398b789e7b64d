//! The address that names lead to, where a test says when the authority gets through, and to whom.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::Ports;

/// Where an edge listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doors {
    /// Without TLS.
    pub plain: SocketAddr,
    /// With TLS.
    pub secure: SocketAddr,
}

/// Each connection goes to the next edge, as DNS would have it; while it is held, connections wait. It listens until the
/// process ends.
#[derive(Debug, Default)]
pub struct Front {
    state: Mutex<State>,
    opened: Condvar,
    knocks: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    edges: Vec<Doors>,
    is_held: bool,
    turn: usize,
}

impl Front {
    /// Listens where the authority looks for proofs. Connections are made in the network that the caller is in.
    pub fn start(address: IpAddr, ports: Ports) -> io::Result<Arc<Self>> {
        let front = Arc::new(Self::default());
        for (port, is_secure) in [(ports.http, false), (ports.tls, true)] {
            let listener = TcpListener::bind((address, port))?;
            let front = Arc::clone(&front);
            thread::spawn(move || {
                for client in listener.incoming().map_while(Result::ok) {
                    let front = Arc::clone(&front);
                    thread::spawn(move || front.pass(&client, is_secure));
                }
            });
        }
        Ok(front)
    }

    /// From now on connections go to these.
    pub fn lead_to(&self, edges: impl IntoIterator<Item = Doors>) {
        self.state().edges = edges.into_iter().collect();
    }

    /// Lets connections wait, or all of them through.
    pub fn hold(&self, hold: bool) {
        self.state().is_held = hold;
        self.opened.notify_all();
    }

    /// Connections that came in.
    pub fn knocks(&self) -> usize {
        self.knocks.load(Ordering::SeqCst)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until connections are let through, and tells where the next one goes.
    fn next(&self, is_secure: bool) -> Option<SocketAddr> {
        let state = self.opened.wait_while(self.state(), |state| state.is_held);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        let turn = state.turn;
        state.turn = turn.wrapping_add(1);
        let doors = state.edges.get(turn.checked_rem(state.edges.len())?)?;
        Some(if is_secure { doors.secure } else { doors.plain })
    }

    fn pass(&self, client: &TcpStream, is_secure: bool) {
        self.knocks.fetch_add(1, Ordering::SeqCst);
        let Some(door) = self.next(is_secure) else { return };
        let Ok(edge) = TcpStream::connect(door) else { return };
        thread::scope(|scope| {
            scope.spawn(|| copy(client, &edge));
            copy(&edge, client);
        });
    }
}

/// One direction of a connection. Whoever breaks off ends it.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
