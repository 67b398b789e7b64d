//! Where fields go that pass: into bytes for HTTP/1, into a map for HTTP/2, and by what a rule wants on the way.

use bytes::Bytes;
use convoy_http1::write_field;
use convoy_hygiene::{Field, Sink};
use convoy_routing::FieldRules;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The fields of an HTTP/2 message, as those of HTTP/1 come.
pub(crate) fn listed(headers: &HeaderMap) -> Vec<Field<'_>> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

/// As lines.
#[derive(Debug)]
pub(crate) struct Lines<'a>(pub(crate) &'a mut Vec<u8>);

impl Sink for Lines<'_> {
    fn put(&mut self, name: &str, value: &[u8]) {
        write_field(self.0, (name, value));
    }
}

/// As a map.
#[derive(Debug)]
pub(crate) struct Map<'a> {
    pub(crate) headers: &'a mut HeaderMap,
    /// What the fields were read from, where it can be shared: values that lie in it are not copied.
    pub(crate) head: &'a Bytes,
}

impl Map<'_> {
    fn value(&self, value: &[u8]) -> Option<HeaderValue> {
        let (head, place) = (self.head.as_ptr_range(), value.as_ptr_range());
        if head.start <= place.start && place.end <= head.end {
            return HeaderValue::from_maybe_shared(self.head.slice_ref(value)).ok();
        }
        HeaderValue::from_bytes(value).ok()
    }
}

impl Sink for Map<'_> {
    fn put(&mut self, name: &str, value: &[u8]) {
        // What a parser let through is a name and a value here as well.
        if let (Ok(name), Some(value)) = (HeaderName::from_bytes(name.as_bytes()), self.value(value)) {
            self.headers.append(name, value);
        }
    }
}

/// Takes out and puts in what a rule wants.
#[derive(Debug)]
pub(crate) struct Ruled<'r, S> {
    sink: S,
    rules: Option<&'r FieldRules>,
    /// Put in behind the rest, whatever was there and whatever the rule says.
    last: Option<(&'r HeaderName, &'r HeaderValue)>,
}

impl<'r, S: Sink> Ruled<'r, S> {
    pub(crate) fn new(sink: S, rules: Option<&'r FieldRules>) -> Self {
        Self { sink, rules: rules.filter(|rules| !rules.is_empty()), last: None }
    }

    /// Puts in this one, whatever was there.
    pub(crate) fn replace(&mut self, field: Option<(&'r HeaderName, &'r HeaderValue)>) {
        self.last = field;
    }

    fn is_replaced(&self, name: &str) -> bool {
        self.last.is_some_and(|(last, _)| last.as_str().eq_ignore_ascii_case(name))
    }

    /// All fields were put; those of the rule come behind them.
    pub(crate) fn finish(mut self) -> S {
        for (name, value) in self.rules.into_iter().flat_map(FieldRules::own) {
            if !self.is_replaced(name.as_str()) {
                self.sink.put(name.as_str(), value.as_bytes());
            }
        }
        if let Some((name, value)) = self.last {
            self.sink.put(name.as_str(), value.as_bytes());
        }
        self.sink
    }
}

impl<S: Sink> Sink for Ruled<'_, S> {
    fn put(&mut self, name: &str, value: &[u8]) {
        if self.rules.is_none_or(|rules| !rules.takes_out(name)) && !self.is_replaced(name) {
            self.sink.put(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_the_fields_wherever_they_lie() {
        let head = Bytes::from_static(b"X-A: one");
        let mut headers = HeaderMap::new();
        let mut map = Map { headers: &mut headers, head: &head };
        map.put("X-A", &head[5..]);
        map.put("x-a", b"two");
        map.put("x-b", b"");
        let values: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(values, [("x-a", &b"one"[..]), ("x-a", b"two"), ("x-b", b"")]);
    }

    #[test]
    fn a_rule_takes_out_and_puts_in() {
        let pair = |name: &'static str, value: &'static str| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let rules = FieldRules {
            remove: vec![HeaderName::from_static("cookie")],
            set: vec![pair("x-key", "k")],
            add: vec![pair("x-more", "2")],
        };
        let mut out = Vec::new();
        let mut sink = Ruled::new(Lines(&mut out), Some(&rules));
        for (name, value) in [("Cookie", "a=b"), ("X-Key", "mine"), ("x-more", "1")] {
            sink.put(name, value.as_bytes());
        }
        sink.finish();
        assert_eq!(out, b"x-more: 1\r\nx-key: k\r\nx-more: 2\r\n");
    }
}
