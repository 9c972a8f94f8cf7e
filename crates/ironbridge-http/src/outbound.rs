//! A streamed response's body on its way to hyper: length checked, client's departure noticed, end reported.

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
pub enum Outbound {
    /// Nothing that hyper would know of: the gate has the whole response.
    Elsewhere,
    /// The application, as it makes them.
    Stream(Box<Stream>),
}

/// A body that is still being made.
#[derive(Debug)]
pub struct Stream {
    receiver: pipe::Receiver,
    /// Bytes that the head promised and that are still owed; `None` where it promised nothing.
    owed: Option<u64>,
    /// More came than was promised; what was promised has been passed on.
    overpaid: bool,
    /// Why the response breaks off, once what came before has been flushed.
    broken: Option<&'static str>,
    /// Feeds the application the rest of its request meanwhile.
    pump: Option<Pump>,
    lane: Arc<Lane>,
    entry: Entry,
}

impl Outbound {
    /// A body of which the head promised `length` bytes, if it promised anything.
    pub fn stream(
        receiver: pipe::Receiver,
        length: Option<u64>,
        pump: Option<Pump>,
        lane: Arc<Lane>,
        entry: Entry,
    ) -> Self {
        let (owed, overpaid, broken) = (length, false, None);
        Self::Stream(Box::new(Stream { receiver, owed, overpaid, broken, pump, lane, entry }))
    }
}

impl Stream {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(why) = self.broken {
            return Poll::Ready(Some(Err(io::Error::other(why))));
        }
        if let Some(pump) = &mut self.pump
            && pump.poll(cx).is_ready()
        {
            self.pump = None;
        }
        if self.overpaid {
            return self.at_end(cx);
        }
        let (poll, waker) = self.receiver.poll_chunk(cx);
        if let Some(waker) = waker {
            waker.wake();
        }
        match poll {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => self.at_end(cx),
            Poll::Ready(Some(Ok(chunk))) => Poll::Ready(Some(Ok(Frame::data(self.pay(chunk))))),
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(path = %self.entry.path(), %error, "a response broke off");
                self.fail(cx, "the response broke off")
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
                self.overpaid = true;
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
        match self.get_mut() {
            Self::Elsewhere => Poll::Ready(None),
            Self::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        // An application must be asked for its end even when it has paid all that it owed.
        matches!(self, Self::Elsewhere)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Elsewhere => SizeHint::with_exact(0),
            Self::Stream(stream) => stream.owed.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
