//! What targets send.

use std::net::SocketAddr;

use crate::case::{AnswerCase, AnswerCases, unescape};
use crate::message::{Message, Otherwise, Reading};
use crate::proxies::{Front, haproxy, in_parallel, nginx, ours};
use crate::target::{Answer, Target, exchange};

/// What a client got.
#[derive(Debug)]
struct Outcome {
    /// The status, or `cut` when the answer is not whole.
    verdict: String,
    /// The first answer that is not an interim one, where it is whole.
    answer: Option<Message>,
    /// What was not to the letter.
    wrong: Option<String>,
    /// Whether the request after it was answered, and with its own answer.
    next: Next,
    received: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Right,
    Wrong(String),
    /// The connection was over.
    None,
}

const NEXT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext";

fn outcome(front: &Front, case: &AnswerCase, number: usize) -> Outcome {
    let fields = String::from_utf8(unescape(&case.fields)).unwrap();
    let request = |method: &str, path: &str, fields: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: c{number}\r\n{fields}\r\n")
    };
    // Both at once: an answer that is longer than it says would be taken for the second one's.
    let bytes = request(&case.method, "/case", &fields) + &request("GET", "/next", "");
    let (received, ended) = exchange(front.address, bytes.as_bytes());
    read(&received, ended, case.method == "HEAD")
}

fn read(received: &[u8], ended: bool, head: bool) -> Outcome {
    let text = String::from_utf8_lossy(received).into_owned();
    let mut outcome =
        Outcome { verdict: "cut".to_owned(), answer: None, wrong: None, next: Next::None, received: text };
    let mut at = 0;
    loop {
        let rest = &received[at..];
        let line = String::from_utf8_lossy(rest.split(|&byte| byte == b'\r').next().unwrap_or_default())
            .into_owned();
        let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let bodiless =
            head && outcome.answer.is_none() || status.starts_with('1') || status == "204" || status == "304";
        let read = if bodiless {
            // Only the head, whatever it says of a body.
            rest.windows(4).position(|window| window == b"\r\n\r\n").ok_or(Reading::Incomplete).and_then(
                |end| {
                    Message::read(&without_lengths(&rest[..end + 4]), Otherwise::Nothing)
                        .map(|(message, _)| (message, end + 4))
                },
            )
        } else {
            Message::read(rest, Otherwise::ToTheEnd { ended })
        };
        match read {
            Ok((message, length)) => {
                at += length;
                if status.starts_with('1') && status != "101" {
                    continue;
                }
                outcome.verdict = status;
                let is_switch = outcome.verdict == "101";
                outcome.answer = Some(message);
                if !is_switch {
                    outcome.next = next(&received[at..]);
                }
                return outcome;
            }
            Err(Reading::Incomplete) => return outcome,
            Err(Reading::Wrong(what)) => {
                outcome.wrong = Some(what);
                return outcome;
            }
        }
    }
}

/// An answer without a body may say how long it would be.
fn without_lengths(head: &[u8]) -> Vec<u8> {
    let text: String = head.iter().map(|&byte| char::from(byte)).collect();
    let lines = text.split_inclusive("\r\n");
    let kept = lines.filter(|line| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("content-length:") && !line.starts_with("transfer-encoding:")
    });
    kept.flat_map(|line| line.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<_>>())
        .collect()
}

fn next(rest: &[u8]) -> Next {
    if rest.is_empty() {
        return Next::None;
    }
    match Message::read(rest, Otherwise::Nothing) {
        Ok((message, length))
            if message.line.contains(" 200 ") && message.body == b"next" && length == rest.len() =>
        {
            Next::Right
        }
        // Its own connection to the target failed: no answer of somebody else.
        Ok((message, _)) if message.line.contains(" 502 ") => Next::None,
        other => Next::Wrong(format!("{other:?}")),
    }
}

