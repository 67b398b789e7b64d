//! A client of HTTP/2 while its request is answered.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use convoy_hygiene::{Asked, Field};
use h2::server::SendResponse;
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};

use crate::asker::{Asker, poll_body};
use crate::fields::Map;
use crate::frames::{FrameOutlet, Frames};
use crate::outlet::{BodyWriter, Failure};
use crate::reason::Reason;
use crate::source::Source;
use crate::transfer::Transfer;

/// Interim answers per request and bytes in them, as nothing tells whether the client has read those that were sent. They
/// are hints; whoever sends more of them has said enough.
const INTERIMS_MAX: u32 = 100;
const INTERIM_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Http2Turn {
    respond: SendResponse<Bytes>,
    /// Where the body of the answer goes, when its head is sent.
    answer: Option<FrameOutlet>,
    body: Frames,
    transfer: Option<Rc<Transfer>>,
    /// It sends its body only when it is told to.
    waits: bool,
    interims: u32,
    interim_bytes: usize,
}

impl Http2Turn {
    pub(crate) fn new(respond: SendResponse<Bytes>, body: Frames, transfer: Option<Rc<Transfer>>) -> Self {
        Self { respond, answer: None, body, transfer, waits: false, interims: 0, interim_bytes: 0 }
    }

    /// The client waits for a word before it sends its body.
    pub(crate) fn set_waits(&mut self, waits: bool) {
        self.waits = waits;
    }

    /// Sends the head of an answer, and its body where that is here. An error when the client has left.
    pub(crate) fn respond(&mut self, head: Response<()>, body: Ahead) -> Result<(), h2::Error> {
        let ends = matches!(body, Ahead::Nothing);
        let mut stream = self.respond.send_response(head, ends)?;
        match body {
            Ahead::Nothing => Ok(()),
            Ahead::All(body) => stream.send_data(body, true),
            Ahead::Later => {
                self.answer = Some(FrameOutlet::new(stream));
                Ok(())
            }
        }
    }

    /// Sends an answer of our own, or its head alone.
    pub(crate) fn say(&mut self, response: Response<Bytes>, head: bool, date: &str) {
        let (mut parts, body) = response.into_parts();
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        if let Ok(date) = HeaderValue::from_str(date) {
            parts.headers.insert(DATE, date);
        }
        let body = if head || body.is_empty() { Ahead::Nothing } else { Ahead::All(body) };
        // A client that has left hears nothing.
        let _ = self.respond(Response::from_parts(parts, ()), body);
    }

    /// Ends the answer before its end.
    pub(crate) fn reset(&mut self, reason: h2::Reason) {
        match &mut self.answer {
            Some(answer) => answer.reset(reason),
            None => self.respond.send_reset(reason),
        }
    }

    /// Whether the client has left, as far as that is known.
    pub(crate) fn is_gone(&mut self) -> bool {
        self.poll_left(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn inform(&mut self, status: StatusCode, headers: HeaderMap) {
        if self.is_gone() {
            return;
        }
        let mut interim = Response::new(());
        *interim.status_mut() = status;
        *interim.headers_mut() = headers;
        // A client that has left hears nothing.
        let _ = self.respond.send_informational(interim);
    }
}

/// What there is of a body when its head is sent.
#[derive(Debug)]
pub(crate) enum Ahead {
    /// There is none.
    Nothing,
    All(Bytes),
    /// It comes.
    Later,
}

impl Asker for Http2Turn {
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.answer {
            Some(answer) => answer.poll_refused(cx),
            None => self.respond.poll_reset(cx).map(drop),
        }
    }

    fn poll_told(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut impl BodyWriter,
    ) -> Poll<Result<(), Failure<Reason>>> {
        let passed = ready!(poll_body(cx, to, &mut self.body, self.transfer.as_deref()));
        // A body that breaks off because the client takes its request back: there is nobody to answer.
        if matches!(passed, Err(Failure::Source(Reason::ClientBody))) && self.poll_left(cx).is_ready() {
            return Poll::Ready(Err(Failure::Source(Reason::ClientClosed)));
        }
        Poll::Ready(passed)
    }

    fn poll_answer<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut S,
    ) -> Poll<Result<(), Failure<S::Error>>> {
        match &mut self.answer {
            Some(answer) => answer.poll_pass(cx, from),
            None => Poll::Ready(Ok(())),
        }
    }

    fn passed(&self) -> u64 {
        self.answer.as_ref().map_or(0, FrameOutlet::passed)
    }

    fn invite(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.inform(StatusCode::CONTINUE, HeaderMap::new());
        }
    }

    fn interim<'f>(&mut self, status: u16, _: &str, fields: impl Iterator<Item = Field<'f>> + Clone) {
        let checked = convoy_hygiene::Answer::check(status, Version::HTTP_11, fields, Asked::default());
        let (Ok(checked), Ok(status)) = (checked, StatusCode::from_u16(status)) else { return };
        let (mut headers, elsewhere) = (HeaderMap::new(), Bytes::new());
        checked.pass(&mut Map { headers: &mut headers, head: &elsewhere });
        self.interims += 1;
        self.interim_bytes +=
            headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
        if self.interims <= INTERIMS_MAX && self.interim_bytes <= INTERIM_BYTES_MAX {
            self.inform(status, headers);
        }
    }
}
