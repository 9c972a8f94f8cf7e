//! How far an ASGI response has come: waiting, started, streaming, over. One transition function an event, no Python.

use std::{
    fs::File,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use ironbridge_exchange::{
    HeaderBlock, Response, ResponseBody,
    pipe::{self, PipeError, Sender},
};

use crate::wsgi::heading::Heading;

/// A response in the making (ASGI "HTTP & WebSocket": "Response Start", "Response Body").
#[derive(Debug)]
pub struct Outgoing {
    is_head: bool,
    takes_trailers: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Nothing has been sent.
    Waiting,
    /// `http.response.start` has come. The head leaves with the first part of the body. `trailers`: they will follow it.
    Started { heading: Heading, trailers: bool },
    /// The head is out. `owed`: bytes that Content-Length promises and that have not come yet.
    Streaming { body: Sender, owed: Option<u64>, trailers: bool },
    /// The head is out, and nobody wants the body: in answer to HEAD, with 204 and with 304.
    Bodyless { trailers: bool },
    /// The body is complete; trailers have been announced. `None`: nobody wants them.
    Trailing { body: Option<Sender>, lines: HeaderBlock },
    /// The response is complete, or broken off.
    Over,
}

/// Why an event cannot be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// A second start.
    #[error("unexpected event 'http.response.start': the response has started already")]
    StartedTwice,
    /// A body without a start.
    #[error("unexpected event 'http.response.body': 'http.response.start' must come first")]
    NotStarted,
    /// Trailers that `http.response.start` did not announce, or before the end of the body.
    #[error(
        "unexpected event 'http.response.trailers': the body is not complete, or its start had no \"trailers\""
    )]
    NoTrailers,
    /// A file for the kernel to send, behind other parts of the body.
    #[error(
        "unexpected event 'http.response.pathsend': it must be the only one behind 'http.response.start'"
    )]
    NotAlone,
    /// Anything behind the end.
    #[error("unexpected event {0:?}: the response is complete already")]
    Over(&'static str),
    /// More came than was promised.
    #[error("the body is longer than its Content-Length")]
    TooLong,
    /// Less came than was promised.
    #[error("the body is shorter than its Content-Length: {0} bytes are missing")]
    TooShort(u64),
    /// Nobody is there to take it.
    #[error("the client has left")]
    ClientLeft,
}

/// What an event makes: a response to hand over, and whom to wake.
type Sent = (Option<Response>, Option<Waker>);

impl Outgoing {
    /// Nothing has been sent. `is_head`: the answer is one to HEAD; `takes_trailers`: the client has said that it does.
    pub fn new(is_head: bool, takes_trailers: bool) -> Self {
        Self { is_head, takes_trailers, stage: Stage::Waiting }
    }

    /// `http.response.start`. `trailers`: they will follow the body.
    ///
    /// # Errors
    /// [`SendError::StartedTwice`], [`SendError::Over`].
    pub fn start(&mut self, heading: Heading, trailers: bool) -> Result<(), SendError> {
        match self.stage {
            Stage::Waiting => self.stage = Stage::Started { heading, trailers },
            Stage::Over => return Err(SendError::Over("http.response.start")),
            _ => return Err(SendError::StartedTwice),
        }
        Ok(())
    }

