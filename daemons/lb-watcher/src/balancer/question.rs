//! Asking the running nginx which configuration it serves.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use convoy_lb_config::{Digest, REVISION_HEADER, REVISION_HOST, REVISION_PATH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The answer has about 250 bytes.
const ANSWER_MAX: u64 = 8 * 1024;

/// What a running program says about its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The digest of its configuration.
    pub(crate) digest: Digest,
    /// That of the text it has read, see [`convoy_lb_config::Configuration::loaded`].
    pub(crate) loaded: Option<Digest>,
}

/// One question over a connection of its own, so that whichever worker takes new connections answers it.
pub(crate) async fn ask(address: SocketAddr, deadline: Duration) -> io::Result<Digest> {
    Ok(ask_all(address, deadline).await?.digest)
}

/// The same, with all that is answered.
pub(crate) async fn ask_all(address: SocketAddr, deadline: Duration) -> io::Result<Answer> {
    timeout(deadline, exchange(address)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn exchange(address: SocketAddr) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let question =
        format!("GET {REVISION_PATH} HTTP/1.1\r\nHost: {REVISION_HOST}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    let mut answer = Vec::with_capacity(512);
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    read_answer(&answer)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no configuration of ours answers there"))
}

fn read_answer(answer: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_ascii_whitespace().nth(1)?;
    let loaded = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(REVISION_HEADER).then(|| Digest::parse(value.trim()))?
    });
    if status == "200" { Some(Answer { digest: Digest::parse(body.trim())?, loaded }) } else { None }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn only_a_digest_with_status_200_is_an_answer() {
        let digest = "0123456789abcdef".repeat(4);
        let ok = format!("HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n{digest}");
        assert_eq!(read_answer(ok.as_bytes()).map(|answer| answer.digest.to_string()), Some(digest.clone()));
        let loaded = ok.replace("Server: nginx", &format!("convoy-text: {digest}"));
        assert!(read_answer(loaded.as_bytes()).is_some_and(|answer| answer.loaded == Some(answer.digest)));
        for wrong in [
            String::new(),
            "HTTP/1.1 200 OK\r\n\r\nhello".to_owned(),
            format!("HTTP/1.1 404 Not Found\r\n\r\n{digest}"),
            format!("HTTP/1.1 200 OK\r\n{digest}"),
        ] {
            assert_eq!(read_answer(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn a_listener_that_never_answers_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let error = ask(address, Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
