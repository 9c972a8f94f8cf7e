//! The way in: socket bytes become tiny heads for hyper, whole heads for the service, and bodies untouched.

use std::{
    borrow::Cow,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use hyper::rt::ReadBufCursor;
use ironbridge_exchange::BodyFraming;
use tokio::io::ReadBuf;

use super::{
    alarm::Alarm,
    chunked::ChunkedTracker,
    head::{HeadReader, HeadStep, ParsedHead, Persistence},
    lane::{Arrival, Lane, TurnedAway},
    limits::HeadLimits,
    minimal::minimal_head,
    refusal::Refusal,
    scratch,
    transport::Transport,
};
use crate::deadline::{ReadWait, Ticket};

/// What the reader obeys.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// Limits on heads.
    pub head: HeadLimits,
    /// Most bytes of a body.
    pub body: u64,
}

/// The reading half of the gate.
#[derive(Debug)]
pub struct Reader {
    lane: Arc<Lane>,
    limits: ReadLimits,
    heads: HeadReader,
    alarm: Alarm,
    /// Bytes that were read from the socket and not yet used.
    input: BytesMut,
    /// A made head that hyper has not seen yet.
    feed: Feed,
    state: State,
    /// Bytes of the present body so far.
    body_bytes: u64,
    /// The request that is turned away is one for a head only.
    head_only: bool,
    /// A request has been let in.
    has_served: bool,
    eof: bool,
    /// Bytes came before the response to the request before them was over.
    held: bool,
}

#[derive(Debug)]
enum State {
    Head,
    Length(u64),
    Chunked(ChunkedTracker),
    /// A refusal is on its way out; nothing more is read.
    Refused,
}

/// What one step of reading came to.
enum Step {
    /// The feed has something for hyper.
    Fed,
    /// Body bytes went to hyper.
    Passed,
    /// Bytes came, but not enough of them.
    More,
    /// None will come any more.
    End,
}

impl Reader {
    /// A reader at the start of a connection.
    pub fn new(lane: Arc<Lane>, limits: ReadLimits) -> Self {
        Self {
            lane,
            limits,
            heads: HeadReader::default(),
            alarm: Alarm::default(),
            input: BytesMut::new(),
            feed: Feed::default(),
            state: State::Head,
            body_bytes: 0,
            head_only: false,
            has_served: false,
            eof: false,
            held: false,
        }
    }

    /// Whether no byte of a next request has arrived.
    pub fn is_between_requests(&self) -> bool {
        matches!(self.state, State::Head) && self.is_blank(&self.input) && self.feed.is_empty()
    }

