//! A response's body that is still being made: taken from the application chunk by chunk, and framed (RFC 9112 section 7.1).

use std::{
    fmt,
    future::Future,
    io::{self, IoSlice, Write},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes};
use ironbridge_exchange::pipe::{PipeError, Receiver};

use super::transport::Transport;
use crate::journal::Entry;

/// Where a streamed body comes from.
pub struct Source {
    /// The application's chunks.
    pub receiver: Receiver,
    /// What has to go on meanwhile: the rest of the request on its way to the application.
    pub meanwhile: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Ends with the body.
    pub entry: Entry,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("receiver", &self.receiver).finish_non_exhaustive()
    }
}

/// How the client learns where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// By Content-Length; so many bytes are still owed.
    Length(u64),
    /// By the last chunk.
    Chunked,
    /// By our close.
    UntilClose,
}

/// A streamed body on its way to the socket.
#[derive(Debug)]
pub(super) struct Streamed {
    source: Source,
    framing: Framing,
    /// A large chunk that is being sent, and the end of its framing.
    chunk: Bytes,
    tail: &'static [u8],
    /// More came than Content-Length had promised; what it had promised has been taken.
    overpaid: bool,
    /// All that belongs to the body has been taken.
    over: bool,
}

impl Streamed {
    /// A body before its first chunk.
    pub(super) fn new(source: Source, framing: Framing) -> Self {
        Self { source, framing, chunk: Bytes::new(), tail: b"", overpaid: false, over: false }
    }

    /// How the body is framed.
    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether a chunk waits for the socket.
    pub(super) fn has_chunk(&self) -> bool {
        !self.chunk.is_empty() || !self.tail.is_empty()
    }

    /// Whether all of the body has been sent, once nothing waits for the socket.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// The body has been sent.
    pub(super) fn end(mut self) {
        self.source.entry.complete();
    }

    /// Takes chunks from the application until there is something worth sending, or no more to come. Small ones are copied
    /// to `out`.
    ///
    /// # Errors
    /// When the body breaks off. All that came before has been sent then.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<io::Result<()>> {
        if let Some(meanwhile) = &mut self.source.meanwhile
            && meanwhile.as_mut().poll(cx).is_ready()
        {
            self.source.meanwhile = None;
        }
        while out.len() < ENOUGH && !self.has_chunk() {
            let item = if self.overpaid { Poll::Ready(None) } else { self.poll_chunk(cx) };
            match item {
                Poll::Ready(Some(Ok(chunk))) => {
                    let chunk = self.pay(chunk);
                    self.put(chunk, out);
                }
                Poll::Ready(None) if self.is_paid() => {
                    self.over = true;
                    if self.framing == Framing::Chunked {
                        out.extend_from_slice(b"0\r\n");
                        out.extend_from_slice(self.source.receiver.take_trailers().as_bytes());
                        out.extend_from_slice(b"\r\n");
                    }
                    break;
                }
                // First comes what there is; how it breaks off is asked again.
                Poll::Ready(_) | Poll::Pending if !out.is_empty() => break,
                Poll::Ready(broken) => return Poll::Ready(Err(self.break_off(broken.and_then(Result::err)))),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends some of the chunk, behind `waiting`. Ready with how many bytes have gone.
    pub(super) fn poll_send<T: Transport>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
        waiting: &[u8],
    ) -> Poll<io::Result<usize>> {
        let slices = [IoSlice::new(waiting), IoSlice::new(&self.chunk), IoSlice::new(self.tail)];
        let n = ready!(Pin::new(transport).poll_write_vectored(cx, &slices))?;
        let beyond = n.saturating_sub(waiting.len());
        let of_chunk = beyond.min(self.chunk.len());
        self.chunk.advance(of_chunk);
        self.tail = &self.tail[beyond - of_chunk..];
        Poll::Ready(Ok(n))
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PipeError>>> {
        let (poll, wakers) = self.source.receiver.poll_chunk(cx);
        wakers.into_iter().for_each(Waker::wake);
        poll
    }

    /// Cuts `chunk` to what is still owed.
    fn pay(&mut self, mut chunk: Bytes) -> Bytes {
        if let Framing::Length(owed) = &mut self.framing {
            if chunk.len() as u64 > *owed {
                tracing::warn!(
                    path = %self.source.entry.path(),
                    "the application sent more than its Content-Length; the rest is cut off"
                );
                chunk.truncate(usize::try_from(*owed).unwrap_or(usize::MAX));
                self.overpaid = true;
            }
            *owed -= chunk.len() as u64;
        }
        self.source.entry.count(chunk.len());
        chunk
    }

    /// Frames a chunk, in `out` or, where it is large, behind it.
    fn put(&mut self, chunk: Bytes, out: &mut Vec<u8>) {
        if chunk.is_empty() {
            // It would be taken for the last one.
            return;
        }
        let is_chunked = self.framing == Framing::Chunked;
        if is_chunked {
            // Writing to memory does not fail.
            let _ = write!(out, "{:x}\r\n", chunk.len());
        }
        let tail: &'static [u8] = if is_chunked { b"\r\n" } else { b"" };
        if chunk.len() < WORTH_SHARING {
            out.extend_from_slice(&chunk);
            out.extend_from_slice(tail);
        } else {
            self.chunk = chunk;
            self.tail = tail;
        }
    }

    fn is_paid(&self) -> bool {
        !matches!(self.framing, Framing::Length(1..))
    }

    fn break_off(&self, error: Option<PipeError>) -> io::Error {
        let path = self.source.entry.path();
        match (error, self.framing) {
            (Some(error), _) => tracing::debug!(%path, %error, "a response broke off"),
            (None, Framing::Length(missing)) => tracing::warn!(
                %path, missing,
                "the application sent less than its Content-Length; the connection is closed"
            ),
            (None, Framing::Chunked | Framing::UntilClose) => {}
        }
        io::Error::other("the response broke off")
    }
}

/// From this size on a chunk is not copied.
const WORTH_SHARING: usize = 4 * 1024;
/// So many bytes are worth a write of their own, even if more chunks are there.
const ENOUGH: usize = 16 * 1024;
