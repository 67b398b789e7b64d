//! HTTP/1: it is read the same however its bytes come, and what is passed on of it means the same to a strict reader.

#![no_main]

use convoy_http1::{Answer, Body, HeadEnd, Request, Space, write_chunk_size, write_field, write_request_line};
use convoy_hygiene::{Asked, Length, Origin, Sink, Survey, Target};
use http::Version;
use libfuzzer_sys::fuzz_target;

struct Lines(Vec<u8>);

impl Sink for Lines {
    fn put(&mut self, name: &str, value: &[u8]) {
        write_field(&mut self.0, (name, value));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, bytes)) = data.split_first() else { return };
    let cut = usize::from(cut) % (bytes.len() + 1);
    for end in [HeadEnd::default(), HeadEnd::of_answer()] {
        let (mut whole, mut halves) = (end, end);
        let length = whole.find(bytes);
        let first = halves.find(&bytes[..cut]);
        assert_eq!(if first == Ok(None) { halves.find(bytes) } else { first }, length);
        let Ok(Some(length)) = length else { continue };
        let (head, rest) = bytes.split_at(length);
        request(head, rest, cut);
        answer(head, rest, cut);
    }
});

fn request(head: &[u8], rest: &[u8], cut: usize) {
    let mut space = Space::default();
    let Ok(request) = Request::parse(head, &mut space) else { return };
    let survey = Survey::of(request.fields());
    let target = Target::Line(request.target);
    let Ok(checked) = convoy_hygiene::Request::check(request.method, target, request.version, &survey) else { return };
    let query = checked.query.map(|query| format!("?{query}")).unwrap_or_default();
    let mut out = Lines(Vec::new());
    write_request_line(&mut out.0, checked.method, &[checked.path, &query]);
    out.put("host", checked.authority.as_bytes());
    let origin = Origin { address: "192.0.2.1", trusted: cut % 2 == 0, scheme: "http", port: "80" };
    checked.pass(&mut out, &origin, b"id", true, checked.websocket);
    match checked.length {
        Length::None => {}
        Length::Exactly(length) => out.put("content-length", length.to_string().as_bytes()),
        Length::Unknown => out.put("transfer-encoding", b"chunked"),
    }
    out.0.extend_from_slice(b"\r\n");

    assert_eq!(HeadEnd::default().find(&out.0), Ok(Some(out.0.len())));
    let mut space = Space::default();
    // Our own fields may be too many for it, and nothing else wrong.
    let Ok(again) = Request::parse(&out.0, &mut space) else {
        assert!(request.fields().count() > 80);
        return;
    };
    let survey = Survey::of(again.fields());
    let target = Target::Line(again.target);
    let again = convoy_hygiene::Request::check(again.method, target, Version::HTTP_11, &survey).unwrap();
    assert_eq!((again.method, again.authority), (checked.method, checked.authority));
    assert_eq!((again.path, again.query), (checked.path, checked.query));
    assert_eq!((again.length, again.websocket), (checked.length, checked.websocket));
    match checked.length {
        Length::None => {}
        Length::Exactly(length) => body(|| Body::of_length(length), rest, cut),
        Length::Unknown => body(Body::chunked, rest, cut),
    }
}

fn answer(head: &[u8], rest: &[u8], cut: usize) {
    let mut space = Space::default();
    let Ok(answer) = Answer::parse(head, &mut space) else { return };
    let asked = Asked { head: false, websocket: cut % 2 == 0 };
    let fields = answer.fields();
    let Ok(checked) = convoy_hygiene::Answer::check(answer.status, answer.version, fields, asked) else { return };
    let mut out = Lines(Vec::new());
    convoy_http1::write_status_line(&mut out.0, answer.status, answer.reason);
    checked.pass(&mut out);
    out.0.extend_from_slice(b"\r\n");
    assert_eq!(HeadEnd::default().find(&out.0), Ok(Some(out.0.len())));
    let mut space = Space::default();
    assert_eq!(Answer::parse(&out.0, &mut space).unwrap().status, answer.status);
    if checked.length == convoy_hygiene::AnswerLength::Chunked {
        body(Body::chunked, rest, cut);
    }
}

/// Its data, and how many bytes it has where it is over.
fn read(mut body: Body, bytes: &[u8], cut: usize) -> (Vec<u8>, Result<Option<usize>, convoy_http1::BodyError>) {
    let (mut data, mut at) = (Vec::new(), 0);
    for end in [cut.min(bytes.len()), bytes.len()] {
        while at < end && !body.is_over() {
            let mut piece = bytes[at..end].to_vec();
            match body.decode(&mut piece) {
                Ok(decoded) => {
                    data.extend_from_slice(&piece[decoded.data]);
                    at += decoded.taken;
                }
                Err(error) => return (data, Err(error)),
            }
        }
    }
    (data, Ok(body.is_over().then_some(at)))
}

fn body(new: impl Fn() -> Body, bytes: &[u8], cut: usize) {
    let whole = read(new(), bytes, 0);
    assert_eq!(read(new(), bytes, cut), whole);
    let (data, outcome) = whole;
    if let Ok(Some(_)) = outcome {
        let mut chunks = Vec::new();
        if !data.is_empty() {
            write_chunk_size(&mut chunks, data.len());
            chunks.extend_from_slice(&data);
            chunks.extend_from_slice(b"\r\n");
        }
        write_chunk_size(&mut chunks, 0);
        chunks.extend_from_slice(b"\r\n");
        let length = chunks.len();
        assert_eq!(read(Body::chunked(), &chunks, cut), (data, Ok(Some(length))));
    }
}
