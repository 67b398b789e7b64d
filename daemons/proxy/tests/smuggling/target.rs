//! A target that keeps every byte that it gets, and answers as it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::message::{Message, Otherwise, Reading};
use crate::proxies::{PATIENCE, SILENCE};

/// What to answer with.
type Answers = Arc<dyn Fn(&Message) -> Answer + Send + Sync>;

/// Bytes, and whether the connection stays open after them.
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) keeps: bool,
}

/// A target for one case.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// What came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<Message>,
    /// What was not to the letter.
    pub(crate) wrong: Vec<String>,
}

impl Target {
    pub(crate) fn start(answers: impl Fn(&Message) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (shared, answers): (_, Answers) = (Arc::clone(&seen), Arc::new(answers));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (shared, answers) = (Arc::clone(&shared), Arc::clone(&answers));
                // Proxies break off on purpose; what counts is what came.
                thread::spawn(move || serve(stream.unwrap(), &shared, &answers));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

/// An ordinary answer.
pub(crate) fn fine(_: &Message) -> Answer {
    Answer { bytes: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(), keeps: true }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Seen>, answers: &Answers) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    let mut space = [0; 16384];
    loop {
        match Message::read(&bytes, Otherwise::Nothing) {
            Ok((message, length)) => {
                bytes.drain(..length);
                let answer = answers(&message);
                seen.lock().unwrap().requests.push(message);
                if stream.write_all(&answer.bytes).is_err() {
                    return;
                }
                if !answer.keeps {
                    return;
                }
            }
            Err(Reading::Incomplete) => match stream.read(&mut space) {
                Ok(0) | Err(_) => {
                    if !bytes.is_empty() {
                        seen.lock()
                            .unwrap()
                            .wrong
                            .push(format!("broken off: {:?}", String::from_utf8_lossy(&bytes)));
                    }
                    return;
                }
                Ok(count) => bytes.extend_from_slice(&space[..count]),
            },
            Err(Reading::Wrong(what)) => {
                seen.lock().unwrap().wrong.push(format!("{what} in {:?}", String::from_utf8_lossy(&bytes)));
                return;
            }
        }
    }
}

/// Sends, and reads until the connection is over or nothing comes any more. Tells whether it is over.
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_nodelay(true).unwrap();
    client.set_read_timeout(Some(SILENCE)).unwrap();
    // Refused in the middle of it, a client may find the connection reset.
    let _ = client.write_all(bytes);
    let mut received = Vec::new();
    let mut space = [0; 16384];
    loop {
        match client.read(&mut space) {
            Ok(0) => return (received, true),
            Ok(count) => received.extend_from_slice(&space[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return (received, true),
            Err(_) => return (received, false),
        }
    }
}
