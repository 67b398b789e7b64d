//! Sends measured requests until standard input ends, or for so many seconds, and prints the report as JSON.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use convoy_road::traffic::{Target, Traffic};

/// Sends measured requests and says which of them failed.
#[derive(Debug, Parser)]
struct Options {
    /// Server to send to
    #[arg(long)]
    address: SocketAddr,
    /// Host header
    #[arg(long)]
    host: String,
    /// Path
    #[arg(long, default_value = "/")]
    path: String,
    /// Clients at the same time
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Pause of each client between two requests, in milliseconds
    #[arg(long, default_value_t = 5)]
    pause: u64,
    /// Longest run in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let target = Target { address: options.address, host: options.host, path: options.path };
    let limit = Duration::from_secs(options.seconds);
    let traffic = Traffic::start(&target, options.connections, Duration::from_millis(options.pause), limit);
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        // The end of input is the signal; an error is one too.
        let _ = std::io::stdin().read_to_end(&mut rest);
        let _ = ended.send(());
    });
    // Either the input ended, or the time is over.
    let _ = end.recv_timeout(limit);
    let report = traffic.stop();
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&report)?)?;
    Ok(())
}
