//! The address that all names lead to: each connection goes to another edge, as DNS or a router would have it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use convoy_test_pebble::{HTTP, TLS};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::edge::Edge;

/// What the front does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Passes them on.
    Open,
    /// Lets them wait.
    Held,
    /// Closes them.
    Shut,
}

pub(crate) struct Front {
    shared: Arc<Shared>,
    door: watch::Sender<Door>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    edges: Mutex<Vec<Arc<Edge>>>,
    turn: AtomicUsize,
    /// Connections that came in.
    knocks: watch::Sender<usize>,
}

impl Front {
    pub(crate) async fn start(address: IpAddr) -> Self {
        let (door, state) = watch::channel(Door::Open);
        let shared = Arc::new(Shared {
            edges: Mutex::new(Vec::new()),
            turn: AtomicUsize::new(0),
            knocks: watch::Sender::new(0),
        });
        let mut tasks = Vec::new();
        for port in [HTTP, TLS] {
            let listener = TcpListener::bind((address, port)).await.unwrap();
            let (shared, state) = (Arc::clone(&shared), state.clone());
            tasks.push(tokio::spawn(async move {
                while let Ok((connection, _)) = listener.accept().await {
                    let (shared, mut state) = (Arc::clone(&shared), state.clone());
                    tokio::spawn(async move {
                        shared.knocks.send_modify(|knocks| *knocks += 1);
                        let door =
                            state.wait_for(|door| *door != Door::Held).await.map_or(Door::Shut, |door| *door);
                        let Some(edge) = shared.next().filter(|_| door == Door::Open) else { return };
                        if port == HTTP { edge.http(connection).await } else { edge.tls(connection).await }
                    });
                }
            }));
        }
        Self { shared, door, tasks }
    }

    pub(crate) fn door(&self, door: Door) {
        self.door.send_replace(door);
    }

    /// From now on connections go to these.
    pub(crate) fn lead_to(&self, edges: &[Arc<Edge>]) {
        *self.shared.edges.lock().unwrap() = edges.to_vec();
    }

    pub(crate) fn knocks(&self) -> watch::Receiver<usize> {
        self.shared.knocks.subscribe()
    }
}

impl Shared {
    fn next(&self) -> Option<Arc<Edge>> {
        let edges = self.edges.lock().unwrap();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        edges.get(turn.checked_rem(edges.len())?).cloned()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
