//! What clients send.

use crate::case::{RequestCase, RequestCases, unescape};
use crate::proxies::{Front, haproxy, in_parallel, nginx, ours};
use crate::target::{Seen, Target, exchange, fine};

/// What a proxy made of a case.
#[derive(Debug)]
struct Outcome {
    /// `pass`, `closed`, `waits` or the status of the first answer.
    verdict: String,
    seen: Seen,
    answers: String,
}

impl Outcome {
    fn passes(&self) -> bool {
        self.verdict == "pass"
    }

    /// Method, target and body of each request, as the target saw it.
    fn requests(&self) -> Vec<String> {
        self.seen
            .requests
            .iter()
            .map(|request| {
                let line = request.line.rsplit_once(" HTTP/1.").map_or(&*request.line, |(line, _)| line);
                let body = String::from_utf8_lossy(&request.body).into_owned();
                if body.is_empty() { line.to_owned() } else { format!("{line} [{body}]") }
            })
            .collect()
    }
}

fn outcome(front: &Front, target: &Target, bytes: &[u8]) -> Outcome {
    let (received, ended) = exchange(front.address, bytes);
    let answers = String::from_utf8_lossy(&received).into_owned();
    let seen = target.seen();
    let status = answers.split(' ').nth(1).filter(|_| answers.starts_with("HTTP/1.")).map(str::to_owned);
    let verdict = if seen.requests.is_empty() {
        status.unwrap_or_else(|| if ended { "closed" } else { "waits" }.to_owned())
    } else {
        "pass".to_owned()
    };
    Outcome { verdict, seen, answers }
}

/// Runs all cases through a proxy, each with a target of its own, so that nothing of one is seen in another.
fn run(cases: &[RequestCase], start: fn(&[std::net::SocketAddr]) -> Option<Front>) -> Option<Vec<Outcome>> {
    let targets: Vec<_> = cases.iter().map(|_| Target::start(fine)).collect();
    let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
    let front = start(&addresses)?;
    Some(in_parallel(cases.len(), |number| {
        let bytes = unescape(&cases[number].send.replace("HOST", &format!("c{number}")));
        outcome(&front, &targets[number], &bytes)
    }))
}

#[test]
fn no_request_is_read_in_two_ways() {
    let cases: RequestCases = toml::from_str(include_str!("cases/requests.toml")).unwrap();
    let cases = cases.case;
    assert!(cases.len() >= 100, "{} cases", cases.len());
    let convoy = run(&cases, |targets| Some(ours(targets))).unwrap();
    let peers: Vec<_> = [("nginx", run(&cases, nginx)), ("HAProxy", run(&cases, haproxy))]
        .into_iter()
        .filter_map(|(name, outcomes)| Some((name, outcomes?)))
        .collect();
    let mut failures = Vec::new();
    for (number, (case, ours)) in cases.iter().zip(&convoy).enumerate() {
        let others: Vec<_> = peers.iter().map(|(name, outcomes)| (*name, &outcomes[number])).collect();
        println!(
            "{:<44} {:<8} {}",
            case.name,
            ours.verdict,
            others
                .iter()
                .map(|(name, other)| format!("{name} {:<8}", other.verdict))
                .collect::<Vec<_>>()
                .concat()
        );
        for problem in problems(number, case, ours, &others) {
            failures.push(format!("{}: {problem}", case.name));
        }
    }
    assert!(failures.is_empty(), "{} problems:\n{}", failures.len(), failures.join("\n"));
}

fn problems(number: usize, case: &RequestCase, ours: &Outcome, others: &[(&str, &Outcome)]) -> Vec<String> {
    let mut problems = Vec::new();
    if ours.verdict != case.ours {
        problems.push(format!(
            "{} instead of {}: {:?} {:?}",
            ours.verdict,
            case.ours,
            ours.requests(),
            ours.answers
        ));
    }
    let expected: Vec<_> = case
        .sees
        .iter()
        .map(|seen| String::from_utf8(unescape(&seen.replace("HOST", &format!("c{number}")))).unwrap())
        .collect();
    if ours.requests() != expected {
        problems.push(format!("the target saw {:?} instead of {expected:?}", ours.requests()));
    }
    // What we pass on is well-formed to the letter, whatever came in. A request that is refused in its middle breaks off.
    for wrong in ours.seen.wrong.iter().filter(|wrong| !wrong.starts_with("broken off")) {
        problems.push(format!("the target got {wrong}"));
    }
    for request in &ours.seen.requests {
        let hosts = request.fields.iter().filter(|(name, _)| name == "host").count();
        if hosts != 1 {
            problems.push(format!("the target got {hosts} hosts: {request:?}"));
        }
    }
    if !ours.passes() || others.is_empty() {
        return problems;
    }
    let different: Vec<_> = others
        .iter()
        .filter(|(_, other)| other.passes() && other.requests() != ours.requests())
        .map(|(name, other)| format!("{name} passes {:?}", other.requests()))
        .collect();
    match (&case.differs, different.is_empty()) {
        (None, false) => problems.push(format!("ours {:?}, but {}", ours.requests(), different.join(", "))),
        (Some(why), true) => problems.push(format!("nobody differs, so there is nothing to explain: {why}")),
        _ => {}
    }
    let alone = others.len() > 1 && others.iter().all(|(_, other)| !other.passes());
    match (&case.alone, alone) {
        (None, true) => problems.push("both others refuse it".to_owned()),
        (Some(why), false) => problems.push(format!("it is not passed by us alone: {why}")),
        _ => {}
    }
    problems
}