fn run(cases: &[AnswerCase], start: fn(&[SocketAddr]) -> Option<Front>) -> Option<Vec<Outcome>> {
    let targets: Vec<_> = cases
        .iter()
        .map(|case| {
            let (bytes, keeps) = (unescape(&case.send), case.keeps);
            Target::start(move |request| {
                if request.line.contains("/next") {
                    Answer { bytes: NEXT.to_vec(), keeps: true }
                } else {
                    Answer { bytes: bytes.clone(), keeps }
                }
            })
        })
        .collect();
    let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
    let front = start(&addresses)?;
    Some(in_parallel(cases.len(), |number| outcome(&front, &cases[number], number)))
}

#[test]
fn no_answer_is_read_in_two_ways() {
    let cases: AnswerCases = toml::from_str(include_str!("cases/answers.toml")).unwrap();
    let cases = cases.case;
    assert!(cases.len() >= 50, "{} cases", cases.len());
    let convoy = run(&cases, |targets| Some(ours(targets))).unwrap();
    let peers: Vec<_> = [("nginx", run(&cases, nginx)), ("HAProxy", run(&cases, haproxy))]
        .into_iter()
        .filter_map(|(name, outcomes)| Some((name, outcomes?)))
        .collect();
    let mut failures = Vec::new();
    for (number, (case, ours)) in cases.iter().zip(&convoy).enumerate() {
        let others: Vec<_> = peers.iter().map(|(name, outcomes)| (*name, &outcomes[number])).collect();
        println!(
            "{:<56} {:<8} {}",
            case.name,
            ours.verdict,
            others
                .iter()
                .map(|(name, other)| format!("{name} {:<8}", other.verdict))
                .collect::<Vec<_>>()
                .concat()
        );
        for problem in problems(case, ours, &others) {
            failures.push(format!("{}: {problem}", case.name));
        }
    }
    assert!(failures.is_empty(), "{} problems:\n{}", failures.len(), failures.join("\n"));
}

fn body(outcome: &Outcome) -> Option<String> {
    outcome.answer.as_ref().map(|answer| String::from_utf8_lossy(&answer.body).into_owned())
}

fn is_good(outcome: &Outcome) -> bool {
    !matches!(outcome.verdict.as_str(), "cut" | "502" | "500")
}

fn problems(case: &AnswerCase, ours: &Outcome, others: &[(&str, &Outcome)]) -> Vec<String> {
    let mut problems = Vec::new();
    if ours.verdict != case.ours {
        problems.push(format!("{} instead of {}: {:?}", ours.verdict, case.ours, ours.received));
    }
    if let Some(wrong) = &ours.wrong {
        problems.push(format!("the client got {wrong} in {:?}", ours.received));
    }
    if let Some(expected) = &case.body
        && body(ours).as_ref() != Some(expected)
    {
        problems.push(format!("the body {:?} instead of {expected:?}", body(ours)));
    }
    if let Next::Wrong(what) = &ours.next {
        problems.push(format!("the request after it got {what} in {:?}", ours.received));
    }
    for name in &case.without {
        if ours.answer.as_ref().is_some_and(|answer| answer.field(name).is_some()) {
            problems.push(format!("the client got {name}"));
        }
    }
    if !is_good(ours) || others.is_empty() {
        return problems;
    }
    let different: Vec<_> = others
        .iter()
        .filter(|(_, other)| is_good(other) && (other.verdict != ours.verdict || body(other) != body(ours)))
        .map(|(name, other)| format!("{name} gives {} {:?}", other.verdict, body(other)))
        .collect();
    match (&case.differs, different.is_empty()) {
        (None, false) => {
            problems.push(format!("ours {} {:?}, but {}", ours.verdict, body(ours), different.join(", ")));
        }
        (Some(why), true) => problems.push(format!("nobody differs, so there is nothing to explain: {why}")),
        _ => {}
    }
    let alone = others.len() > 1 && others.iter().all(|(_, other)| !is_good(other));
    match (&case.alone, alone) {
        (None, true) => problems.push("both others refuse it".to_owned()),
        (Some(why), false) => problems.push(format!("it is not passed by us alone: {why}")),
        _ => {}
    }
    problems
}
