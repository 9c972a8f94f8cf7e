//! The way out: hyper decides, the gate writes.
//!
//! hyper decides when a response is due and whether the connection stays, and believes every response to be empty. The gate
//! writes the real one in its place: status line and header lines in the spelling and order of whoever wrote them, and the
//! body behind it, [`whole`](super::whole) or [`streamed`](super::streamed). Before the body's end hyper's flush is not
//! ready, so hyper takes up no other request.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use ironbridge_exchange::ResponseHead;

use super::{
    lane::{Lane, Outgoing, OutgoingBody},
    streamed::{Framing, Streamed},
    transport::Transport,
    whole::Whole,
};
use crate::{date, reason::standard_reason};

/// Header lines that the server adds itself.
#[derive(Debug, Clone, Copy)]
pub struct Signature {
    /// Add Server where the application has none.
    pub server: bool,
    /// Add Date where the application has none.
    pub date: bool,
}

/// The writing half of the gate.
#[derive(Debug)]
pub struct Writer {
    lane: Arc<Lane>,
    signature: Signature,
    state: State,
    /// Bytes that wait for the socket: heads, and what is small enough to be copied.
    out: Vec<u8>,
    sent: usize,
    /// Responses whose last byte is among those that wait.
    copied: u32,
    /// Bytes that the socket has taken since the connection began.
    total: u64,
}

/// What follows the bytes that wait.
#[derive(Debug)]
enum State {
    /// The next head that hyper makes.
    Head,
    /// A body that is all there.
    Whole(Whole),
    /// A body that is still being made.
    Streamed(Streamed),
}

impl Writer {
    /// A writer at the start of a connection.
    pub fn new(lane: Arc<Lane>, signature: Signature) -> Self {
        Self { lane, signature, state: State::Head, out: Vec::new(), sent: 0, copied: 0, total: 0 }
    }

    /// Takes what hyper writes: heads, and nothing else. Ready with how many of its bytes were taken.
    pub fn poll_write<T: Transport>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut taken = 0;
        while taken < bytes.len() {
            if matches!(self.state, State::Head) && self.pending() <= HIGH_WATER {
                taken += self.take_head(&bytes[taken..])?;
                continue;
            }
            // A response belongs behind the one before it.
            match self.poll_send(transport, cx) {
                Poll::Ready(sent) => sent?,
                Poll::Pending if taken > 0 => return Poll::Ready(Ok(taken)),
                Poll::Pending => return Poll::Pending,
            }
        }
        // Head and body leave in one write, if they are there.
        match self.poll_send(transport, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    /// Sends what waits, early hints first. Ready when all of the response has been sent.
    pub fn poll_flush<T: Transport>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if matches!(self.state, State::Head) {
            self.write_hints();
        }
        self.poll_send(transport, cx)
    }

    /// Bytes that the socket has taken since the connection began.
    pub fn total(&self) -> u64 {
        self.total
    }

