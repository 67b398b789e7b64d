//! HTTP/1.1 as bytes (RFC 9112): where a message ends, what its head says, how its body is delimited. Pure: bytes go in,
//! and whatever is read comes out the same, however the bytes were cut into pieces.
//!
//! httparse reads the lines of a head. What it is lenient about is refused here: a line of a request ends with CR and LF,
//! nothing is folded, and a chunk's size is digits. What the fields mean for the next hop is decided elsewhere.
//!
//! - [`HeadEnd`] finds the end of a head, [`Request`] and [`Answer`] read it.
//! - [`Body`] takes a body out of its delimiters, [`Delimit`] puts it into others.
//! - [`write_request_line`], [`write_status_line`], [`write_field`] make heads.

mod body;
mod chunked;
mod head;
mod message;
mod write;

pub use body::{Body, BodyError, Decoded};
pub use chunked::{ChunkError, TRAILERS_MAX};
pub use head::{FIELDS_MAX, HEAD_MAX, HeadEnd, HeadError};
pub use message::{Answer, Field, Request, Space};
pub use write::{
    Delimit, write_chunk_size, write_decimal, write_field, write_request_line, write_status_line,
};