    /// `http.response.body`.
    ///
    /// # Errors
    /// [`SendError`]. Before the head is out, the response can still become another one.
    pub fn body(&mut self, chunk: Bytes, more: bool) -> Result<Sent, SendError> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Waiting => {
                self.stage = Stage::Waiting;
                Err(SendError::NotStarted)
            }
            Stage::Started { heading, trailers } if self.is_head || heading.forbids_body() => {
                self.stage = after_bodyless(more, trailers);
                Ok((Some(self.bodyless(heading, Some(chunk.len() as u64).filter(|_| !more))), None))
            }
            Stage::Started { heading, trailers } if more || trailers && self.takes_trailers => {
                self.begin(heading, chunk, more, trailers)
            }
            Stage::Started { heading, trailers } => self.whole(heading, chunk, trailers),
            Stage::Streaming { body, owed, trailers } => {
                self.go_on(body, owed, chunk, more, trailers).map(|waker| (None, waker))
            }
            Stage::Bodyless { trailers } => {
                self.stage = after_bodyless(more, trailers);
                Ok((None, None))
            }
            stage @ Stage::Trailing { .. } => {
                self.stage = stage;
                Err(SendError::Over("http.response.body"))
            }
            Stage::Over => Err(SendError::Over("http.response.body")),
        }
    }

    /// All of the body is in a file, `len` bytes from `offset` on. `kind`: the event that says so.
    ///
    /// # Errors
    /// [`SendError`]. Before the head is out, the response can still become another one.
    pub fn file(&mut self, kind: &'static str, file: File, offset: u64, len: u64) -> Result<Sent, SendError> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Waiting => {
                self.stage = Stage::Waiting;
                Err(SendError::NotStarted)
            }
            Stage::Started { heading, .. } if self.is_head || heading.forbids_body() => {
                Ok((Some(self.bodyless(heading, Some(len))), None))
            }
            Stage::Started { mut heading, .. } => {
                heading.promise(len);
                self.check_whole(&heading, len)?;
                let body = ResponseBody::File { file, offset, len };
                Ok((Some(Response { head: heading.build(), body }), None))
            }
            Stage::Over => Err(SendError::Over(kind)),
            stage => {
                self.stage = stage;
                Err(SendError::NotAlone)
            }
        }
    }

    /// `http.response.trailers`: `lines` belong behind the body.
    ///
    /// # Errors
    /// [`SendError::NoTrailers`], [`SendError::Over`], [`SendError::ClientLeft`].
    pub fn trailers(&mut self, more_lines: &HeaderBlock, more: bool) -> Result<Option<Waker>, SendError> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Trailing { body: Some(body), .. } if body.is_closed() => Err(SendError::ClientLeft),
            Stage::Trailing { body, mut lines } => {
                more_lines.iter().for_each(|(name, value)| lines.push(name, value));
                if more {
                    self.stage = Stage::Trailing { body, lines };
                    return Ok(None);
                }
                Ok(body.and_then(|body| body.finish_with(lines)))
            }
            Stage::Over => Err(SendError::Over("http.response.trailers")),
            stage => {
                self.stage = stage;
                Err(SendError::NoTrailers)
            }
        }
    }

    /// Whether a file could be all of the body.
    pub fn takes_a_file(&self) -> bool {
        let Stage::Started { trailers, .. } = &self.stage else { return false };
        !(*trailers && self.takes_trailers)
    }

    /// Whether the head is out.
    pub fn is_begun(&self) -> bool {
        !matches!(self.stage, Stage::Waiting | Stage::Started { .. })
    }

    /// Whether the head is out and nobody wants what follows.
    pub fn is_bodyless(&self) -> bool {
        matches!(self.stage, Stage::Bodyless { .. } | Stage::Trailing { body: None, .. })
    }

    /// Whether nothing can follow.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// For messages: "has not started".
    pub fn name(&self) -> &'static str {
        match self.stage {
            Stage::Waiting => "has not started",
            Stage::Started { .. } => "has started",
            Stage::Streaming { .. } | Stage::Bodyless { .. } | Stage::Trailing { .. } => "is being sent",
            Stage::Over => "is complete",
        }
    }

    /// Whether so much waits for the client that the application should wait too.
    pub fn is_full(&self) -> bool {
        matches!(&self.stage, Stage::Streaming { body, .. } if !body.has_room())
    }

    /// Ready when there is room.
    ///
    /// # Errors
    /// [`PipeError::Closed`] when the client has left.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>> {
        match &self.stage {
            Stage::Streaming { body, .. } => body.poll_ready(cx),
            Stage::Over => Poll::Ready(Err(PipeError::Closed)),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Ready when the client is found gone while the body is being sent.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.stage {
            Stage::Streaming { body, .. } | Stage::Trailing { body: Some(body), .. } => body.poll_closed(cx),
            _ => Poll::Pending,
        }
    }

    /// Breaks the response off, so that the client notices. Returns whom to wake.
    pub fn abort(&mut self) -> Option<Waker> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Streaming { body, .. } | Stage::Trailing { body: Some(body), .. } => {
                body.fail(PipeError::Closed)
            }
            _ => None,
        }
    }

    /// `length`: the whole body's, where it is known.
    fn bodyless(&self, mut heading: Heading, length: Option<u64>) -> Response {
        // Nothing in answer to HEAD does not tell how much GET would bring (RFC 9110 section 9.3.2).
        if let Some(length @ 1..) = length.filter(|_| !heading.forbids_body()) {
            heading.promise(length);
        }
        Response { head: heading.build(), body: ResponseBody::Empty }
    }

    fn whole(&mut self, mut heading: Heading, chunk: Bytes, trailers: bool) -> Result<Sent, SendError> {
        let length = chunk.len() as u64;
        heading.promise(length);
        self.check_whole(&heading, length)?;
        if trailers {
            self.stage = Stage::Trailing { body: None, lines: HeaderBlock::default() };
        }
        Ok((Some(Response { head: heading.build(), body: ResponseBody::Bytes(chunk) }), None))
    }

    /// A body of another length than promised: the head has not left, so the client gets a whole response that says that
    /// the server failed.
    fn check_whole(&mut self, heading: &Heading, length: u64) -> Result<(), SendError> {
        settle(heading.content_length(), length, true).map(drop).inspect_err(|_| self.stage = Stage::Waiting)
    }

    fn begin(
        &mut self,
        heading: Heading,
        chunk: Bytes,
        more: bool,
        trailers: bool,
    ) -> Result<Sent, SendError> {
        let owed = settle(heading.content_length(), chunk.len() as u64, !more)
            .inspect_err(|_| self.stage = Stage::Waiting)?;
        let (body, receiver) = pipe::pipe(WINDOW);
        // The receiver is ours still, so the push cannot fail and wakes nobody.
        let _ = body.push(chunk);
        self.stage = if more {
            Stage::Streaming { body, owed, trailers }
        } else {
            Stage::Trailing { body: Some(body), lines: HeaderBlock::default() }
        };
        Ok((Some(Response { head: heading.build(), body: ResponseBody::Stream(receiver) }), None))
    }

    fn go_on(
        &mut self,
        body: Sender,
        owed: Option<u64>,
        chunk: Bytes,
        more: bool,
        trailers: bool,
    ) -> Result<Option<Waker>, SendError> {
        // A failure drops the sender, which breaks the response off.
        let owed = settle(owed, chunk.len() as u64, !more)?;
        let pushed = body.push(chunk);
        if more {
            let waker = pushed.map_err(|_| SendError::ClientLeft)?;
            self.stage = Stage::Streaming { body, owed, trailers };
            return Ok(waker);
        }
        let finished = if trailers && pushed.is_ok() {
            self.stage = Stage::Trailing { body: Some(body), lines: HeaderBlock::default() };
            None
        } else {
            body.finish()
        };
        match pushed {
            Ok(waker) => Ok(waker.or(finished)),
            // All that was promised may have gone out before the client left.
            Err(_) => Err(SendError::ClientLeft),
        }
    }
}

