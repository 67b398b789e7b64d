//! Bodies, out of their delimiters.

use std::ops::Range;

use thiserror::Error;

use crate::chunked::{ChunkError, Chunks};
use crate::message::Field;

/// Why a body is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BodyError {
    /// Its chunks are malformed.
    #[error(transparent)]
    Chunks(#[from] ChunkError),
    /// The connection was over before it.
    #[error("the body breaks off")]
    BreaksOff,
}

/// How a body is delimited, and how much of it was read.
#[derive(Debug, Clone)]
pub struct Body(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// So many bytes are still to come.
    Length(u64),
    Chunked(Box<Chunks>),
    ToTheEnd {
        over: bool,
    },
}

/// What was read of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// So many bytes are done with.
    pub taken: usize,
    /// Where among them the data is now; in one piece.
    pub data: Range<usize>,
}

impl Body {
    /// No body.
    pub const fn none() -> Self {
        Self(Kind::Length(0))
    }

    /// A body of so many bytes.
    pub const fn of_length(length: u64) -> Self {
        Self(Kind::Length(length))
    }

    /// A body in chunks.
    pub fn chunked() -> Self {
        Self(Kind::Chunked(Box::new(Chunks::new())))
    }

    /// A body that is over when its connection is.
    pub const fn to_the_end() -> Self {
        Self(Kind::ToTheEnd { over: false })
    }

    /// Takes data out of what came. Data of several chunks is moved together, over what stood between them, so that it
    /// can be passed on in one go. An error comes after all data before it.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, BodyError> {
        match &mut self.0 {
            Kind::Length(left) => {
                let count = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= count as u64;
                Ok(Decoded { taken: count, data: 0..count })
            }
            Kind::ToTheEnd { .. } => Ok(Decoded { taken: bytes.len(), data: 0..bytes.len() }),
            Kind::Chunked(chunks) => unpack(chunks, bytes),
        }
    }

    /// The connection is over.
    pub fn end(&mut self) -> Result<(), BodyError> {
        if let Kind::ToTheEnd { over } = &mut self.0 {
            *over = true;
        }
        if self.is_over() { Ok(()) } else { Err(BodyError::BreaksOff) }
    }

    /// Whether all of it was read.
    pub fn is_over(&self) -> bool {
        match &self.0 {
            Kind::Length(left) => *left == 0,
            Kind::Chunked(chunks) => chunks.is_over(),
            Kind::ToTheEnd { over } => *over,
        }
    }

    /// The fields behind a body that is over.
    pub fn each_trailer(&self, with: impl FnMut(Field<'_>)) {
        if let Kind::Chunked(chunks) = &self.0 {
            chunks.each_trailer(with);
        }
    }
}

