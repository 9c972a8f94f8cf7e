//! The gate as hyper sees it: a byte stream.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use hyper::rt::{Read, ReadBufCursor, Write};

use super::{
    lane::Lane,
    reader::{ReadLimits, Reader},
    transport::Transport,
    writer::{Signature, Writer},
};
use crate::deadline::{ReadWait, Ticket};

/// Stands between a socket and hyper.
#[derive(Debug)]
pub struct GateIo<T: Transport> {
    transport: T,
    reader: Reader,
    writer: Writer,
    deadline: Ticket,
    lane: Arc<Lane>,
    closing: Closing,
    /// What the writer's total was when the client last took something.
    taken: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    /// Our side is shut; we read on for a while.
    Lingering {
        budget: usize,
    },
    Done,
}

impl<T: Transport> GateIo<T> {
    /// A gate before `transport`.
    pub fn new(
        transport: T,
        lane: Arc<Lane>,
        limits: ReadLimits,
        signature: Signature,
        deadline: Ticket,
    ) -> Self {
        Self {
            transport,
            reader: Reader::new(Arc::clone(&lane), limits),
            writer: Writer::new(Arc::clone(&lane), signature),
            deadline,
            lane,
            closing: Closing::No,
            taken: 0,
        }
    }

    /// Gives memory back for as long as the connection is idle.
    pub fn shrink(&mut self) {
        self.reader.shrink();
        self.writer.shrink();
    }

    /// Waits for the next request without hyper. Ready with whether there is one; without, the connection is over.
    pub fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.reader.poll_wake(&mut self.transport, &mut self.deadline, cx)
    }

    /// The connection has become a WebSocket: no deadline of HTTP holds any more. Returns the bytes behind the request.
    pub fn upgrade(&mut self) -> BytesMut {
        self.deadline.stop_reading();
        self.writer.shrink();
        self.taken = 0;
        let early = self.reader.take_input();
        self.reader.shrink();
        early
    }

    /// The socket, for whoever speaks over it after an [upgrade](Self::upgrade).
    pub fn transport(&mut self) -> &mut T {
        &mut self.transport
    }

    /// Keeps the write deadline after an [upgrade](Self::upgrade): `poll` is what sending came to, and `total` what the socket has taken
    /// since then.
    pub fn watch_write(&mut self, poll: Poll<io::Result<()>>, total: u64) -> Poll<io::Result<()>> {
        let has_taken = std::mem::replace(&mut self.taken, total) != total;
        if poll.is_ready() || has_taken {
            self.deadline.stop_writing();
        }
        // After progress it begins anew.
        if poll.is_pending() && self.deadline.write_is_late(|| self.transport.unsent()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        poll
    }

    /// Whether nothing that the client sends from now on can turn our close into a reset that eats the end of a response
    /// (RFC 9112 section 9.6). What is small has reached the client's receive buffer, wherever it has got to.
    fn may_close_at_once(&mut self, cx: &mut Context<'_>) -> bool {
        self.reader.is_between_requests()
            && !self.reader.has_more(&mut self.transport, cx)
            && (self.writer.total() <= SMALL || self.has_taken_all())
    }

    fn has_taken_all(&self) -> bool {
        self.transport.unsent().is_none_or(|unsent| unsent == 0)
    }

    /// Whether a close need not wait any longer: for a client that goes on taking its response it does.
    fn linger_is_over(&mut self) -> bool {
        if !self.deadline.read_is_late(ReadWait::Linger) {
            return false;
        }
        if self.has_taken_all() || self.deadline.write_is_late(|| self.transport.unsent()) {
            return true;
        }
        self.deadline.stop_reading();
        self.deadline.read_is_late(ReadWait::Linger)
    }

    /// Keeps the write deadline: `poll` is what the writer came back with.
    fn watch<R>(&mut self, poll: Poll<io::Result<R>>, cx: &Context<'_>) -> Poll<io::Result<R>> {
        if self.reader.release() {
            cx.waker().wake_by_ref();
        }
        if self.writer.total() != self.taken {
            self.taken = self.writer.total();
            self.deadline.stop_writing();
        }
        match poll {
            // The application may take its time.
            Poll::Pending if self.writer.is_empty() => {
                self.deadline.stop_writing();
                Poll::Pending
            }
            Poll::Pending if self.deadline.write_is_late(|| self.transport.unsent()) => {
                self.lane.abort();
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Pending => Poll::Pending,
            ready => {
                self.deadline.stop_writing();
                if self.closing == Closing::No && self.lane.is_idle() && self.reader.is_between_requests() {
                    // hyper may not ask for the next request before there is one.
                    self.deadline.read_is_late(ReadWait::KeepAlive);
                }
                ready
            }
        }
    }
}

impl<T: Transport> Read for GateIo<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.reader.poll_read(&mut this.transport, &mut this.deadline, cx, &mut buf)
    }
}

impl<T: Transport> Write for GateIo<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = this.writer.poll_write(&mut this.transport, cx, buf);
        this.watch(poll, cx)
    }

    fn is_write_vectored(&self) -> bool {
        // Most of what hyper writes is a short head: collecting slices would only cost time.
        false
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = this.writer.poll_flush(&mut this.transport, cx);
        this.watch(poll, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closing == Closing::No {
            let flushed = this.writer.poll_flush(&mut this.transport, cx);
            ready!(this.watch(flushed, cx))?;
            if this.lane.is_upgraded() {
                // hyper has done its part; the socket lives on.
                return Poll::Ready(Ok(()));
            }
            ready!(Pin::new(&mut this.transport).poll_shutdown(cx))?;
            this.closing = if this.may_close_at_once(cx) {
                Closing::Done
            } else {
                Closing::Lingering { budget: LINGER_BYTES }
            };
        }
        if let Closing::Lingering { budget } = &mut this.closing {
            let poll = this.reader.poll_discard(&mut this.transport, cx, budget);
            if poll.is_pending() && !this.linger_is_over() {
                return Poll::Pending;
            }
            this.closing = Closing::Done;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: Transport> Drop for GateIo<T> {
    fn drop(&mut self) {
        // Framed otherwise, a body that breaks off shows by itself, and a reset could eat what was sent of it.
        if self.lane.is_aborted() && self.writer.is_framed_by_close() {
            self.transport.reset_on_close();
        }
    }
}

/// How much unread input we throw away before we close in spite of it.
const LINGER_BYTES: usize = 1024 * 1024;
/// Bytes of responses that any client has room for.
const SMALL: u64 = 16 * 1024;
