//! Answers to HTTP-01, found without a lock.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// By token, with the host that it is for. Nearly always empty.
#[derive(Debug, Default)]
pub(crate) struct Answers(ArcSwap<HashMap<String, (String, Arc<str>)>>);

impl Answers {
    pub(crate) fn publish(&self, answers: HashMap<String, (String, Arc<str>)>) {
        self.0.store(Arc::new(answers));
    }

    /// The answer, for a host as it stands in a request: in any case, with or without port and final dot.
    pub(crate) fn find(&self, host: &str, token: &str) -> Option<Arc<str>> {
        let answers = self.0.load();
        let (known, answer) = answers.get(token)?;
        let host = match host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => host,
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        known.eq_ignore_ascii_case(host).then(|| Arc::clone(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_for_its_host_and_token() {
        let answers = Answers::default();
        assert_eq!(answers.find("a.example", "abc"), None);
        answers.publish(HashMap::from([("abc".to_owned(), ("a.example".to_owned(), "abc.x".into()))]));
        for (host, token, expected) in [
            ("a.example", "abc", true),
            ("A.Example.:80", "abc", true),
            ("a.example:5002", "abc", true),
            ("b.example", "abc", false),
            ("a.example", "ab", false),
            ("a.example:x", "abc", false),
            ("", "abc", false),
        ] {
            assert_eq!(answers.find(host, token).is_some(), expected, "{host} {token}");
        }
    }
}