/// The stage after a part of a body that nobody wants.
fn after_bodyless(more: bool, trailers: bool) -> Stage {
    match (more, trailers) {
        (true, _) => Stage::Bodyless { trailers },
        (false, true) => Stage::Trailing { body: None, lines: HeaderBlock::default() },
        (false, false) => Stage::Over,
    }
}

/// What is owed after `length` bytes; at the end that must be nothing.
fn settle(owed: Option<u64>, length: u64, at_end: bool) -> Result<Option<u64>, SendError> {
    let Some(owed) = owed else { return Ok(None) };
    match owed.checked_sub(length).ok_or(SendError::TooLong)? {
        left @ 1.. if at_end => Err(SendError::TooShort(left)),
        left => Ok(Some(left)),
    }
}

/// Bytes of a streamed response that may wait for the client.
const WINDOW: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn heading(status: u16, length: Option<&str>) -> Heading {
        let mut heading = Heading::of_status(status, 0).unwrap();
        if let Some(length) = length {
            heading.push(b"content-length", length.as_bytes()).unwrap();
        }
        heading
    }

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn started(length: Option<&str>) -> Outgoing {
        let mut outgoing = Outgoing::new(false, true);
        outgoing.start(heading(200, length), false).unwrap();
        outgoing
    }

    #[test]
    fn a_body_in_one_makes_a_whole_response_with_its_length() {
        let mut outgoing = started(None);
        let (response, _) = outgoing.body(bytes("hello"), false).unwrap();
        let response = response.unwrap();
        assert_eq!(response.head.content_length, Some(5));
        assert!(matches!(response.body, ResponseBody::Bytes(body) if body == "hello"));
        assert!(outgoing.is_over());
    }

    #[test]
    fn events_in_the_wrong_order_are_refused_and_change_nothing() {
        let mut outgoing = Outgoing::new(false, true);
        assert_eq!(outgoing.body(bytes("x"), false).err(), Some(SendError::NotStarted));
        outgoing.start(heading(200, None), false).unwrap();
        assert_eq!(outgoing.start(heading(200, None), false).err(), Some(SendError::StartedTwice));
        let _response = outgoing.body(bytes("x"), true).unwrap();
        assert_eq!(outgoing.start(heading(200, None), false).err(), Some(SendError::StartedTwice));
        outgoing.body(bytes("x"), false).unwrap();
        assert_eq!(outgoing.body(bytes("x"), false).err(), Some(SendError::Over("http.response.body")));
        assert_eq!(
            outgoing.start(heading(200, None), false).err(),
            Some(SendError::Over("http.response.start"))
        );
    }

    #[test]
    fn content_length_is_held_against_the_body() {
        assert_eq!(started(Some("3")).body(bytes("four"), false).err(), Some(SendError::TooLong));
        assert_eq!(started(Some("5")).body(bytes("four"), false).err(), Some(SendError::TooShort(1)));
        let mut streamed = started(Some("5"));
        let _response = streamed.body(bytes("four"), true).unwrap();
        assert_eq!(streamed.body(bytes("xx"), true).err(), Some(SendError::TooLong));
        let mut streamed = started(Some("5"));
        let _response = streamed.body(bytes("four"), true).unwrap();
        assert_eq!(streamed.body(bytes(""), false).err(), Some(SendError::TooShort(1)));
        let mut streamed = started(Some("5"));
        let _response = streamed.body(bytes("four"), true).unwrap();
        assert!(streamed.body(bytes("x"), false).is_ok() && streamed.is_over());
    }

    #[test]
    fn a_failure_before_the_head_is_out_leaves_room_for_another_response() {
        let mut outgoing = started(Some("3"));
        outgoing.body(bytes("four"), false).unwrap_err();
        assert!(!outgoing.is_begun() && outgoing.start(heading(500, None), false).is_ok());
    }

    #[test]
    fn answers_without_a_body_take_what_the_application_gives_and_send_nothing() {
        for (is_head, status) in [(true, 200), (false, 204), (false, 304)] {
            let mut outgoing = Outgoing::new(is_head, true);
            outgoing.start(heading(status, Some("7")), false).unwrap();
            let (response, _) = outgoing.body(bytes("x"), true).unwrap();
            let response = response.unwrap();
            assert!(matches!(response.body, ResponseBody::Empty));
            assert_eq!(response.head.content_length, Some(7));
            assert!(outgoing.body(bytes("much more than that"), true).unwrap().0.is_none());
            assert!(outgoing.body(bytes(""), false).is_ok() && outgoing.is_over());
        }
    }

    #[test]
    fn a_client_that_leaves_is_noticed() {
        let mut outgoing = started(None);
        let (response, _) = outgoing.body(bytes("x"), true).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outgoing.poll_closed(&mut cx).is_pending());
        drop(response);
        assert!(outgoing.poll_closed(&mut cx).is_ready());
        assert_eq!(outgoing.body(bytes("x"), true).err(), Some(SendError::ClientLeft));
    }

    #[test]
    fn a_client_that_leaves_before_the_trailers_is_noticed() {
        let mut outgoing = Outgoing::new(false, true);
        outgoing.start(heading(200, None), true).unwrap();
        let (response, _) = outgoing.body(bytes("x"), false).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outgoing.poll_closed(&mut cx).is_pending());
        drop(response);
        assert!(outgoing.poll_closed(&mut cx).is_ready());
        assert_eq!(outgoing.trailers(&lines("a"), false).err(), Some(SendError::ClientLeft));
    }

    fn lines(name: &str) -> HeaderBlock {
        let mut lines = HeaderBlock::default();
        lines.push(name.as_bytes(), b"1");
        lines
    }

    #[test]
    fn trailers_follow_the_body_where_they_were_announced_and_are_wanted() {
        let mut outgoing = Outgoing::new(false, true);
        outgoing.start(heading(200, None), true).unwrap();
        assert_eq!(outgoing.trailers(&lines("a"), false).err(), Some(SendError::NoTrailers));
        let (response, _) = outgoing.body(bytes("x"), false).unwrap();
        assert!(matches!(outgoing.body(bytes("x"), false), Err(SendError::Over(_))) && !outgoing.is_over());
        outgoing.trailers(&lines("a"), true).unwrap();
        outgoing.trailers(&lines("b"), false).unwrap();
        assert!(outgoing.is_over());
        let ResponseBody::Stream(mut receiver) = response.unwrap().body else { panic!("no stream") };
        assert_eq!(receiver.take_trailers().as_bytes(), b"a: 1\r\nb: 1\r\n");
    }

    #[test]
    fn trailers_that_nobody_wants_are_taken_and_dropped() {
        for (is_head, takes) in [(false, false), (true, true)] {
            let mut outgoing = Outgoing::new(is_head, takes);
            outgoing.start(heading(200, None), true).unwrap();
            let (response, _) = outgoing.body(bytes("x"), false).unwrap();
            assert!(!matches!(response.unwrap().body, ResponseBody::Stream(_)));
            assert!(
                !outgoing.is_over() && outgoing.trailers(&lines("a"), false).is_ok() && outgoing.is_over()
            );
        }
    }

    const PATHSEND: &str = "http.response.pathsend";

    #[test]
    fn a_file_is_the_only_part_of_a_body() {
        let file = || File::open("/dev/null").unwrap();
        let mut outgoing = Outgoing::new(false, false);
        assert_eq!(outgoing.file(PATHSEND, file(), 0, 7).err(), Some(SendError::NotStarted));
        outgoing.start(heading(200, None), false).unwrap();
        let response = outgoing.file(PATHSEND, file(), 0, 7).unwrap().0.unwrap();
        assert_eq!(response.head.content_length, Some(7));
        assert!(matches!(outgoing.file(PATHSEND, file(), 0, 7), Err(SendError::Over(_))));
        let mut streaming = started(None);
        let _response = streaming.body(bytes("x"), true).unwrap();
        assert_eq!(streaming.file(PATHSEND, file(), 0, 7).err(), Some(SendError::NotAlone));
        assert_eq!(started(Some("8")).file(PATHSEND, file(), 0, 7).err(), Some(SendError::TooShort(1)));
    }
}