    /// Fills `out` with the next bytes that hyper is to see. Nothing filled means the end of the stream.
    pub fn poll_read<T: Transport>(
        &mut self,
        transport: &mut T,
        deadline: &mut Ticket,
        cx: &mut Context<'_>,
        out: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.feed.pour(out) {
                return Poll::Ready(Ok(()));
            }
            let step = match self.state {
                State::Head if !self.lane.is_idle() => match ready!(self.poll_early(transport, cx)?) {
                    Step::End => return Poll::Ready(Ok(())),
                    _ => return Poll::Pending,
                },
                State::Head => self.poll_head(transport, deadline, cx)?,
                State::Length(_) | State::Chunked(_) => self.poll_body(transport, cx, out)?,
                State::Refused => return Poll::Pending,
            };
            match step {
                Poll::Ready(Ok(Step::Passed | Step::End)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(Step::Fed | Step::More)) => {}
                Poll::Ready(Err(refusal)) => self.refuse(refusal)?,
                Poll::Pending => match self.waiting(deadline) {
                    Ok(()) => return Poll::Pending,
                    Err(TimedOut::Idle) => return Poll::Ready(Ok(())),
                    Err(TimedOut::Refused(refusal)) => self.refuse(refusal)?,
                },
            }
        }
    }

    /// A response is not over yet: notices when the client leaves, and holds back what it sends ahead (RFC 9112 section
    /// 9.3.2). hyper itself may not know, see [`Pump`](crate::inbound::Pump).
    fn poll_early<T: Transport>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
    ) -> io::Result<Poll<Step>> {
        if !self.input.is_empty() {
            self.held = true;
            return Ok(Poll::Pending);
        }
        let step = self.poll_socket(transport, cx, |reader, bytes| {
            reader.input.extend_from_slice(bytes);
            reader.held = true;
            Ok(Step::More)
        })?;
        Ok(step.map(|step| step.unwrap_or(Step::End)))
    }

    /// Whether something was held back that may be read now: once, and then hyper has to ask again.
    pub fn release(&mut self) -> bool {
        self.held && self.lane.is_idle() && std::mem::take(&mut self.held)
    }

    /// Whether `bytes`, where a head is expected, begin none: there is nothing, or an empty line, which some clients send behind
    /// the body of a request (RFC 9112 section 2.2).
    fn is_blank(&self, bytes: &[u8]) -> bool {
        bytes.is_empty() || self.has_served && matches!(bytes, b"\r\n" | b"\r\n\r\n")
    }

    /// Reads a head, from the input or from the socket.
    fn poll_head<T: Transport>(
        &mut self,
        transport: &mut T,
        deadline: &mut Ticket,
        cx: &mut Context<'_>,
    ) -> io::Result<Poll<Result<Step, Refusal>>> {
        if !self.input.is_empty() {
            let input = std::mem::take(&mut self.input);
            let read = self.read_head(&input, deadline);
            self.input = input;
            match read {
                Ok(None) => {}
                Ok(Some(consumed)) => {
                    self.input.advance(consumed);
                    return Ok(Poll::Ready(Ok(Step::Fed)));
                }
                Err(refusal) => return Ok(Poll::Ready(Err(refusal))),
            }
        }
        self.poll_socket(transport, cx, |reader, bytes| {
            // Most heads arrive whole: they are read where they lie.
            let read = if reader.input.is_empty() { reader.read_head(bytes, deadline)? } else { None };
            reader.input.extend_from_slice(&bytes[read.unwrap_or(0)..]);
            Ok(if read.is_some() { Step::Fed } else { Step::More })
        })
    }

    /// Reads the head at the start of `bytes`, and lets it in. Returns how many bytes it took, if it is whole.
    fn read_head(&mut self, bytes: &[u8], deadline: &mut Ticket) -> Result<Option<usize>, Refusal> {
        self.try_head(bytes, deadline).inspect_err(|_| self.head_only = bytes.starts_with(HEAD_METHOD))
    }

    #[inline]
    fn try_head(&mut self, bytes: &[u8], deadline: &mut Ticket) -> Result<Option<usize>, Refusal> {
        match self.heads.read(bytes, &self.limits.head)? {
            HeadStep::Partial => {
                self.lane.set_partial(!self.is_blank(bytes));
                Ok(None)
            }
            HeadStep::Complete { head, consumed } => {
                self.lane.set_partial(false);
                self.accept(head, deadline)?;
                Ok(Some(consumed))
            }
        }
    }

    fn accept(&mut self, mut head: ParsedHead, deadline: &mut Ticket) -> Result<(), Refusal> {
        self.state = match head.head.framing {
            BodyFraming::None | BodyFraming::Length(0) => State::Head,
            BodyFraming::Length(length) if length > self.limits.body.min(MOST_BODY) => {
                return Err(Refusal::BodyTooLarge);
            }
            BodyFraming::Length(length) => State::Length(length),
            BodyFraming::Chunked => State::Chunked(ChunkedTracker::new(self.limits.head.head)),
        };
        self.body_bytes = 0;
        self.has_served = true;
        if !matches!(self.state, State::Head) {
            self.lane.begin_body();
        }
        if deadline.must_close() {
            head.connection = Persistence::Close;
        }
        self.feed.fill(minimal_head(&head));
        deadline.stop_reading();
        self.lane.push_request(Ok(Arrival {
            head: Arc::new(head.head),
            expect_continue: head.expect_continue,
            websocket: head.websocket,
        }));
        Ok(())
    }

    /// Passes body bytes on, from the input or from the socket.
    fn poll_body<T: Transport>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
        out: &mut ReadBufCursor<'_>,
    ) -> io::Result<Poll<Result<Step, Refusal>>> {
        if self.input.is_empty() {
            let room = out.remaining();
            return self.poll_socket_up_to(room, transport, cx, |reader, bytes| {
                let taken = reader.pass(bytes, out)?;
                // The start of the next request.
                reader.input.extend_from_slice(&bytes[taken..]);
                Ok(Step::Passed)
            });
        }
        let input = std::mem::take(&mut self.input);
        let passed = self.pass(&input, out);
        self.input = input;
        let taken = match passed {
            Ok(taken) => taken,
            Err(refusal) => return Ok(Poll::Ready(Err(refusal))),
        };
        self.input.advance(taken);
        if self.input.is_empty() {
            // A body's first bytes may have come with its head; what is left of their buffer is not worth keeping.
            self.input = BytesMut::new();
        }
        Ok(Poll::Ready(Ok(Step::Passed)))
    }

    /// Passes the body bytes at the start of `bytes` on, as far as there is room. Returns how many were passed.
    fn pass(&mut self, bytes: &[u8], out: &mut ReadBufCursor<'_>) -> Result<usize, Refusal> {
        let window = &bytes[..bytes.len().min(out.remaining())];
        let (take, over) = match &mut self.state {
            State::Length(left) => {
                let take = window.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= take as u64;
                self.body_bytes += take as u64;
                (take, *left == 0)
            }
            State::Chunked(tracker) => {
                let followed = tracker.follow(window)?;
                self.body_bytes += followed.data;
                // What a size line promises is refused before it comes.
                if tracker.announced() > self.limits.body {
                    return Err(Refusal::BodyTooLarge);
                }
                (followed.taken, followed.over)
            }
            State::Head | State::Refused => unreachable!("only bodies are passed on"),
        };
        out.put_slice(&window[..take]);
        if over {
            self.state = State::Head;
            self.lane.end_body(self.body_bytes);
        }
        Ok(take)
    }

    /// Turns the request away: as an answer of its own between requests, as an error within a body.
    fn refuse(&mut self, refusal: Refusal) -> io::Result<()> {
        let within_body = matches!(self.state, State::Length(_) | State::Chunked(_));
        let head_only = self.head_only || self.input.starts_with(HEAD_METHOD);
        self.state = State::Refused;
        self.input.clear();
        if within_body {
            self.lane.set_body_fault(refusal);
            return Err(io::Error::new(io::ErrorKind::InvalidData, refusal));
        }
        self.lane.push_request(Err(TurnedAway { refusal, head_only }));
        // hyper sees a plain request that asks to close; the service answers it with the refusal.
        self.feed.fill(Cow::Borrowed(if head_only {
            b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n"
        } else {
            b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
        }));
        Ok(())
    }

    /// One read from the socket; what came is given to `take`.
    fn poll_socket<T: Transport>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut Self, &[u8]) -> Result<Step, Refusal>,
    ) -> io::Result<Poll<Result<Step, Refusal>>> {
        self.poll_socket_up_to(usize::MAX, transport, cx, take)
    }

    /// [`Self::poll_socket`], of at most so many bytes.
    fn poll_socket_up_to<T: Transport>(
        &mut self,
        most: usize,
        transport: &mut T,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut Self, &[u8]) -> Result<Step, Refusal>,
    ) -> io::Result<Poll<Result<Step, Refusal>>> {
        if self.eof {
            return Ok(Poll::Ready(Ok(Step::End)));
        }
        scratch::with(|scratch| {
            let room = scratch.len().min(most);
            let mut buf = ReadBuf::new(&mut scratch[..room]);
            match self.alarm.poll(cx, |cx| Pin::new(transport).poll_read(cx, &mut buf)) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(result) => result?,
            }
            if buf.filled().is_empty() {
                self.eof = true;
                return Ok(Poll::Ready(Ok(Step::End)));
            }
            Ok(Poll::Ready(take(self, buf.filled())))
        })
    }

    fn poll_fill<T: Transport>(&mut self, transport: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let step = self.poll_socket(transport, cx, |reader, bytes| {
            reader.input.extend_from_slice(bytes);
            Ok(Step::More)
        })?;
        step.map(|_| Ok(()))
    }

    /// Nothing has come: note what we wait for, and whether that has taken too long.
    fn waiting(&mut self, deadline: &mut Ticket) -> Result<(), TimedOut> {
        let wait = match self.state {
            // hyper looks whether the client is still there; the application may take its time.
            State::Head if self.is_blank(&self.input) && !self.lane.is_idle() => return Ok(()),
            State::Head if self.is_blank(&self.input) => ReadWait::KeepAlive,
            State::Head => ReadWait::Head,
            _ => ReadWait::Body { received: self.body_bytes },
        };
        if !deadline.read_is_late(wait) {
            return Ok(());
        }
        match wait {
            ReadWait::KeepAlive => Err(TimedOut::Idle),
            ReadWait::Head => Err(TimedOut::Refused(Refusal::HeadTimeout)),
            ReadWait::Body { .. } | ReadWait::Linger => Err(TimedOut::Refused(Refusal::BodyTimeout)),
        }
    }

    /// Waits for the first bytes of a request while nobody else asks for them. Ready with whether there are any; without,
    /// the connection is over.
    pub fn poll_wake<T: Transport>(
        &mut self,
        transport: &mut T,
        deadline: &mut Ticket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        match self.poll_fill(transport, cx)? {
            Poll::Ready(()) => {
                // A drain that begins now has to let it in.
                self.lane.set_partial(!self.eof);
                Poll::Ready(Ok(!self.eof))
            }
            Poll::Pending if deadline.read_is_late(ReadWait::KeepAlive) => Poll::Ready(Ok(false)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The bytes that were read and not used.
    pub fn take_input(&mut self) -> BytesMut {
        std::mem::take(&mut self.input)
    }

    /// Gives memory back that an idle connection does not need.
    pub fn shrink(&mut self) {
        self.input = BytesMut::new();
        self.heads.forget();
    }

    /// Whether bytes of a next request have come that nobody has asked for yet.
    pub fn has_more<T: Transport>(&mut self, transport: &mut T, cx: &mut Context<'_>) -> bool {
        matches!(self.poll_fill(transport, cx), Poll::Ready(Ok(()))) && !self.eof
    }

    /// Throws away what still arrives, so that closing does not turn into a reset that eats our last response.
    pub fn poll_discard<T: Transport>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
        budget: &mut usize,
    ) -> Poll<io::Result<()>> {
        while !self.eof && *budget > 0 {
            ready!(self.poll_fill(transport, cx)?);
            *budget = budget.saturating_sub(self.input.len());
            self.input.clear();
        }
        Poll::Ready(Ok(()))
    }
}

/// A made head on its way to hyper.
#[derive(Debug, Default)]
struct Feed {
    bytes: Cow<'static, [u8]>,
    poured: usize,
}

impl Feed {
    fn fill(&mut self, bytes: Cow<'static, [u8]>) {
        *self = Self { bytes, poured: 0 };
    }

    fn is_empty(&self) -> bool {
        self.poured == self.bytes.len()
    }

    /// Gives as much as there is room for; `false`: there was nothing to give.
    fn pour(&mut self, out: &mut ReadBufCursor<'_>) -> bool {
        let rest = &self.bytes[self.poured..];
        let rest = &rest[..rest.len().min(out.remaining())];
        out.put_slice(rest);
        self.poured += rest.len();
        !rest.is_empty()
    }
}

enum TimedOut {
    Idle,
    Refused(Refusal),
}

/// How a request for a head only begins.
const HEAD_METHOD: &[u8] = b"HEAD ";

/// Bytes of the largest body whose length hyper takes, about; whoever allows more has set no limit.
const MOST_BODY: u64 = i64::MAX as u64;
