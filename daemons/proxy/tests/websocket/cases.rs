//! The cases, by Autobahn's numbers: what is written, piece by piece, and how it ends.

use crate::frame::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close, fragments, last, part, raw};
use crate::text::{INVALID, VALID};

pub(crate) struct Case {
    pub(crate) name: String,
    /// Each is a write of its own.
    pub(crate) writes: Vec<Vec<u8>>,
    pub(crate) outcome: Outcome,
}

/// What is expected of the server, wherever it is seen from.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    /// So many messages come back, and it ends in good order.
    Messages(usize),
    /// So many answers to pings, and it ends in good order.
    Pongs(usize),
    /// It closes with this code, or with none.
    Closes(Option<u16>),
}

const PROTOCOL: Outcome = Outcome::Closes(Some(1002));
const NOT_TEXT: Outcome = Outcome::Closes(Some(1007));

struct Cases(Vec<Case>);

impl Cases {
    /// In these writes, as they are.
    fn exactly(&mut self, name: impl Into<String>, writes: Vec<Vec<u8>>, outcome: Outcome) {
        self.0.push(Case { name: name.into(), writes, outcome });
    }

    /// These frames, and the client's close frame behind them.
    fn add(&mut self, name: impl Into<String>, mut writes: Vec<Vec<u8>>, outcome: Outcome) {
        writes.push(close(1000, b""));
        self.exactly(name, writes, outcome);
    }

    /// As [`Self::add`], in one piece.
    fn at_once(&mut self, name: impl Into<String>, frames: &[Vec<u8>], outcome: Outcome) {
        self.add(name, vec![frames.concat()], outcome);
    }

    /// As [`Self::add`], in pieces of this size.
    fn chopped(&mut self, name: impl Into<String>, frames: &[Vec<u8>], size: usize, outcome: Outcome) {
        let pieces = frames.concat().chunks(size).map(<[u8]>::to_vec).collect();
        self.add(name, pieces, outcome);
    }
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases = Cases(Vec::new());
    framing(&mut cases);
    pings(&mut cases);
    reserved(&mut cases);
    fragmentation(&mut cases);
    text(&mut cases);
    closing(&mut cases);
    large(&mut cases);
    cases.0
}

fn framing(cases: &mut Cases) {
    for (kind, opcode) in [(1, TEXT), (2, BINARY)] {
        for (number, size) in (1..).zip([0, 125, 126, 127, 128, 65535, 65536]) {
            let frame = last(opcode, &vec![b'*'; size]);
            cases.add(format!("1.{kind}.{number}"), vec![frame], Outcome::Messages(1));
        }
        let frame = last(opcode, &vec![b'*'; 65536]);
        cases.chopped(format!("1.{kind}.8"), &[frame], 997, Outcome::Messages(1));
    }
}

