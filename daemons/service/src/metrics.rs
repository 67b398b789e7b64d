//! Metrics in the Prometheus text format, on a Unix socket in the runtime directory.
//!
//! `curl --unix-socket /run/…/metrics.sock http://localhost/metrics` reads them; no network port is opened.

use std::path::PathBuf;
use std::sync::Arc;

pub use prometheus_client;
pub use prometheus_client::registry::Registry;
use tokio::net::UnixListener;

pub use crate::pages::bind;
use crate::pages::{self, Page};

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

/// Answers scrapes for ever, a few at a time; a broken reader only ends its own connection.
pub async fn serve(registry: Arc<Registry>, listener: UnixListener) {
    pages::serve(listener, move |_| {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &registry) {
            Ok(()) => Page {
                kind: "application/openmetrics-text; version=1.0.0; charset=utf-8",
                ..Page::text(text)
            },
            Err(error) => Page {
                status: "500 Internal Server Error",
                ..Page::text(format!("the metrics can't be printed: {error}\n"))
            },
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

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
