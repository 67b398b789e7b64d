//! Measured requests: HTTP/1.1 over connections that are kept, and an honest count of what failed.
//!
//! A request fails when the client gets an error that an ordinary client would show: no connection, a connection
//! cut before or during the answer, or a status of 500 and above. As every HTTP client does, a request on a *reused*
//! connection that the server closed before the first byte of an answer is sent once more on a new one; those are
//! counted apart.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// A request that takes longer has failed.
const REQUEST_DEADLINE: Duration = Duration::from_secs(15);
/// How many failures are kept with their text.
const FAILURES_KEPT: usize = 20;

/// What to send, and where.
#[derive(Debug, Clone)]
pub struct Target {
    /// The edge router, or any other server.
    pub address: SocketAddr,
    /// The Host header.
    pub host: String,
    /// The path.
    pub path: String,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The head, as it came.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The name of the instance that answered: the sample app in a container says it in JSON, the one on loopback
    /// as its first word.
    pub fn instance(&self) -> String {
        let words = || self.body.split_whitespace().next().unwrap_or("").to_owned();
        let json = serde_json::from_str::<SampleAnswer>(&self.body);
        json.map_or_else(|_| words(), |answer| answer.instance)
    }
}

#[derive(Deserialize)]
struct SampleAnswer {
    instance: String,
}

/// One connection that is kept between requests.
#[derive(Debug, Default)]
pub struct Client {
    connection: Option<BufReader<TcpStream>>,
    /// Requests that were sent once more because a reused connection had been closed.
    pub resent: u64,
}

impl Client {
    /// Sends one GET and reads its answer.
    pub fn get(&mut self, target: &Target) -> Result<Answer> {
        if let Some(connection) = self.connection.take() {
            match self.exchange(connection, target) {
                Err(Failure::BeforeAnswer(_)) => self.resent += 1,
                Err(Failure::DuringAnswer(error)) => return Err(error),
                Ok(answer) => return Ok(answer),
            }
        }
        let stream = TcpStream::connect_timeout(&target.address, REQUEST_DEADLINE)
            .with_context(|| format!("no connection to {}", target.address))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REQUEST_DEADLINE))?;
        stream.set_write_timeout(Some(REQUEST_DEADLINE))?;
        self.exchange(BufReader::new(stream), target).map_err(|failure| match failure {
            Failure::BeforeAnswer(error) | Failure::DuringAnswer(error) => error,
        })
    }

    fn exchange(&mut self, mut connection: BufReader<TcpStream>, target: &Target) -> Result<Answer, Failure> {
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", target.path, target.host);
        connection.get_mut().write_all(request.as_bytes()).map_err(|e| Failure::BeforeAnswer(e.into()))?;
        let waiting = connection.fill_buf().map_err(|e| Failure::BeforeAnswer(e.into()))?;
        if waiting.is_empty() {
            return Err(Failure::BeforeAnswer(anyhow::anyhow!(
                "the connection was closed instead of an answer"
            )));
        }
        let (answer, keep) = read_answer(&mut connection).map_err(Failure::DuringAnswer)?;
        if keep {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

enum Failure {
    BeforeAnswer(anyhow::Error),
    DuringAnswer(anyhow::Error),
}

fn read_answer(connection: &mut BufReader<TcpStream>) -> Result<(Answer, bool)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head).context("the answer's head was cut")? == 0 {
            bail!("the connection was closed within the answer's head");
        }
    }
    let status =
        head.split(' ').nth(1).and_then(|word| word.parse().ok()).context("no status in the answer")?;
    let field = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
        })
    };
    let mut body = Vec::new();
    if field("transfer-encoding").as_deref() == Some("chunked") {
        read_chunks(connection, &mut body)?;
    } else if let Some(length) = field("content-length") {
        let length = length.parse().context("content-length is no number")?;
        connection.take(length).read_to_end(&mut body).context("the answer's body was cut")?;
        if body.len() as u64 != length {
            bail!("the connection was closed within the answer's body");
        }
    } else {
        connection.read_to_end(&mut body).context("the answer's body was cut")?;
    }
    let keep = field("connection").as_deref() != Some("close")
        && (field("content-length").is_some() || field("transfer-encoding").is_some());
    Ok((Answer { status, body: String::from_utf8_lossy(&body).into_owned(), head }, keep))
}

