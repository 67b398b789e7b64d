//! Servers outside of the machines, where containers would only cost time.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::Result;
use convoy_cluster::{BRIDGE_ADDRESS, Cluster};

/// Starts a server on the cluster's bridge that gives each connection to `handle`, and says where it listens. It ends with
/// this process.
pub fn serve(cluster: &Cluster, handle: impl Fn(TcpStream) + Clone + Send + 'static) -> Result<SocketAddr> {
    cluster.with_network(move || {
        let listener = TcpListener::bind((BRIDGE_ADDRESS, 0))?;
        let address = listener.local_addr()?;
        // Threads keep the network that they were started in.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let handle = handle.clone();
                thread::spawn(move || handle(client));
            }
        });
        Ok(address)
    })?
}

/// Answers every request of a connection with a name.
pub fn answer(connection: TcpStream, name: &str) {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}\n", name.len() + 1);
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    // Requests without a body: an empty line is the end of each. Whoever breaks off gets nothing more.
    while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
        if line.trim_end().is_empty() && reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
        line.clear();
    }
}
