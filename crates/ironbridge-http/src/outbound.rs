//! A response's body on its way to hyper: length checked, client's departure noticed, end reported.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use ironbridge_exchange::pipe;

use crate::{gate::lane::Lane, inbound::Pump, journal::Entry};

/// What hyper pulls a response's bytes from.
#[derive(Debug)]
pub struct Outbound {
    source: Source,
    /// Bytes that the head promised and that are still owed; `None` where it promised nothing.
    owed: Option<u64>,
    /// Why the response breaks off, once what came before has been flushed.
    broken: Option<&'static str>,
    /// Feeds the application the rest of its request meanwhile.
    pump: Option<Pump>,
    lane: Arc<Lane>,
    entry: Entry,
}

/// Where a body's bytes come from.
#[derive(Debug)]
pub enum Source {
    /// Nowhere.
    Empty,
    /// Memory.
    Bytes(Bytes),
    /// A file of so many bytes: hyper is given as many placeholders, and the gate sends the real ones.
    File(u64),
    /// The application, as it makes them.
    Stream(pipe::Receiver),
}

impl Outbound {
    /// A body of which the head promised `length` bytes, if it promised anything.
    pub fn new(
        source: Source,
        length: Option<u64>,
        pump: Option<Pump>,
        lane: Arc<Lane>,
        entry: Entry,
    ) -> Self {
        let has = match &source {
            Source::Empty => Some(0),
            Source::Bytes(bytes) => Some(bytes.len() as u64),
            Source::File(len) => Some(*len),
            Source::Stream(_) => None,
        };
        Self { source, owed: length.or(has), broken: None, pump, lane, entry }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, pipe::PipeError>>> {
        match &mut self.source {
            Source::Empty => Poll::Ready(None),
            Source::Bytes(_) => {
                let Source::Bytes(bytes) = std::mem::replace(&mut self.source, Source::Empty) else {
                    unreachable!("just matched")
                };
                Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)))
            }
            Source::File(left) => {
                if *left == 0 {
                    return Poll::Ready(None);
                }
                let size = (PLACEHOLDER.len() as u64).min(*left);
                *left -= size;
                Poll::Ready(Some(Ok(Bytes::from_static(&PLACEHOLDER[..size as usize]))))
            }
            Source::Stream(receiver) => {
                let (poll, waker) = receiver.poll_chunk(cx);
                if let Some(waker) = waker {
                    waker.wake();
                }
                poll
            }
        }
    }

    /// Cuts `chunk` to what is still owed.
    fn pay(&mut self, mut chunk: Bytes) -> Bytes {
        if let Some(owed) = &mut self.owed {
            if chunk.len() as u64 > *owed {
                tracing::warn!(
                    path = %self.entry.path(),
                    "the application sent more than its Content-Length; the rest is cut off"
                );
                chunk.truncate(usize::try_from(*owed).unwrap_or(usize::MAX));
                self.source = Source::Empty;
            }
            *owed -= chunk.len() as u64;
        }
        self.entry.count(chunk.len());
        chunk
    }

    fn at_end(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.owed {
            Some(owed) if owed > 0 => {
                tracing::warn!(
                    path = %self.entry.path(), missing = owed,
                    "the application sent less than its Content-Length; the connection is closed"
                );
                self.fail(cx, "less than its Content-Length")
            }
            _ => {
                self.entry.complete();
                Poll::Ready(None)
            }
        }
    }

    /// hyper drops what it has not flushed when a body fails: it gets its turn to flush first.
    fn fail(&mut self, cx: &Context<'_>, why: &'static str) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.lane.abort();
        self.broken = Some(why);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if let Some(why) = this.broken {
            return Poll::Ready(Some(Err(io::Error::other(why))));
        }
        if let Some(pump) = &mut this.pump
            && pump.poll(cx).is_ready()
        {
            this.pump = None;
        }
        match this.poll_source(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => this.at_end(cx),
            Poll::Ready(Some(Ok(chunk))) => {
                let chunk = this.pay(chunk);
                if this.is_end_stream() {
                    this.entry.complete();
                }
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(path = %this.entry.path(), %error, "a response broke off");
                this.fail(cx, "the response broke off")
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => self.owed.unwrap_or(0) == 0 && self.broken.is_none(),
            Source::Bytes(bytes) => bytes.is_empty() && self.owed == Some(0),
            Source::File(left) => *left == 0 && self.owed == Some(0),
            // The application must be asked for its end even when it has paid all it owed.
            Source::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.owed.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// What hyper counts while the kernel sends a file.
static PLACEHOLDER: [u8; 256 * 1024] = [0; 256 * 1024];
