//! Answers before the answer (RFC 9110, section 15.2).

use crate::support::{Backend, Edge, PATIENCE};

/// Sends hints, and the answer when it is told to.
fn hinting() -> (Backend, std::sync::mpsc::Sender<()>) {
    let (sender, go_on) = std::sync::mpsc::channel::<()>();
    let go_on = std::sync::Mutex::new(go_on);
    let backend = Backend::start(move |peer| {
        while let Some(head) = peer.head()? {
            peer.body(&head)?;
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")?;
            peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nConnection: x\r\nX: y\r\n\r\n")?;
            go_on.lock().unwrap().recv_timeout(PATIENCE).map_err(std::io::Error::other)?;
            peer.reply("ok")?;
        }
        Ok(())
    });
    (backend, sender)
}

#[test]
fn hints_reach_the_client_before_the_answer() {
    let (backend, sender) = hinting();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    for round in 0..3 {
        let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab");
        assert_eq!(answer.status, 102, "round {round}: nobody asked for a 100");
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.field("link")), (103, Some("</x>")));
        assert_eq!((answer.field("x"), answer.field("connection")), (None, None), "{}", answer.head);
        sender.send(()).unwrap();
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    }
    assert_eq!(backend.connections(), 1, "the connection was in step all the time");
}

#[test]
fn who_asks_first_gets_one_word_and_not_two() {
    let (backend, sender) = hinting();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    let ask = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(client.ask(ask).status, 100);
    assert_eq!(client.ask("ab").status, 102);
    assert_eq!(client.answer(false).status, 103);
    sender.send(()).unwrap();
    assert_eq!(client.answer(false).status, 200);
}

#[test]
fn a_client_that_does_not_know_them_gets_none() {
    let (backend, sender) = hinting();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    sender.send(()).unwrap();
    let answer = edge.client().ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
}

#[test]
fn hints_are_no_answer_however_many_come() {
    let backend = Backend::start(|peer| {
        peer.head()?;
        loop {
            peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")?;
        }
    });
    let mut settings = convoy_proxy::Settings { threads: 1, ..convoy_proxy::Settings::default() };
    settings.timeouts.first_byte = std::time::Duration::from_millis(300);
    let edge = Edge::with(settings, &[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let last = loop {
        let answer = client.answer(false);
        if answer.status != 103 {
            break answer;
        }
    };
    assert_eq!(last.status, 504);
}