fn unpack(chunks: &mut Chunks, bytes: &mut [u8]) -> Result<Decoded, BodyError> {
    let mut decoded = Decoded { taken: 0, data: 0..0 };
    while decoded.taken < bytes.len() && !chunks.is_over() {
        let rest = bytes.get(decoded.taken..).unwrap_or_default();
        let (skipped, count) = match chunks.next(rest) {
            Ok(found) => found,
            // It is remembered, and told when the data before it was taken.
            Err(_) if !decoded.data.is_empty() => break,
            Err(error) => return Err(error.into()),
        };
        let from = decoded.taken + skipped;
        decoded.taken = from + count;
        if count == 0 {
            continue;
        }
        if decoded.data.is_empty() {
            decoded.data = from..decoded.taken;
        } else {
            bytes.copy_within(from..decoded.taken, decoded.data.end);
            decoded.data.end += count;
        }
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Read = (Vec<u8>, Vec<(String, Vec<u8>)>, Result<Option<usize>, BodyError>);

    /// Data, trailers, and how many bytes the body has, none when it is not over.
    fn read(mut body: Body, bytes: &[u8], cuts: &[usize]) -> Read {
        let (mut data, mut at) = (Vec::new(), 0);
        let mut outcome = Ok(None);
        'cuts: for &cut in cuts {
            let mut piece = bytes[at..cut].to_vec();
            while !piece.is_empty() {
                match body.decode(&mut piece) {
                    Ok(decoded) => {
                        data.extend_from_slice(&piece[decoded.data.clone()]);
                        at += decoded.taken;
                        piece.drain(..decoded.taken);
                        if body.is_over() {
                            outcome = Ok(Some(at));
                            break 'cuts;
                        }
                    }
                    Err(error) => {
                        outcome = Err(error);
                        break 'cuts;
                    }
                }
            }
        }
        let mut trailers = Vec::new();
        body.each_trailer(|(name, value)| trailers.push((name.to_owned(), value.to_vec())));
        (data, trailers, outcome)
    }

    fn chunks(text: &str) -> Read {
        read(Body::chunked(), text.as_bytes(), &[text.len()])
    }

    #[test]
    fn data_is_taken_out_of_its_chunks() {
        for (text, data, length) in [
            ("3\r\nabc\r\n0\r\n\r\n", "abc", 13),
            ("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET /", "abcde", 20),
            ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789", 20),
            ("0\r\n\r\n", "", 5),
            ("3;a=\"b\";c\r\nabc\r\n0;x\r\n\r\n", "abc", 23),
            ("3 \t;a\r\nabc\r\n000\r\n\r\n", "abc", 19),
            ("0000003\r\nabc\r\n0\r\n\r\n", "abc", 19),
        ] {
            assert_eq!(chunks(text), (data.as_bytes().to_vec(), vec![], Ok(Some(length))), "{text:?}");
        }
    }

    #[test]
    fn trailers_are_kept() {
        let (data, trailers, outcome) = chunks("1\r\na\r\n0\r\nX-T: 1\r\nY:\r\n\r\nrest");
        assert_eq!((data, outcome), (b"a".to_vec(), Ok(Some(23))));
        assert_eq!(trailers, [("X-T".to_owned(), b"1".to_vec()), ("Y".to_owned(), vec![])]);
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        use ChunkError::{End, Extension, Size, Trailers};
        for (text, data, error) in [
            ("\r\nabc", "", Size),
            (";a\r\nabc", "", Size),
            ("0x3\r\nabc", "", Size),
            ("+3\r\nabc", "", Size),
            (" 3\r\nabc", "", Size),
            ("3 3\r\nabc", "", Size),
            ("3_\r\nabc", "", Size),
            ("g\r\n", "", Size),
            ("3\nabc\n0\n\n", "", Size),
            ("8000000000000000\r\n", "", Size),
            ("00000000000000003\r\nabc", "", Size),
            ("3;a\nabc\r\n", "", Extension),
            ("3;a\rb\r\nabc\r\n", "", End),
            ("3;a\0\r\nabc\r\n", "", Extension),
            ("3\rabc", "", End),
            ("3\r\nabcd\r\n", "abc", End),
            ("3\r\nabc\n0\r\n\r\n", "abc", End),
            ("3\r\nabc\rx", "abc", End),
            ("3\r\nabc\r\n\r\n", "abc", Size),
            ("1\r\na\r\n0\r\n\rx", "a", Trailers),
            ("1\r\na\r\n0\r\n\n", "a", Trailers),
            ("1\r\na\r\n0\r\nX: y\n\r\n", "a", Trailers),
            ("1\r\na\r\n0\r\nnonsense\r\n\r\n", "a", Trailers),
            ("1\r\na\r\n0\r\nX: y\r\n z\r\n\r\n", "a", Trailers),
        ] {
            assert_eq!(chunks(text), (data.as_bytes().to_vec(), vec![], Err(error.into())), "{text:?}");
        }
    }

    #[test]
    fn what_is_thrown_away_has_a_limit() {
        let long = "a".repeat(20_000);
        assert_eq!(chunks(&format!("3;{long}\r\nabc\r\n0\r\n\r\n")).2, Err(ChunkError::Extension.into()));
        let many = "1;aaaaaaaaa\r\nx\r\n".repeat(2000);
        assert_eq!(chunks(&many).2, Err(ChunkError::Extension.into()));
        assert_eq!(chunks(&format!("0\r\nX: {long}\r\n\r\n")).2, Err(ChunkError::Trailers.into()));
        let fits = "a".repeat(crate::TRAILERS_MAX - 7);
        assert_eq!(chunks(&format!("0\r\nX: {fits}\r\n\r\n")).2, Ok(Some(3 + crate::TRAILERS_MAX)));
    }

    #[test]
    fn a_length_and_an_end_delimit_too() {
        assert_eq!(read(Body::of_length(3), b"abcde", &[5]), (b"abc".to_vec(), vec![], Ok(Some(3))));
        assert_eq!(read(Body::to_the_end(), b"abc", &[1, 3]), (b"abc".to_vec(), vec![], Ok(None)));
        assert!(Body::none().is_over());
        for (mut body, outcome) in [
            (Body::none(), Ok(())),
            (Body::of_length(1), Err(BodyError::BreaksOff)),
            (Body::chunked(), Err(BodyError::BreaksOff)),
            (Body::to_the_end(), Ok(())),
        ] {
            assert_eq!(body.end(), outcome, "{body:?}");
            assert_eq!(body.is_over(), outcome.is_ok());
        }
    }

    fn chunked_bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            8 => prop::collection::vec(any::<u8>(), 1..20).prop_map(|data| {
                let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
                chunk.extend_from_slice(&data);
                chunk.extend_from_slice(b"\r\n");
                chunk
            }),
            1 => "[0-9a-fA-F ;\t]{0,4}\r?\n?".prop_map(String::into_bytes),
            2 => Just(b"3;a=b\r\nabc\r\n".to_vec()),
        ];
        let end = prop_oneof![
            4 => Just(b"0\r\n\r\n".to_vec()),
            1 => Just(b"0\r\nX-T: 1\r\n\r\nGET / HTTP/1.1\r\n".to_vec()),
            1 => "0\r\n(X: y|\r\n|\n|\r|:){0,6}".prop_map(String::into_bytes),
        ];
        (prop::collection::vec(piece, 0..8), end).prop_map(|(pieces, end)| [pieces.concat(), end].concat())
    }

    proptest! {
        #[test]
        fn a_body_is_the_same_however_its_bytes_come(
            bytes in chunked_bytes(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let whole = read(Body::chunked(), &bytes, &[bytes.len()]);
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            prop_assert_eq!(read(Body::chunked(), &bytes, &cuts), whole.clone());
            let single: Vec<_> = (0..=bytes.len()).collect();
            prop_assert_eq!(read(Body::chunked(), &bytes, &single), whole);
        }
    }
}