fn read_chunks(connection: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).context("a chunk was cut")?;
        let size = u64::from_str_radix(line.trim(), 16).context("a chunk has no size")?;
        let before = body.len();
        (&mut *connection).take(size).read_to_end(body).context("a chunk was cut")?;
        if (body.len() - before) as u64 != size {
            bail!("the connection was closed within a chunk");
        }
        let mut end = String::new();
        connection.read_line(&mut end).context("a chunk has no end")?;
        if size == 0 {
            return Ok(());
        }
    }
}

/// What came of the requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// Requests sent.
    pub requests: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests sent once more, because a reused connection had been closed.
    pub resent: u64,
    /// Answers by the instance that gave them.
    pub instances: BTreeMap<String, u64>,
    /// Some of the failures: milliseconds after the start, and what happened.
    pub failures: Vec<(u64, String)>,
    /// Latency in microseconds: median, 99th percentile, slowest.
    pub latency_us: [u64; 3],
}

impl Report {
    fn add(&mut self, started: Instant, outcome: Result<Answer>) {
        self.requests += 1;
        let failure = match outcome {
            Ok(answer) if answer.status < 500 => {
                *self.instances.entry(answer.instance()).or_default() += 1;
                return;
            }
            Ok(answer) => format!("status {}: {}", answer.status, answer.body.trim()),
            Err(error) => format!("{error:#}"),
        };
        self.failed += 1;
        if self.failures.len() < FAILURES_KEPT {
            let after = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.failures.push((after, failure));
        }
    }
}

/// Requests that run in the background until they are stopped, or until `limit` has passed.
#[derive(Debug)]
pub struct Traffic {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    workers: Vec<JoinHandle<()>>,
    shared: Arc<Mutex<(Report, Vec<u32>)>>,
}

impl Traffic {
    /// Starts `connections` clients that send request after request, each pausing for `pause` in between.
    pub fn start(target: &Target, connections: usize, pause: Duration, limit: Duration) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let shared = Arc::new(Mutex::new((Report::default(), Vec::new())));
        let started = Instant::now();
        let workers = (0..connections)
            .map(|_| {
                let (target, stop, sent, shared) =
                    (target.clone(), stop.clone(), sent.clone(), shared.clone());
                std::thread::spawn(move || {
                    let mut client = Client::default();
                    while !stop.load(Ordering::Relaxed) && started.elapsed() < limit {
                        let sent_at = Instant::now();
                        let outcome = client.get(&target);
                        let took = u32::try_from(sent_at.elapsed().as_micros()).unwrap_or(u32::MAX);
                        sent.fetch_add(1, Ordering::Relaxed);
                        {
                            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                            shared.0.add(started, outcome);
                            shared.1.push(took);
                        }
                        std::thread::park_timeout(pause);
                    }
                    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    shared.0.resent += client.resent;
                })
            })
            .collect();
        Self { stop, sent, workers, shared }
    }

    /// Requests sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// A copy of what came of the requests so far.
    pub fn so_far(&self) -> Report {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Whether all clients have ended, by the limit.
    pub fn is_over(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished)
    }

    /// Stops the clients and gives the report.
    pub fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.thread().unpark();
            // A client that panicked has left its count behind, which is what the report needs.
            let _ = worker.join();
        }
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let mut latencies = std::mem::take(&mut shared.1);
        latencies.sort_unstable();
        let at = |share: f64| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let index = ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
            latencies.get(index).copied().map_or(0, u64::from)
        };
        shared.0.latency_us = [at(0.5), at(0.99), at(1.0)];
        shared.0.clone()
    }
}
