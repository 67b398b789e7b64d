//! Load, by wrk and h2load.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::Over;
use super::rivals::HOST;

/// Idle clients that are made together.
const AT_A_TIME: usize = 100;

/// Requests answered with 200. Anything else is an error: a proxy that fails is fast.
pub(crate) fn run(
    over: Over,
    address: SocketAddr,
    path: &str,
    connections: usize,
    time: Duration,
) -> Result<u64> {
    match over {
        Over::Http1 => wrk("http", address, path, connections, time),
        Over::Tls => wrk("https", address, path, connections, time),
        Over::Tls2 => h2load(address, path, connections, time),
    }
}

fn h2load(address: SocketAddr, path: &str, connections: usize, time: Duration) -> Result<u64> {
    let output = Command::new("h2load")
        .args(["-t1", &format!("-c{connections}"), "-m10", &format!("--duration={}", time.as_secs())])
        .arg(format!("--connect-to={address}"))
        .arg(format!("https://{HOST}:{}{path}", address.port()))
        .output()
        .context("h2load can't be run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "h2load failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    // «status codes: 123 2xx, 0 3xx, 0 4xx, 0 5xx»
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("status codes: "))
        .context("h2load counted no answers")?;
    let counts: Vec<u64> = line.split(", ").filter_map(|part| part.split(' ').next()?.parse().ok()).collect();
    match counts[..] {
        [good, 0, 0, 0] if good > 0 => Ok(good),
        _ => bail!("requests failed:\n{text}"),
    }
}

fn wrk(scheme: &str, address: SocketAddr, path: &str, connections: usize, time: Duration) -> Result<u64> {
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{connections}"), &format!("-d{}s", time.as_secs())])
        .args(["-H", &format!("Host: {HOST}"), &format!("{scheme}://{address}{path}")])
        .output()
        .context("wrk can't be run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "requests failed:\n{text}");
    let line = text.lines().find(|line| line.contains(" requests in ")).context("wrk counted no requests")?;
    line.split_whitespace().next().and_then(|count| count.parse().ok()).context("wrk's count is no number")
}

/// Requests at an even rate; the time in milliseconds that 99 of 100 stay below.
pub(crate) fn slowest_of_hundred(
    address: SocketAddr,
    path: &str,
    connections: usize,
    rate: u64,
    time: Duration,
) -> Result<f64> {
    let log = tempfile::NamedTempFile::new()?;
    #[allow(clippy::cast_precision_loss)] // Both are small.
    let each = rate as f64 / connections as f64;
    let output = Command::new("h2load")
        .args(["--h1", "-t1", &format!("-c{connections}"), &format!("--duration={}", time.as_secs())])
        .arg(format!("--rps={each}"))
        .arg(format!("--connect-to={address}"))
        .arg("--log-file")
        .arg(log.path())
        .arg(format!("http://{HOST}:{}{path}", address.port()))
        .output()
        .context("h2load can't be run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "h2load failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    // Start, status, microseconds until the end of the answer.
    let mut times = Vec::new();
    for line in std::fs::read_to_string(log.path())?.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[_, "200", time, ..] = fields.as_slice() else { bail!("a request failed: {line}\n{text}") };
        times.push(time.parse::<u32>()?);
    }
    let least = rate * time.as_secs() * 9 / 10;
    ensure!(times.len() as u64 >= least, "{} of {least} requests were made at least\n{text}", times.len());
    times.sort_unstable();
    let slow = times.get(times.len() * 99 / 100).context("there were no requests")?;
    Ok(f64::from(*slow) / 1000.0)
}

/// Clients that asked once and say nothing more.
pub(crate) fn idle_clients(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let mut clients = Vec::with_capacity(count);
    while clients.len() < count {
        // Many at a time: one after the other, they would wait for each other's delayed acknowledgements until the first ones
        // are closed as idle.
        let mut batch = Vec::new();
        for _ in clients.len()..count.min(clients.len() + AT_A_TIME) {
            let mut client = TcpStream::connect(address)?;
            write!(client, "GET /64 HTTP/1.1\r\nHost: {HOST}\r\n\r\n")?;
            batch.push(client);
        }
        for client in &mut batch {
            read_answer(client)?;
        }
        clients.append(&mut batch);
    }
    Ok(clients)
}

fn read_answer(client: &mut TcpStream) -> Result<()> {
    let mut answer = Vec::new();
    let mut space = [0; 1024];
    while !answer.ends_with(b"xxxxxxxx") {
        let read = client.read(&mut space)?;
        ensure!(read > 0, "the connection ended");
        answer.extend_from_slice(space.get(..read).unwrap_or_default());
    }
    Ok(())
}