    fn pending(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Ready when nothing waits for the socket any more, and no more comes of a response that has begun.
    fn poll_send<T: Transport>(&mut self, transport: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let waiting = &self.out[self.sent..];
            let n = match &mut self.state {
                State::Whole(whole) if !whole.is_sent() => ready!(whole.poll_send(transport, cx, waiting))?,
                State::Streamed(streamed) if streamed.has_chunk() => {
                    ready!(streamed.poll_send(transport, cx, waiting))?
                }
                _ if !waiting.is_empty() => ready!(Pin::new(&mut *transport).poll_write(cx, waiting))?,
                _ => {
                    self.tidy();
                    if ready!(self.poll_more(cx))? {
                        continue;
                    }
                    return Poll::Ready(Ok(()));
                }
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent = self.out.len().min(self.sent + n);
            self.total += n as u64;
        }
    }

    /// Nothing waits for the socket: asks the present response for more. Ready with whether there is more to send.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match &mut self.state {
            State::Streamed(streamed) if !streamed.is_over() => {
                let taken = ready!(streamed.poll_take(cx, &mut self.out));
                if taken.is_err() {
                    self.lane.abort();
                }
                Poll::Ready(taken.map(|()| true))
            }
            State::Head => Poll::Ready(Ok(false)),
            State::Whole(_) | State::Streamed(_) => Poll::Ready(self.end_response().map(|()| false)),
        }
    }

    fn tidy(&mut self) {
        self.lane.end_responses(std::mem::take(&mut self.copied));
        self.sent = 0;
        self.out.clear();
        if self.out.capacity() > KEEP {
            self.out = Vec::new();
        }
    }

    /// All of a response has been sent, or copied to what will be: then the lane hears of it when that has left.
    fn end_response(&mut self) -> io::Result<()> {
        if self.pending() > 0 {
            self.copied += 1;
        } else {
            self.lane.end_responses(1);
        }
        match std::mem::replace(&mut self.state, State::Head) {
            State::Whole(whole) => whole.end(),
            State::Streamed(streamed) => {
                streamed.end();
                Ok(())
            }
            State::Head => Ok(()),
        }
    }

    /// Replaces the head that hyper wrote. `rest` starts with it; hyper writes heads in one piece.
    fn take_head(&mut self, rest: &[u8]) -> io::Result<usize> {
        let Some(made) = MadeHead::read(rest) else {
            return Err(io::Error::other("hyper wrote a head that is none"));
        };
        if made.is_interim {
            self.out.extend_from_slice(&rest[..made.end]);
            return Ok(made.end);
        }
        let Some(Outgoing { head, body }) = self.lane.take_response() else {
            return Err(io::Error::other("hyper wrote a response that nobody made"));
        };
        self.write_hints();
        self.lane.hints.answer();
        let version = &rest[..VERSION_LEN];
        let promised = head.content_length;
        match body {
            OutgoingBody::Whole { payload, entry } => {
                // Also where no body follows: it says what GET would have brought (RFC 9110 section 8.6), but for 204.
                let length = promised.filter(|_| head.status != 204).map(Framing::Length);
                self.write_head(version, &head, length, made.connection);
                let whole = Whole::new(payload, promised, entry, &mut self.out);
                // One that breaks off has to be sent before the connection ends.
                let is_done = whole.is_sent() && !whole.is_short();
                self.state = State::Whole(whole);
                if is_done {
                    self.end_response()?;
                }
            }
            OutgoingBody::Upgrade(mut entry) => {
                self.write_head(version, &head, None, Some(b"Upgrade"));
                entry.complete();
                self.end_response()?;
            }
            OutgoingBody::Streamed(source) => {
                let framing = match promised {
                    Some(length) => Framing::Length(length),
                    None if version == b"HTTP/1.1" => Framing::Chunked,
                    None => Framing::UntilClose,
                };
                self.write_head(version, &head, Some(framing), made.connection);
                self.state = State::Streamed(Streamed::new(source, framing));
            }
        }
        Ok(made.end)
    }

    /// Whether nothing waits for the client to take it.
    pub fn is_empty(&self) -> bool {
        let holds_body = match &self.state {
            State::Head => false,
            State::Whole(whole) => !whole.is_sent(),
            State::Streamed(streamed) => streamed.has_chunk(),
        };
        self.pending() == 0 && !holds_body
    }

    /// Gives the buffer back, unless something in it still waits for the socket.
    pub fn shrink(&mut self) {
        if self.pending() == 0 {
            self.tidy();
            self.out = Vec::new();
        }
    }

    /// Whether only our close can tell the client where the body ends.
    pub fn is_framed_by_close(&self) -> bool {
        matches!(&self.state, State::Streamed(streamed) if streamed.framing() == Framing::UntilClose)
    }

    fn write_head(
        &mut self,
        version: &[u8],
        head: &ResponseHead,
        framing: Option<Framing>,
        connection: Option<&[u8]>,
    ) {
        let out = &mut self.out;
        out.reserve(ROOM_FOR_OUR_LINES + head.lines.as_bytes().len());
        if head.status == 200 && head.reason.is_none() {
            out.extend_from_slice(version);
            out.extend_from_slice(b" 200 OK\r\n");
        } else {
            write_status_line(out, version, head.status, head.reason.as_deref());
        }
        out.extend_from_slice(head.lines.as_bytes());
        if self.signature.date && !head.lines.has_date() {
            date::append_line(out);
        }
        if self.signature.server && !head.lines.has_server() {
            out.extend_from_slice(b"Server: ironbridge\r\n");
        }
        match framing {
            Some(Framing::Length(length)) => {
                write_line(out, b"Content-Length: ", itoa::Buffer::new().format(length).as_bytes());
            }
            Some(Framing::Chunked) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Some(Framing::UntilClose) | None => {}
        }
        if let Some(connection) = connection {
            write_line(out, b"Connection: ", connection);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Early hints that wait, for the request whose response has not begun.
    fn write_hints(&mut self) {
        if self.lane.hints.is_empty() {
            return;
        }
        for lines in self.lane.hints.take() {
            self.out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
            self.out.extend_from_slice(lines.as_bytes());
            self.out.extend_from_slice(b"\r\n");
        }
    }
}

/// What hyper's head says: how long it is, and what becomes of the connection.
struct MadeHead<'a> {
    /// Its length, the empty line included.
    end: usize,
    is_interim: bool,
    connection: Option<&'a [u8]>,
}

impl<'a> MadeHead<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        // What hyper writes for nearly every response.
        if bytes == USUAL_HEAD {
            return Some(Self { end: bytes.len(), is_interim: false, connection: None });
        }
        let mut at = memchr::memchr(b'\n', bytes)? + 1;
        let is_interim = bytes.get(VERSION_LEN..VERSION_LEN + 2)? == b" 1";
        let mut made = Self { end: 0, is_interim, connection: None };
        loop {
            let newline = at + memchr::memchr(b'\n', &bytes[at..])?;
            let line = bytes[at..newline].strip_suffix(b"\r")?;
            at = newline + 1;
            if line.is_empty() {
                made.end = at;
                return Some(made);
            }
            if let Some(connection) = line.strip_prefix(b"connection: ") {
                made.connection = Some(connection);
            }
        }
    }
}

fn write_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn write_status_line(out: &mut Vec<u8>, version: &[u8], status: u16, reason: Option<&[u8]>) {
    out.extend_from_slice(version);
    out.push(b' ');
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason.unwrap_or_else(|| standard_reason(status).as_bytes()));
    out.extend_from_slice(b"\r\n");
}

/// hyper's response to a plain request, as long as the connection stays.
const USUAL_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// Bytes that the lines which we add ourselves take at most, about.
const ROOM_FOR_OUR_LINES: usize = 224;
/// Length of `HTTP/1.1`.
const VERSION_LEN: usize = 8;
/// Above this many waiting bytes nothing more is taken from hyper.
const HIGH_WATER: usize = 64 * 1024;
/// A buffer that grew beyond this is given back once it is empty.
const KEEP: usize = 16 * 1024;
