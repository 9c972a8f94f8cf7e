//! The way out: hyper frames, the gate spells.
//!
//! hyper decides whether the connection stays, and how a streamed response is framed; its head carries nothing but that.
//! The gate puts the real status line and header lines in its place, in the spelling and order of whoever wrote them, and
//! follows the framing to know where the next head begins. A response that is all there does not go through hyper, which
//! believes it to be empty: the gate sends it behind its head.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use ironbridge_exchange::{HeaderBlock, ResponseHead};

use super::{
    chunked::ChunkedTracker,
    lane::{Lane, Outgoing, OutgoingBody, Payload},
    transport::Transport,
};
use crate::{date, journal::Entry, reason::standard_reason};

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
    /// Bytes that hyper believes written and the socket has not taken.
    out: Vec<u8>,
    sent: usize,
    /// Bytes that the socket has taken since the connection began.
    total: u64,
}

/// What hyper's next bytes are.
#[derive(Debug)]
enum State {
    Head,
    /// The body of a streamed response.
    Stream(Framed),
    /// Nothing, before the response has been sent that hyper believes to be empty.
    Whole(Whole),
}

/// Where in a streamed body hyper is.
#[derive(Debug, Clone, Copy)]
enum Framed {
    Length(u64),
    Chunked(ChunkedTracker),
    UntilClose,
}

/// A response on its way that needs nothing more from hyper.
#[derive(Debug)]
struct Whole {
    payload: Payload,
    /// Bytes that the head promised beyond the payload.
    missing: u64,
    entry: Entry,
}

impl Writer {
    /// A writer at the start of a connection.
    pub fn new(lane: Arc<Lane>, signature: Signature) -> Self {
        Self { lane, signature, state: State::Head, out: Vec::new(), sent: 0, total: 0 }
    }