fn pings(cases: &mut Cases) {
    let full = [0xfe; 125];
    cases.add("2.1", vec![last(PING, b"")], Outcome::Pongs(1));
    cases.add("2.2", vec![last(PING, b"Hello, world!")], Outcome::Pongs(1));
    cases.add("2.3", vec![last(PING, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff")], Outcome::Pongs(1));
    cases.add("2.4", vec![last(PING, &full)], Outcome::Pongs(1));
    cases.add("2.5", vec![last(PING, &[0xfe; 126])], PROTOCOL);
    cases.chopped("2.6", &[last(PING, &full)], 1, Outcome::Pongs(1));
    cases.add("2.7", vec![last(PONG, b"")], Outcome::Pongs(0));
    cases.add("2.8", vec![last(PONG, b"unsolicited pong payload")], Outcome::Pongs(0));
    cases.add("2.9", vec![last(PONG, b"unsolicited pong payload"), last(PING, b"ping")], Outcome::Pongs(1));
    let ten: Vec<_> = (0..10).map(|number| last(PING, format!("payload-{number}").as_bytes())).collect();
    cases.add("2.10", ten.clone(), Outcome::Pongs(10));
    cases.chopped("2.11", &ten, 1, Outcome::Pongs(10));
}

fn reserved(cases: &mut Cases) {
    for bits in 1..8_u8 {
        let wrong = raw(0x80 | bits << 4 | TEXT, b"Hello, world!");
        let frames = [last(TEXT, b"Hello, world!"), wrong, last(PING, b"")];
        cases.at_once(format!("3.{bits} at once"), &frames, PROTOCOL);
        cases.chopped(format!("3.{bits} octet by octet"), &frames, 1, PROTOCOL);
    }
    for (kind, opcodes) in [(1, 3..=7), (2, 11..=15)] {
        for (number, opcode) in (1..).zip(opcodes) {
            let payload: &[u8] = if number % 2 == 0 { b"reserved opcode payload" } else { b"" };
            let frames = [last(TEXT, b"Hello, world!"), last(opcode, payload), last(PING, b"")];
            cases.chopped(format!("4.{kind}.{number}"), &frames, 1, PROTOCOL);
        }
    }
}

fn fragmentation(cases: &mut Cases) {
    let [one, two] = [part(TEXT, b"fragment1"), last(CONTINUATION, b"fragment2")];
    let ping = last(PING, b"ping payload");
    cases.add("5.1", vec![part(PING, b"fragment1"), two.clone()], PROTOCOL);
    cases.add("5.2", vec![part(PONG, b"fragment1"), two.clone()], PROTOCOL);
    cases.add("5.3", vec![one.clone(), two.clone()], Outcome::Messages(1));
    cases.at_once("5.4", &[one.clone(), two.clone()], Outcome::Messages(1));
    cases.chopped("5.5", &[one.clone(), two.clone()], 1, Outcome::Messages(1));
    let between = [one.clone(), ping.clone(), two.clone()];
    cases.add("5.6", between.to_vec(), Outcome::Pongs(1));
    cases.at_once("5.7", &between, Outcome::Pongs(1));
    cases.chopped("5.8", &between, 1, Outcome::Pongs(1));
    let orphans = [
        ("5.9", [last(CONTINUATION, b"non-continuation payload"), last(TEXT, b"Hello, world!")]),
        ("5.12", [part(CONTINUATION, b"non-continuation payload"), last(TEXT, b"Hello, world!")]),
    ];
    for (name, frames) in orphans {
        cases.add(name, frames.to_vec(), PROTOCOL);
        cases.at_once(format!("{name} at once"), &frames, PROTOCOL);
        cases.chopped(format!("{name} octet by octet"), &frames, 1, PROTOCOL);
    }
    let after = [one.clone(), two.clone(), part(CONTINUATION, b"fragment3"), last(TEXT, b"fragment4")];
    cases.at_once("5.15", &after, PROTOCOL);
    let wrong =
        [part(CONTINUATION, b"fragment1"), part(TEXT, b"fragment2"), last(CONTINUATION, b"fragment3")];
    cases.add("5.16", [&wrong[..], &wrong[..]].concat(), PROTOCOL);
    let wrong =
        [last(CONTINUATION, b"fragment1"), part(TEXT, b"fragment2"), last(CONTINUATION, b"fragment3")];
    cases.add("5.17", [&wrong[..], &wrong[..]].concat(), PROTOCOL);
    cases.add("5.18", vec![part(TEXT, b"fragment1"), last(TEXT, b"fragment2")], PROTOCOL);
    let middle = part(CONTINUATION, b"fragment");
    let five = [one, middle.clone(), ping.clone(), middle.clone(), middle, ping, two];
    cases.add("5.19", five.to_vec(), Outcome::Pongs(2));
    cases.at_once("5.20", &five, Outcome::Pongs(2));
}

fn text(cases: &mut Cases) {
    cases.add("6.1.1", vec![last(TEXT, b"")], Outcome::Messages(1));
    let empty = [part(TEXT, b""), part(CONTINUATION, b""), last(CONTINUATION, b"")];
    cases.add("6.1.2", empty.to_vec(), Outcome::Messages(1));
    let middle = [part(TEXT, b""), part(CONTINUATION, b"middle"), last(CONTINUATION, b"")];
    cases.add("6.1.3", middle.to_vec(), Outcome::Messages(1));
    for (name, bytes) in VALID {
        cases.add(*name, vec![last(TEXT, bytes)], Outcome::Messages(1));
        cases.add(format!("{name} octet by octet"), fragments(TEXT, bytes, 1), Outcome::Messages(1));
    }
    for (name, bytes) in INVALID {
        cases.add(*name, vec![last(TEXT, bytes)], NOT_TEXT);
    }
    let (_, bytes) = INVALID[0];
    cases.add("6.3.2", fragments(TEXT, bytes, 1), NOT_TEXT);
    let whole = "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}".as_bytes();
    let fast = [part(TEXT, whole), part(CONTINUATION, b"\xf4\x90\x80\x80"), last(CONTINUATION, b"edited")];
    cases.add("6.4.1", fast.to_vec(), NOT_TEXT);
    let split =
        [part(TEXT, &[whole, b"\xf4"].concat()), part(CONTINUATION, b"\x90"), last(CONTINUATION, b"x")];
    cases.add("6.4.2", split.to_vec(), NOT_TEXT);
    cases.chopped("6.4.3", &fast, 12, NOT_TEXT);
    cases.chopped("6.4.4", &split, 1, NOT_TEXT);
}

fn closing(cases: &mut Cases) {
    let hello = last(TEXT, b"Hello World!");
    let bye = close(1000, b"");
    cases.add("7.1.1", vec![hello.clone()], Outcome::Messages(1));
    cases.exactly("7.1.2", vec![bye.clone(), bye.clone()], Outcome::Closes(Some(1000)));
    cases.exactly("7.1.3", vec![bye.clone(), last(PING, b"")], Outcome::Pongs(0));
    cases.exactly("7.1.4", vec![bye.clone(), hello], Outcome::Messages(0));
    let half = vec![part(TEXT, b"fragment1"), bye.clone(), last(CONTINUATION, b"fragment2")];
    cases.exactly("7.1.5", half, Outcome::Messages(0));
    let big = last(TEXT, &vec![b'*'; 256 << 10]);
    cases.exactly(
        "7.1.6",
        vec![big, last(TEXT, b"Hello World!"), bye, last(PING, b"")],
        Outcome::Messages(2),
    );
    cases.exactly("7.3.1", vec![last(CLOSE, b"")], Outcome::Closes(None));
    cases.exactly("7.3.2", vec![last(CLOSE, b"a")], PROTOCOL);
    cases.exactly("7.3.3", vec![close(1000, b"")], Outcome::Closes(Some(1000)));
    cases.exactly("7.3.4", vec![close(1000, b"Hello World!")], Outcome::Closes(Some(1000)));
    cases.exactly("7.3.5", vec![close(1000, &[b'*'; 123])], Outcome::Closes(Some(1000)));
    cases.exactly("7.3.6", vec![close(1000, &[b'*'; 124])], PROTOCOL);
    cases.exactly("7.5.1", vec![close(1000, INVALID[0].1)], NOT_TEXT);
    let allowed = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
    for (number, code) in (1..).zip(allowed) {
        cases.exactly(format!("7.7.{number}"), vec![close(code, b"")], Outcome::Closes(Some(code)));
    }
    for (number, code) in (1..).zip([0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999]) {
        cases.exactly(format!("7.9.{number}"), vec![close(code, b"")], PROTOCOL);
    }
}

fn large(cases: &mut Cases) {
    let one = Outcome::Messages(1);
    for (kind, opcode) in [(1, TEXT), (2, BINARY)] {
        for (number, size) in (1..).zip([64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20, 16 << 20]) {
            cases.add(format!("9.{kind}.{number}"), vec![last(opcode, &vec![b'*'; size])], one);
        }
        let payload = vec![b'*'; 1 << 20];
        for (number, size) in (1..).zip([64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20]) {
            let frames = fragments(opcode, &payload, size);
            cases.at_once(format!("9.{}.{number}", kind + 2), &frames, one);
        }
        let whole = [last(opcode, &payload)];
        for (number, size) in (1..).zip([64, 128, 256, 512, 1 << 10, 2 << 10]) {
            cases.chopped(format!("9.{}.{number}", kind + 4), &whole, size, one);
        }
        for (number, size) in (1..).zip([0, 16, 64, 256, 1 << 10, 4 << 10]) {
            let frames = vec![last(opcode, &vec![b'*'; size]); 1000];
            cases.add(format!("9.{}.{number}", kind + 6), frames, Outcome::Messages(1000));
        }
    }
    cases.at_once("10.1.1", &fragments(TEXT, &vec![b'*'; 65536], 1300), one);
}
