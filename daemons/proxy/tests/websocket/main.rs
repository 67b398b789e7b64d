//! WebSocket through the proxy is WebSocket without it: the same bytes, in whatever pieces, and the same end.
//!
//! The cases are those of the Autobahn test suite for clients, by its numbers, without compression (a tunnel doesn't see
//! what it carries). Each is sent to a real server twice, directly and through the proxy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test ends where its assumptions do; clippy sees that only inside test functions"
)]

mod cases;
mod frame;
mod stage;
mod text;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cases::Outcome;
use stage::{edge, played, server};

#[test]
fn every_case_goes_as_on_a_direct_connection() {
    let direct = server();
    let (_proxy, through) = edge(direct);
    let cases = cases::all();
    assert!(cases.len() > 240, "{} cases", cases.len());
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let expected = played(direct, case);
            let found = played(through, case);
            assert!(
                expected.bytes == found.bytes,
                "{}: {expected:?} directly, {found:?} through us",
                case.name
            );
            match case.outcome {
                Outcome::Messages(count) => {
                    assert_eq!(
                        (found.messages, found.close),
                        (count, Some(1000)),
                        "{}: {found:?}",
                        case.name
                    );
                }
                Outcome::Pongs(count) => {
                    assert_eq!((found.pongs, found.close), (count, Some(1000)), "{}: {found:?}", case.name);
                }
                Outcome::Closes(code) => assert_eq!(found.close, code, "{}: {found:?}", case.name),
            }
        }
    };
    thread::scope(|scope| {
        for worker in [0; 4].map(|_| scope.spawn(work)) {
            worker.join().unwrap();
        }
    });
}

#[test]
fn extensions_and_protocols_are_agreed_on_by_the_ends() {
    let direct = stage::head_server();
    let (_proxy, through) = edge(direct);
    for fields in [
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; server_max_window_bits=9, x-other\r\n",
        "Sec-WebSocket-Extensions: a\r\nSec-WebSocket-Extensions: b; c=\"d, e\"\r\n",
        "Sec-WebSocket-Protocol: chat, superchat\r\nOrigin: http://a\r\n",
    ] {
        let [expected, found] = [direct, through].map(|address| stage::agreed(address, fields));
        assert_eq!(expected, found, "{fields}");
        assert!(expected.iter().any(|line| line.contains("x-seen")), "{expected:?}");
    }
}
