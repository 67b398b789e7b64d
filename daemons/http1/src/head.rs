//! Where a head ends.

use thiserror::Error;

/// Longest head of a message, in bytes.
pub const HEAD_MAX: usize = 64 * 1024;
/// Most fields of a message.
pub const FIELDS_MAX: usize = 100;

/// Why bytes are no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeadError {
    /// It is not to the letter.
    #[error("the message is no HTTP/1.1, or not to the letter")]
    Malformed,
    /// A line feed without its carriage return. One program takes it for the end of a line, another one does not.
    #[error("a line ends with a line feed alone")]
    BareLineFeed,
    /// Longer than [`HEAD_MAX`], or more fields than [`FIELDS_MAX`].
    #[error("the head of the message is too large")]
    TooLarge,
}

/// Looks for the end of a head in bytes that come piece by piece. Each byte is looked at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeadEnd {
    /// Looked at so far.
    seen: u32,
    /// Where the line begins that is not complete.
    line: u32,
    /// Whether a line may end with a line feed alone.
    is_tolerant: bool,
}

impl HeadEnd {
    /// Of an answer. Old servers end lines with line feeds alone, and a recipient may take them as they are meant (RFC 9112,
    /// section 2.2). In a request it is no negligence, but an attempt.
    pub const fn of_answer() -> Self {
        Self { seen: 0, line: 0, is_tolerant: true }
    }

    /// Looks for the next one.
    pub const fn restart(&mut self) {
        *self = Self { seen: 0, line: 0, is_tolerant: self.is_tolerant };
    }

    /// The length of the head that `bytes` begin with, its empty line included; none when there have to be more. `bytes`
    /// are those of the last call and what came since.
    pub fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        // What begins like this won't become HTTP however long it is waited for, such as a TLS handshake.
        if bytes.first().is_some_and(|&first| !is_token(first) && !matches!(first, b'\r' | b'\n')) {
            return Err(HeadError::Malformed);
        }
        let window = bytes.get(..HEAD_MAX).unwrap_or(bytes);
        let (seen, mut begin) = (self.seen as usize, self.line as usize);
        let fresh = window.get(seen..).unwrap_or_default();
        for at in memchr::memchr_iter(b'\n', fresh).map(|at| seen + at) {
            let line = window.get(begin..at).unwrap_or_default();
            if !line.ends_with(b"\r") && !self.is_tolerant {
                return Err(HeadError::BareLineFeed);
            }
            if matches!(line, b"" | b"\r") {
                return Ok(Some(at + 1));
            }
            begin = at + 1;
        }
        // Within `HEAD_MAX`.
        self.line = u32::try_from(begin).unwrap_or(u32::MAX);
        self.seen = u32::try_from(window.len()).unwrap_or(u32::MAX);
        if window.len() >= HEAD_MAX { Err(HeadError::TooLarge) } else { Ok(None) }
    }
}

/// Whether a byte may stand in a method or a field's name (RFC 9110, section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        HeadEnd::default().find(bytes)
    }

    #[test]
    fn a_head_ends_with_an_empty_line() {
        for (bytes, end) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Ok(Some(18))),
            (b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody", Ok(Some(24))),
            (b"\r\nrest", Ok(Some(2))),
            (b"GET / HTTP/1.1\r\n", Ok(None)),
            (b"", Ok(None)),
            (b"GET / HTTP/1.1\n\n", Err(HeadError::BareLineFeed)),
            (b"GET / HTTP/1.1\r\nA: b\n\r\n", Err(HeadError::BareLineFeed)),
            (b"\n", Err(HeadError::BareLineFeed)),
            (b"\x16\x03\x01", Err(HeadError::Malformed)),
        ] {
            assert_eq!(whole(bytes), end, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn an_answer_may_have_lines_of_old() {
        for (bytes, end) in [
            (&b"HTTP/1.0 200 OK\r\n\r\nbody"[..], 19),
            (b"HTTP/1.0 200 OK\nA: b\n\nbody", 22),
            (b"HTTP/1.0 200 OK\nA: b\r\n\nbody", 23),
            (b"HTTP/1.0 200 OK\nA: b\n\r\nbody", 23),
        ] {
            assert_eq!(HeadEnd::of_answer().find(bytes), Ok(Some(end)));
            let head = &bytes[..end];
            assert_eq!(crate::Answer::parse(head, &mut crate::Space::default()).unwrap().status, 200);
        }
    }

    #[test]
    fn a_head_has_a_largest_size() {
        let mut bytes = b"GET / HTTP/1.1\r\nA: ".to_vec();
        bytes.resize(HEAD_MAX - 4, b'x');
        bytes.extend_from_slice(b"\r\n\r\n");
        assert_eq!(whole(&bytes), Ok(Some(HEAD_MAX)));
        bytes.insert(20, b'x');
        assert_eq!(whole(&bytes), Err(HeadError::TooLarge));
        assert_eq!(whole(&bytes[..HEAD_MAX - 1]), Ok(None));
    }

    proptest! {
        #[test]
        fn the_end_is_the_same_however_the_bytes_come(
            bytes in "(GET|[a-zA-Z]{0,3})( |/|:|x|\r\n|\r\n|\r\n|\r|\n){0,20}".prop_map(String::into_bytes),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let expected = whole(&bytes);
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let mut end = HeadEnd::default();
            let mut found = Ok(None);
            for cut in cuts {
                found = end.find(&bytes[..cut]);
                if found != Ok(None) {
                    break;
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
