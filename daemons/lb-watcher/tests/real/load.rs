//! Clients that ask all the time, and what they were told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::balancer::request;

/// Four clients, each request over a connection of its own; half of them may not be sent twice.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(usize, Vec<String>)>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |method: &'static str| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let (mut count, mut failed) = (0, Vec::new());
                while !stop.load(Ordering::SeqCst) {
                    count += 1;
                    match request(address, method, "") {
                        Ok(answer) if answer.status == 200 => {}
                        other => failed.push(format!("{method}: {other:?}")),
                    }
                }
                (count, failed)
            })
        };
        let clients = ["GET", "GET", "POST", "POST"].map(client).into();
        Self { stop, clients }
    }

    /// How many requests were answered; every one of them with 200.
    pub(crate) fn stop(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        let mut total = 0;
        for client in self.clients {
            let (count, failed) = client.join().unwrap();
            total += count;
            assert!(failed.is_empty(), "{} of {count} failed: {:?}", failed.len(), failed.first());
        }
        assert!(total > 500, "{total} requests are no proof");
        total
    }
}
