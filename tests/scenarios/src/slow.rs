//! A slow way to the store: everything arrives, later.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use convoy_cluster::{BRIDGE_ADDRESS, Cluster};

/// A TCP relay on the cluster's bridge that passes every byte on after a delay, in both directions.
#[derive(Debug)]
pub struct SlowWay {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
}

impl SlowWay {
    /// Opens one to `target`, which machines reach at [`SlowWay::endpoint`].
    pub fn open(cluster: &Cluster, target: SocketAddr, delay: Duration) -> Result<Self> {
        let closed = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&closed);
        let address = cluster.with_network(move || -> Result<SocketAddr> {
            let listener = TcpListener::bind((BRIDGE_ADDRESS, 0))?;
            let address = listener.local_addr()?;
            // Threads keep the network that they were started in.
            thread::spawn(move || {
                for client in listener.incoming().map_while(Result::ok) {
                    if over.load(Ordering::Acquire) {
                        return;
                    }
                    thread::spawn(move || relay(&client, target, delay));
                }
            });
            Ok(address)
        })??;
        Ok(Self { address, closed })
    }

    /// The URL for the machines.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for SlowWay {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
    }
}

fn relay(client: &TcpStream, target: SocketAddr, delay: Duration) {
    let Ok(server) = TcpStream::connect(target) else { return };
    let (Ok(from_client), Ok(to_client)) = (client.try_clone(), client.try_clone()) else { return };
    let (Ok(from_server), Ok(to_server)) = (server.try_clone(), server.try_clone()) else { return };
    let there = thread::spawn(move || pass(from_client, to_server, delay));
    pass(from_server, to_client, delay);
    // A panic of the other direction closes the connection like everything else.
    let _ = there.join();
}

fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (late, due) = mpsc::channel::<(Instant, Vec<u8>)>();
    let writer = thread::spawn(move || {
        for (at, bytes) in due {
            #[allow(clippy::disallowed_methods, reason = "the delay is what this is for")]
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        // The other end may be gone already, which is what is wanted.
        let _ = to.shutdown(Shutdown::Both);
    });
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut bytes) {
        let Some(read) = bytes.get(..count).filter(|read| !read.is_empty()) else { break };
        if late.send((Instant::now() + delay, read.to_vec())).is_err() {
            break;
        }
    }
    drop(late);
    let _ = writer.join();
}

/// The address of a machine's etcd member.
pub fn member(address: Ipv4Addr) -> SocketAddr {
    SocketAddr::new(address.into(), 2379)
}
