//! A response's body that is all there: sent behind its head, without asking anybody for anything.

use std::{
    fs::File,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};

use super::transport::Transport;
use crate::journal::Entry;

/// A body that needs nothing more from whoever made it.
#[derive(Debug)]
pub enum Payload {
    /// No bytes, whatever the head says of a length: HEAD, 204, 304.
    None,
    /// Memory.
    Bytes(Bytes),
    /// A stretch of a file, for the kernel to send.
    File {
        /// The file; its cursor is not used.
        file: File,
        /// The next byte to send.
        offset: u64,
        /// Bytes left to send.
        len: u64,
    },
}

/// A payload on its way to the socket.
#[derive(Debug)]
pub(super) struct Whole {
    payload: Payload,
    /// Bytes that the head promised beyond the payload.
    missing: u64,
    entry: Entry,
}

impl Payload {
    /// Bytes left to send; `None` where there is no body at all.
    pub fn len(&self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File { len, .. } => Some(*len),
        }
    }

    /// Whether nothing is left to send.
    pub fn is_empty(&self) -> bool {
        self.len().unwrap_or(0) == 0
    }
}

impl Whole {
    /// A payload of which the head has promised so many bytes. A short one is copied to `out`, behind its head.
    pub(super) fn new(
        mut payload: Payload,
        promised: Option<u64>,
        mut entry: Entry,
        out: &mut Vec<u8>,
    ) -> Self {
        let missing = match (payload.len(), promised) {
            (Some(len), Some(promised)) => promised.saturating_sub(len),
            _ => 0,
        };
        if let Payload::Bytes(bytes) = &payload
            && bytes.len() < WORTH_SHARING
        {
            out.extend_from_slice(bytes);
            entry.count(bytes.len());
            payload = Payload::None;
        }
        Self { payload, missing, entry }
    }

    /// Whether the socket has everything, or `out` has.
    pub(super) fn is_sent(&self) -> bool {
        self.payload.is_empty()
    }

    /// Sends some of the payload, behind `waiting`. Ready with how many bytes of both have gone.
    pub(super) fn poll_send<T: Transport>(
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

    /// Everything has been sent.
    ///
    /// # Errors
    /// When that is less than the head has promised: only the connection's end can tell the client.
    pub(super) fn end(mut self) -> io::Result<()> {
        if self.missing > 0 {
            tracing::warn!(
                path = %self.entry.path(), missing = self.missing,
                "the application sent less than its Content-Length; the connection is closed"
            );
            return Err(io::Error::other("less than its Content-Length"));
        }
        self.entry.complete();
        Ok(())
    }

    /// Whether [`Whole::end`] will fail.
    pub(super) fn is_short(&self) -> bool {
        self.missing > 0
    }
}

/// Up to this size a payload leaves in one buffer with its head.
const WORTH_SHARING: usize = 8 * 1024;
