//! HTTP/2 below its requests.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Door, PATIENCE, target};

/// Kind of a frame, and its only flag here (RFC 9113, sections 6.5 and 6.7).
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, 0], payload].concat()
}

/// Kind, flags and payload of the next frame.
fn next(stream: &mut TcpStream) -> (u8, u8, Vec<u8>) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    stream.read_exact(&mut payload).unwrap();
    (head[3], head[4], payload)
}

#[test]
fn answers_to_questions_that_nobody_asked_write_nothing_into_the_log() {
    let door = Door::new();
    let file = door.folder.path().join("routes.json");
    let target = target("one");
    fs::write(&file, format!(r#"{{"routes":[{{"host":"*","targets":["{target}"]}}]}}"#)).unwrap();
    let router = door.open_with_file(&file);
    door.wait_for("READY=1");
    let mut client = TcpStream::connect(door.address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, &[]));
    for _ in 0..100 {
        bytes.extend(frame(PING, ACK, b"unasked!"));
    }
    bytes.extend(frame(PING, 0, b"question"));
    client.write_all(&bytes).unwrap();
    while next(&mut client) != (PING, ACK, b"question".to_vec()) {}
    drop(client);
    let (status, log) = router.stop();
    assert!(status.success(), "{log}");
    assert!(!log.contains("WARN"), "{log}");
}
