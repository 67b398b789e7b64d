//! Chunks: sizes, data and what comes behind them (RFC 9112, section 7.1).

use thiserror::Error;

use crate::head::{FIELDS_MAX, HeadEnd, HeadError};
use crate::message::Field;

/// Most bytes of trailers.
pub const TRAILERS_MAX: usize = 16 * 1024;
/// Most bytes of extensions in a body. They are thrown away, and nobody sends any but to make work.
const EXTENSIONS_MAX: u32 = 16 * 1024;
/// Digits of a size; more would not fit into 64 bits.
const DIGITS_MAX: u8 = 16;
/// Largest size. Beyond it programs that count with a sign disagree.
const SIZE_MAX: u64 = i64::MAX as u64;

/// Why a body is not chunked as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// No hexadecimal number, or one that is too large.
    #[error("a chunk's size is no hexadecimal number of up to 63 bits")]
    Size,
    /// Control characters in an extension, or too much of them.
    #[error("a chunk's extension is malformed or too long")]
    Extension,
    /// A line or a chunk does not end where it should.
    #[error("a chunk does not end with CR LF")]
    End,
    /// Malformed, or longer than [`TRAILERS_MAX`].
    #[error("the trailers are malformed or too long")]
    Trailers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many digits of a size were read.
    Size(u8),
    /// White space behind the size.
    Space,
    Extension,
    /// The line feed behind a size.
    SizeEnd,
    Data,
    /// Carriage return and line feed behind data.
    DataCarriageReturn,
    DataLineFeed,
    /// Nothing of the trailers was read.
    Trailers,
    /// A carriage return, which is the end or the first byte of what is malformed.
    TrailersCarriageReturn,
    InTrailers,
    Over,
    Failed(ChunkError),
}

/// Takes data out of its chunks.
#[derive(Debug, Clone)]
pub(crate) struct Chunks {
    state: State,
    /// Of the size being read, or of data still to come.
    size: u64,
    extensions: u32,
    trailers: Option<Box<Trailers>>,
}

#[derive(Debug, Clone, Default)]
struct Trailers {
    bytes: Vec<u8>,
    end: HeadEnd,
}

impl Chunks {
    pub(crate) fn new() -> Self {
        Self { state: State::Size(0), size: 0, extensions: 0, trailers: None }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// The next piece of data: how many bytes stand before it, and how many it has. There is none when `bytes` or the
    /// body end before it. An error comes after all data before it.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<(usize, usize), ChunkError> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Data => {
                    let left = bytes.len() - at;
                    let count = usize::try_from(self.size).map_or(left, |size| size.min(left));
                    self.size -= count as u64;
                    if self.size == 0 {
                        self.state = State::DataCarriageReturn;
                    }
                    return Ok((at, count));
                }
                State::InTrailers => {
                    return self.trailers(bytes.get(at..).unwrap_or_default()).map(|count| (at + count, 0));
                }
                State::Over => break,
                State::Failed(error) => return Err(error),
                _ => match self.advance(byte) {
                    Ok(state) => self.state = state,
                    Err(error) => {
                        self.state = State::Failed(error);
                        return Err(error);
                    }
                },
            }
            // What begins trailers is read with them.
            if self.state != State::InTrailers {
                at += 1;
            }
        }
        Ok((at, 0))
    }

    fn advance(&mut self, byte: u8) -> Result<State, ChunkError> {
        match self.state {
            State::Size(digits) => match (hex(byte), byte) {
                (Some(digit), _) if digits < DIGITS_MAX => {
                    self.size = if digits == 0 { digit } else { self.size << 4 | digit };
                    if self.size > SIZE_MAX { Err(ChunkError::Size) } else { Ok(State::Size(digits + 1)) }
                }
                (None, b'\r') if digits > 0 => Ok(State::SizeEnd),
                (None, b';') if digits > 0 => Ok(State::Extension),
                (None, b' ' | b'\t') if digits > 0 => self.extension(State::Space),
                _ => Err(ChunkError::Size),
            },
            State::Space => match byte {
                b' ' | b'\t' => self.extension(State::Space),
                b';' => Ok(State::Extension),
                b'\r' => Ok(State::SizeEnd),
                _ => Err(ChunkError::Size),
            },
            State::Extension => match byte {
                b'\r' => Ok(State::SizeEnd),
                b'\t' | b' '..=b'~' | 0x80.. => self.extension(State::Extension),
                _ => Err(ChunkError::Extension),
            },
            State::SizeEnd if byte == b'\n' => Ok(if self.size == 0 { State::Trailers } else { State::Data }),
            State::DataCarriageReturn if byte == b'\r' => Ok(State::DataLineFeed),
            State::DataLineFeed if byte == b'\n' => Ok(State::Size(0)),
            State::Trailers if byte == b'\r' => Ok(State::TrailersCarriageReturn),
            State::Trailers => {
                self.trailers = Some(Box::default());
                Ok(State::InTrailers)
            }
            State::TrailersCarriageReturn if byte == b'\n' => Ok(State::Over),
            State::TrailersCarriageReturn => Err(ChunkError::Trailers),
            _ => Err(ChunkError::End),
        }
    }

    fn extension(&mut self, state: State) -> Result<State, ChunkError> {
        self.extensions += 1;
        if self.extensions > EXTENSIONS_MAX { Err(ChunkError::Extension) } else { Ok(state) }
    }

    /// Reads them as far as they go; tells how many bytes that are.
    fn trailers(&mut self, bytes: &[u8]) -> Result<usize, ChunkError> {
        let trailers = self.trailers.get_or_insert_default();
        let known = trailers.bytes.len();
        let room = TRAILERS_MAX + 1 - known;
        trailers.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let outcome = match trailers.end.find(&trailers.bytes) {
            Ok(Some(end)) if end <= TRAILERS_MAX => {
                trailers.bytes.truncate(end);
                if read(&trailers.bytes, |_| {}) { Ok(Some(end - known)) } else { Err(HeadError::Malformed) }
            }
            Ok(None) if trailers.bytes.len() <= TRAILERS_MAX => Ok(None),
            Ok(_) => Err(HeadError::TooLarge),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(Some(count)) => {
                self.state = State::Over;
                Ok(count)
            }
            Ok(None) => Ok(bytes.len()),
            Err(_) => {
                self.trailers = None;
                self.state = State::Failed(ChunkError::Trailers);
                Err(ChunkError::Trailers)
            }
        }
    }

    /// The fields behind the last chunk, once it is over.
    pub(crate) fn each_trailer(&self, with: impl FnMut(Field<'_>)) {
        if let Some(trailers) = &self.trailers
            && self.is_over()
        {
            read(&trailers.bytes, with);
        }
    }
}

/// Whether the bytes are nothing but fields and the empty line behind them.
fn read(bytes: &[u8], mut with: impl FnMut(Field<'_>)) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
    match httparse::parse_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete((length, headers))) if length == bytes.len() => {
            for header in headers {
                with((header.name, header.value));
            }
            true
        }
        _ => false,
    }
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}
