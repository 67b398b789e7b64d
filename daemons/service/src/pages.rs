//! Texts on a Unix socket, for whoever may open it: metrics, a status page.
//!
//! `curl --unix-socket /run/…/metrics.sock http://localhost/metrics` reads them; no network port is opened.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// A reader that takes longer is cut off.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longest request head; a scrape has about 100 bytes, a browser sends 1000.
const HEAD_MAX: usize = 8 * 1024;
/// Readers at the same time. A browser opens connections ahead of its requests, and others are not to wait for those.
const READERS: usize = 16;

/// What a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// A path, and a query where there is one.
    pub target: &'a str,
    /// The reader is a browser: it says that it takes HTML.
    pub wants_html: bool,
}

impl<'a> Asked<'a> {
    /// None when it is no GET.
    fn parse(head: &'a str) -> Option<Self> {
        let mut lines = head.lines();
        let target = lines.next()?.strip_prefix("GET ")?.split(' ').next()?;
        let wants_html = lines.filter_map(|line| line.split_once(':')).any(|(name, value)| {
            name.eq_ignore_ascii_case("accept") && value.to_ascii_lowercase().contains("text/html")
        });
        Some(Self { target, wants_html })
    }
}

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

/// Answers readers for ever, a few at a time; a broken reader only ends its own connection. `page` gives the text.
pub async fn serve(listener: UnixListener, page: impl Fn(Asked<'_>) -> Page + Send + Sync + 'static) {
    let (page, room) = (Arc::new(page), Arc::new(Semaphore::new(READERS)));
    // It is never closed.
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let page = Arc::clone(&page);
                tokio::spawn(async move {
                    let answered = tokio::time::timeout(DEADLINE, answer(stream, &*page)).await;
                    if let Ok(Err(error)) = answered {
                        tracing::debug!(%error, "a reader of a page went away");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a socket for pages takes no connections");
                tokio::time::sleep(DEADLINE).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, page: &(impl Fn(Asked<'_>) -> Page + Sync)) -> io::Result<()> {
    let mut head = Vec::with_capacity(512);
    let mut chunk = [0u8; 512];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let count = stream.read(&mut chunk).await?;
        if count == 0 || head.len() > HEAD_MAX {
            return Ok(());
        }
        head.extend(chunk.iter().take(count));
    }
    let Page { status, kind, text } = match Asked::parse(&String::from_utf8_lossy(&head)) {
        Some(asked) => page(asked),
        None => {
            Page { status: "405 Method Not Allowed", ..Page::text("only GET is answered here\n".to_owned()) }
        }
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(path: &Path, request: &str) -> String {
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_reader_who_says_nothing_keeps_nobody_waiting_and_browsers_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.sock");
        let listener = bind(&path).unwrap();
        tokio::spawn(serve(listener, |asked| Page::text(format!("{} {}", asked.target, asked.wants_html))));
        let _silent = UnixStream::connect(&path).await.unwrap();
        let began = std::time::Instant::now();
        for (request, expected) in [
            ("GET /a?b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n", "/a?b false"),
            ("GET / HTTP/1.1\r\naccept: text/HTML,application/xml;q=0.9\r\n\r\n", "/ true"),
            ("POST / HTTP/1.1\r\n\r\n", "only GET is answered here\n"),
        ] {
            let answer = ask(&path, request).await;
            assert_eq!(answer.split_once("\r\n\r\n").unwrap().1, expected);
        }
        assert!(began.elapsed() < DEADLINE, "it waited for the one who is silent");
    }
}
