//! Texts on a Unix socket, for whoever may open it: metrics, a status page.
//!
//! `curl --unix-socket /run/…/metrics.sock http://localhost/metrics` reads them; no network port is opened.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// A reader that takes longer is cut off.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longest request head; a scrape has about 100 bytes.
const HEAD_MAX: usize = 8 * 1024;

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// `200 OK`
    pub status: &'static str,
    /// The media type.
    pub kind: &'static str,
    /// The text.
    pub text: String,
}

impl Page {
    /// Plain text.
    pub fn text(text: String) -> Self {
        Self { status: "200 OK", kind: "text/plain; charset=utf-8", text }
    }

    /// There is nothing of that name.
    pub fn unknown(text: &str) -> Self {
        Self { status: "404 Not Found", ..Self::text(text.to_owned()) }
    }
}

/// Binds the socket, replacing what an earlier run left there.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}

/// Answers readers for ever, one at a time; a broken reader only ends its own connection. `page` gives the text for a
/// target: a path, and a query where there is one.
pub async fn serve(listener: UnixListener, page: impl Fn(&str) -> Page) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let answered = tokio::time::timeout(DEADLINE, answer(stream, &page)).await;
                if let Ok(Err(error)) = answered {
                    tracing::debug!(%error, "a reader of a page went away");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a socket for pages takes no connections");
                tokio::time::sleep(DEADLINE).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, page: &impl Fn(&str) -> Page) -> io::Result<()> {
    let mut head = Vec::with_capacity(512);
    let mut chunk = [0u8; 512];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let count = stream.read(&mut chunk).await?;
        if count == 0 || head.len() > HEAD_MAX {
            return Ok(());
        }
        head.extend(chunk.iter().take(count));
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.strip_prefix("GET ").and_then(|rest| rest.split(' ').next());
    let Page { status, kind, text } = match target {
        Some(target) => page(target),
        None => {
            Page { status: "405 Method Not Allowed", ..Page::text("only GET is answered here\n".to_owned()) }
        }
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
