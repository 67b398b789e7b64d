//! Instances of an app: HTTP servers that answer with their name.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// One instance on a port of its own; gone when dropped, with its port and all its connections.
pub(crate) struct Instance {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Instance {
    pub(crate) fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let (name, flag) = (name.to_owned(), Arc::clone(&ended));
        let acceptor = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                let (name, flag) = (name.clone(), Arc::clone(&flag));
                std::thread::spawn(move || serve(&stream.unwrap(), &name, &flag));
            }
        });
        Self { address, ended, acceptor: Some(acceptor) }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the acceptor, which then closes the port.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Answers requests until the client or the instance goes. Headers of interest come back in the body.
fn serve(stream: &TcpStream, name: &str, ended: &AtomicBool) {
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(0) => return,
                Ok(_) if line == "\r\n" => break,
                Err(error) if error.kind() != ErrorKind::WouldBlock => return,
                Err(_) if head.is_empty() && ended.load(Ordering::SeqCst) => return,
                Ok(_) | Err(_) => head.push_str(&line),
            }
        }
        let length = header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        // Gone is gone, as with a process that was killed: kept connections too.
        if ended.load(Ordering::SeqCst) {
            return;
        }
        let answer = format!("{name}\n{head}");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
        if (&*stream).write_all((head + &answer).as_bytes()).is_err() {
            return;
        }
    }
}

/// The value of a header in a head.
pub(crate) fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}
