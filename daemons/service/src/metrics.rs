//! Metrics in the Prometheus text format, on a Unix socket in the runtime directory.
//!
//! `curl --unix-socket /run/…/metrics.sock http://localhost/metrics` reads them; no network port is opened.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use prometheus_client;
pub use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// A reader that takes longer is cut off.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longest request head; a scrape has about 100 bytes.
const HEAD_MAX: usize = 8 * 1024;

/// Binds the socket, replacing what an earlier run left there.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}

/// Makes the metrics readable at `metrics.sock` in the runtime directory, if there is one. Needs a tokio runtime.
pub fn serve_in(runtime_directory: Option<PathBuf>, registry: Registry) {
    let Some(directory) = runtime_directory else { return };
    let path = directory.join("metrics.sock");
    match bind(&path) {
        Ok(listener) => drop(tokio::spawn(serve(Arc::new(registry), listener))),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "metrics can't be read from outside");
        }
    }
}

/// Answers scrapes for ever, one at a time; a broken reader only ends its own connection.
pub async fn serve(registry: Arc<Registry>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let answered = tokio::time::timeout(DEADLINE, answer(&registry, stream)).await;
                if let Ok(Err(error)) = answered {
                    tracing::debug!(%error, "a reader of the metrics went away");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the metrics socket takes no connections");
                tokio::time::sleep(DEADLINE).await;
            }
        }
    }
}

async fn answer(registry: &Registry, mut stream: UnixStream) -> io::Result<()> {
    let mut head = Vec::with_capacity(512);
    let mut chunk = [0u8; 512];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let count = stream.read(&mut chunk).await?;
        if count == 0 || head.len() > HEAD_MAX {
            return Ok(());
        }
        head.extend(chunk.iter().take(count));
    }
    let (status, body) = if head.starts_with(b"GET ") {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, registry) {
            Ok(()) => ("200 OK", text),
            Err(error) => ("500 Internal Server Error", format!("the metrics can't be printed: {error}\n")),
        }
    } else {
        ("405 Method Not Allowed", "only GET is answered here\n".to_owned())
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[tokio::test]
    async fn a_scrape_reads_the_registry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.sock");
        std::fs::write(&path, b"left over").unwrap();
        let counter = Counter::<u64>::default();
        let mut registry = Registry::default();
        registry.register("reloads", "Reloads so far", counter.clone());
        counter.inc();
        let server = tokio::spawn(serve(Arc::new(registry), bind(&path).unwrap()));

        for (request, status, part) in [
            ("GET /metrics HTTP/1.1\r\n\r\n", "200", "reloads_total 1"),
            ("PUT / HTTP/1.1\r\n\r\n", "405", "only GET"),
        ] {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(answer.contains(part), "{answer}");
        }
        server.abort();
    }
}