    /// Takes what hyper writes. Ready with how many of its bytes were taken.
    pub fn poll_write<T: Transport>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.pending() > HIGH_WATER {
            ready!(self.poll_send(transport, cx))?;
        }
        let mut taken = 0;
        while taken < bytes.len() {
            match self.poll_step(transport, cx, &bytes[taken..]) {
                Poll::Ready(step) => taken += step?,
                Poll::Pending if taken > 0 => return Poll::Ready(Ok(taken)),
                Poll::Pending => return Poll::Pending,
            }
        }
        // Everything small leaves in one write.
        match self.poll_send(transport, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    /// Sends what waits, early hints first.
    pub fn poll_flush<T: Transport>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if matches!(self.state, State::Head) && !self.lane.hints.is_empty() {
            for hints in self.lane.hints.take() {
                self.write_hints(&hints);
            }
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

    /// Ready when nothing waits for the socket any more.
    fn poll_send<T: Transport>(&mut self, transport: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let waiting = &self.out[self.sent..];
            let n = match &mut self.state {
                State::Whole(whole) if !whole.payload.is_empty() => {
                    ready!(whole.poll_send(transport, cx, waiting))?
                }
                _ if waiting.is_empty() => break,
                _ => ready!(Pin::new(&mut *transport).poll_write(cx, waiting))?,
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent = self.out.len().min(self.sent + n);
            self.total += n as u64;
        }
        self.sent = 0;
        self.out.clear();
        if self.out.capacity() > KEEP {
            self.out = Vec::new();
        }
        if matches!(self.state, State::Whole(_)) {
            self.end_whole()?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_step<T: Transport>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
        rest: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.state {
            State::Head => Poll::Ready(self.take_head(rest)),
            State::Whole(_) => {
                ready!(self.poll_send(transport, cx))?;
                Poll::Ready(Ok(0))
            }
            State::Stream(framed) if rest.len() >= LARGE => {
                let (most, _) = framed.clone().advance(rest)?;
                self.poll_large(transport, cx, &rest[..most])
            }
            State::Stream(framed) => {
                let (take, over) = framed.advance(rest)?;
                self.out.extend_from_slice(&rest[..take]);
                if over {
                    self.end_response();
                }
                Poll::Ready(Ok(take))
            }
        }
    }

    /// A large slice of a streamed body goes to the socket as it is, behind what waits.
    fn poll_large<T: Transport>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
        slice: &[u8],
    ) -> Poll<io::Result<usize>> {
        let waiting = self.pending();
        let slices = [IoSlice::new(&self.out[self.sent..]), IoSlice::new(slice)];
        let slices = if waiting == 0 { &slices[1..] } else { &slices[..] };
        let n = ready!(Pin::new(&mut *transport).poll_write_vectored(cx, slices))?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.total += n as u64;
        if n < waiting {
            self.sent += n;
            return Poll::Ready(Ok(0));
        }
        self.out.clear();
        self.sent = 0;
        let State::Stream(framed) = &mut self.state else { unreachable!("the caller looked") };
        let (taken, over) = framed.advance(&slice[..n - waiting])?;
        if over {
            self.end_response();
        }
        Poll::Ready(Ok(taken))
    }

    fn end_response(&mut self) {
        self.state = State::Head;
        self.lane.end_response();
    }

    /// All of a response has been sent, or copied to what will be.
    fn end_whole(&mut self) -> io::Result<()> {
        let State::Whole(mut whole) = std::mem::replace(&mut self.state, State::Head) else {
            unreachable!("the caller looked")
        };
        self.lane.end_response();
        if whole.missing > 0 {
            tracing::warn!(
                path = %whole.entry.path(), missing = whole.missing,
                "the application sent less than its Content-Length; the connection is closed"
            );
            return Err(io::Error::other("less than its Content-Length"));
        }
        whole.entry.complete();
        Ok(())
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
        let framing = match (&body, &made) {
            (OutgoingBody::Whole { .. }, _) => {
                Framing::Whole(head.content_length.filter(|_| head.status != 204))
            }
            (OutgoingBody::Framed, MadeHead { length: Some((_, digits)), .. }) => Framing::Length(digits),
            (OutgoingBody::Framed, MadeHead { is_chunked: true, .. }) => Framing::Chunked,
            (OutgoingBody::Framed, _) => Framing::UntilClose,
        };
        self.write_head(&rest[..VERSION_LEN], &head, framing, made.connection);
        match (body, made.length) {
            (OutgoingBody::Whole { payload, entry }, _) => {
                self.begin_whole(payload, head.content_length, entry)?;
            }
            (OutgoingBody::Framed, Some((0, _))) => self.end_response(),
            (OutgoingBody::Framed, Some((length, _))) => self.state = State::Stream(Framed::Length(length)),
            (OutgoingBody::Framed, None) if made.is_chunked => {
                self.state = State::Stream(Framed::Chunked(ChunkedTracker::new(0)));
            }
            (OutgoingBody::Framed, None) => self.state = State::Stream(Framed::UntilClose),
        }
        Ok(made.end)
    }

    fn begin_whole(
        &mut self,
        mut payload: Payload,
        promised: Option<u64>,
        mut entry: Entry,
    ) -> io::Result<()> {
        let missing = match (payload.len(), promised) {
            (Some(len), Some(promised)) => promised.saturating_sub(len),
            _ => 0,
        };
        if let Payload::Bytes(bytes) = &payload
            && bytes.len() < LARGE
        {
            self.out.extend_from_slice(bytes);
            entry.count(bytes.len());
            payload = Payload::None;
        }
        let is_over = payload.is_empty();
        self.state = State::Whole(Whole { payload, missing, entry });
        // One that breaks off has to be sent before the connection ends.
        if is_over && missing == 0 { self.end_whole() } else { Ok(()) }
    }

    /// Whether nothing waits for the socket.
    pub fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// Gives the buffer back.
    pub fn shrink(&mut self) {
        self.out = Vec::new();
    }

    /// Whether only our close can tell the client where the body ends.
    pub fn is_framed_by_close(&self) -> bool {
        matches!(self.state, State::Stream(Framed::UntilClose))
    }

    fn write_head(
        &mut self,
        version: &[u8],
        head: &ResponseHead,
        framing: Framing<'_>,
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
        let mut connection = connection;
        match framing {
            Framing::Whole(None) => {}
            Framing::Whole(Some(length)) => {
                write_line(out, b"Content-Length: ", itoa::Buffer::new().format(length).as_bytes());
            }
            Framing::Length(digits) => write_line(out, b"Content-Length: ", digits),
            Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Framing::UntilClose => connection = Some(b"close"),
        }
        if let Some(connection) = connection {
            write_line(out, b"Connection: ", connection);
        }
        out.extend_from_slice(b"\r\n");
    }

    fn write_hints(&mut self, lines: &HeaderBlock) {
        self.out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
        self.out.extend_from_slice(lines.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }
}

impl Framed {
    /// Follows the body over as many of `bytes` as belong to it. Returns how many do, and whether it ends with them.
    fn advance(&mut self, bytes: &[u8]) -> io::Result<(usize, bool)> {
        match self {
            Self::Length(left) => {
                let take = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= take as u64;
                Ok((take, *left == 0))
            }
            Self::Chunked(tracker) => {
                let followed = tracker.follow(bytes).map_err(io::Error::other)?;
                Ok((followed.taken, followed.over))
            }
            Self::UntilClose => Ok((bytes.len(), false)),
        }
    }
}

impl Whole {
    /// Sends some of the payload, behind `waiting`. Ready with how many bytes of both have gone.
    fn poll_send<T: Transport>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
        waiting: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.payload {
            Payload::Bytes(bytes) => {
                let slices = [IoSlice::new(waiting), IoSlice::new(bytes)];
                let slices = if waiting.is_empty() { &slices[1..] } else { &slices[..] };
                let n = ready!(Pin::new(transport).poll_write_vectored(cx, slices))?;
                let beyond = n.saturating_sub(waiting.len());
                bytes.advance(beyond);
                self.entry.count(beyond);
                Poll::Ready(Ok(n))
            }
            Payload::File { file, offset, len } if waiting.is_empty() => {
                let most = usize::try_from(*len).unwrap_or(usize::MAX);
                let n = ready!(transport.poll_send_file(cx, file, *offset, most))?;
                if n == 0 {
                    return Poll::Ready(Err(io::Error::other("the file became shorter while it was sent")));
                }
                *offset += n as u64;
                *len -= n as u64;
                self.entry.count(n);
                Poll::Ready(Ok(n))
            }
            Payload::File { .. } | Payload::None => Pin::new(transport).poll_write(cx, waiting),
        }
    }
}

/// How a response's head says where its body ends.
enum Framing<'a> {
    /// By this length, where one is said: also what a GET would have brought (RFC 9110 section 8.6).
    Whole(Option<u64>),
    /// By a length, as hyper has written it.
    Length(&'a [u8]),
    Chunked,
    UntilClose,
}

/// What hyper's head says about framing and persistence.
struct MadeHead<'a> {
    /// Its length, the empty line included.
    end: usize,
    is_interim: bool,
    /// Content-Length, and its digits.
    length: Option<(u64, &'a [u8])>,
    is_chunked: bool,
    connection: Option<&'a [u8]>,
}

impl<'a> MadeHead<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        // What hyper writes for nearly every response.
        if bytes == EMPTY_RESPONSE {
            let length = Some((0, &b"0"[..]));
            let end = bytes.len();
            return Some(Self { end, is_interim: false, length, is_chunked: false, connection: None });
        }
        let mut at = memchr::memchr(b'\n', bytes)? + 1;
        let is_interim = bytes.get(VERSION_LEN..VERSION_LEN + 2)? == b" 1";
        let mut made = Self { end: 0, is_interim, length: None, is_chunked: false, connection: None };
        loop {
            let newline = at + memchr::memchr(b'\n', &bytes[at..])?;
            let line = bytes[at..newline].strip_suffix(b"\r")?;
            at = newline + 1;
            if line.is_empty() {
                made.end = at;
                return Some(made);
            }
            if let Some(digits) = line.strip_prefix(b"content-length: ") {
                made.length = Some((std::str::from_utf8(digits).ok()?.parse().ok()?, digits));
            } else if line.starts_with(b"transfer-encoding: ") {
                made.is_chunked = true;
            } else if let Some(connection) = line.strip_prefix(b"connection: ") {
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

/// hyper's response to a plain request, as long as the connection stays and it believes that there is no body.
const EMPTY_RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// Bytes that the lines which we add ourselves take at most, about.
const ROOM_FOR_OUR_LINES: usize = 224;
/// Length of `HTTP/1.1`.
const VERSION_LEN: usize = 8;
/// Slices from this size on are not copied.
const LARGE: usize = 8 * 1024;
/// Above this many waiting bytes nothing more is taken from hyper.
const HIGH_WATER: usize = 64 * 1024;
/// A buffer that grew beyond this is given back once it is empty.
const KEEP: usize = 16 * 1024;
