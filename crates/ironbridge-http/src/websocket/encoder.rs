//! Messages on their way out: framed, collected, and sent.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use ironbridge_exchange::websocket::{Close, Message};

use super::{
    deflate::Deflater,
    extension::Deflate,
    frame::{Opcode, put_head},
};
use crate::gate::transport::Transport;

/// Frames that wait for the socket.
#[derive(Debug)]
pub(super) struct Encoder {
    deflater: Option<Deflater>,
    /// The deflater has been used since the last rest.
    is_in_use: bool,
    out: Vec<u8>,
    sent: usize,
    /// A large payload behind `out`.
    payload: Bytes,
    /// Bytes that the socket has taken.
    total: u64,
}

impl Encoder {
    pub(super) fn new(agreed: Option<&Deflate>) -> Self {
        Self {
            deflater: agreed.map(Deflater::new),
            is_in_use: false,
            out: Vec::new(),
            sent: 0,
            payload: Bytes::new(),
            total: 0,
        }
    }

    /// Whether another message should be taken.
    pub(super) fn has_room(&self) -> bool {
        self.payload.is_empty() && self.out.len() - self.sent < ENOUGH
    }

    /// Bytes that the socket has taken.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Bytes that wait for it.
    pub(super) fn pending(&self) -> u64 {
        (self.out.len() - self.sent + self.payload.len()) as u64
    }

    /// Whether the socket has everything.
    pub(super) fn is_empty(&self) -> bool {
        self.payload.is_empty() && self.sent == self.out.len()
    }

    pub(super) fn message(&mut self, message: Message) {
        let (opcode, payload) = match message {
            Message::Text(payload) => (Opcode::Text, payload),
            Message::Binary(payload) => (Opcode::Binary, payload),
        };
        self.flatten();
        if payload.len() >= WORTH_DEFLATING && self.put_deflated(opcode, &payload) {
            return;
        }
        put_head(&mut self.out, opcode, false, payload.len());
        if payload.len() < WORTH_SHARING {
            self.out.extend_from_slice(&payload);
        } else {
            self.payload = payload;
        }
    }

    /// A ping or a pong, of at most 125 bytes.
    pub(super) fn control(&mut self, opcode: Opcode, payload: &[u8]) {
        self.flatten();
        put_head(&mut self.out, opcode, false, payload.len());
        self.out.extend_from_slice(payload);
    }

    pub(super) fn close(&mut self, close: &Close) {
        let mut payload = Vec::new();
        // Codes that say that there was none are never sent.
        if Close::may_be_sent(close.code) {
            payload.extend_from_slice(&close.code.to_be_bytes());
            let mut most = close.reason.len().min(Close::MOST_REASON);
            while !close.reason.is_char_boundary(most) {
                most -= 1;
            }
            payload.extend_from_slice(&close.reason.as_bytes()[..most]);
        }
        self.control(Opcode::Close, &payload);
    }

    /// From time to time: what has not been used since the last time is given back.
    pub(super) fn rest(&mut self) {
        if !std::mem::take(&mut self.is_in_use)
            && let Some(deflater) = &mut self.deflater
        {
            deflater.rest();
        }
    }

    /// Sends what waits. Ready when nothing does any more.
    pub(super) fn poll_send<T: Transport>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let waiting = &self.out[self.sent..];
            let n = if self.payload.is_empty() {
                ready!(Pin::new(&mut *transport).poll_write(cx, waiting))?
            } else {
                let slices = [IoSlice::new(waiting), IoSlice::new(&self.payload)];
                ready!(Pin::new(&mut *transport).poll_write_vectored(cx, &slices))?
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_out = n.min(self.out.len() - self.sent);
            self.sent += of_out;
            self.payload.advance(n - of_out);
            self.total += n as u64;
            if self.sent > ENOUGH {
                // More may be put behind what is left before the socket has taken all of it, again and again.
                self.out.drain(..self.sent);
                self.sent = 0;
            }
        }
        self.payload = Bytes::new();
        self.sent = 0;
        // An idle connection holds no buffer worth mentioning.
        if self.out.capacity() > KEEP {
            self.out = Vec::new()
        } else {
            self.out.clear()
        }
        Poll::Ready(Ok(()))
    }

    fn put_deflated(&mut self, opcode: Opcode, payload: &[u8]) -> bool {
        let Some(deflater) = &mut self.deflater else { return false };
        let mut deflated = Vec::new();
        if !deflater.deflate(payload, &mut deflated) {
            return false;
        }
        self.is_in_use = true;
        put_head(&mut self.out, opcode, true, deflated.len());
        if deflated.len() < WORTH_SHARING {
            self.out.extend_from_slice(&deflated);
        } else {
            self.payload = deflated.into();
        }
        true
    }

    /// A large payload that waits goes before what is put behind it.
    fn flatten(&mut self) {
        if !self.payload.is_empty() {
            self.out.extend_from_slice(&self.payload);
            self.payload = Bytes::new();
        }
    }
}

/// From this size on a message is compressed: below it there is nothing to gain.
const WORTH_DEFLATING: usize = 64;
/// From this size on a payload is not copied.
const WORTH_SHARING: usize = 8 * 1024;
/// So many bytes are worth a write of their own, even if more messages are there.
const ENOUGH: usize = 32 * 1024;
/// A buffer up to this size is kept.
const KEEP: usize = 1024;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;

    /// Takes some bytes each time that it is asked a first time.
    struct Trickle {
        step: usize,
        left: usize,
    }

    impl AsyncRead for Trickle {
        fn poll_read(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            _buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Trickle {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let n = bytes.len().min(self.left);
            self.left -= n;
            if n == 0 { Poll::Pending } else { Poll::Ready(Ok(n)) }
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Transport for Trickle {
        fn poll_send_file(
            &mut self,
            _cx: &mut Context<'_>,
            _file: &std::fs::File,
            _offset: u64,
            _len: usize,
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn unsent(&self) -> Option<u64> {
            None
        }

        fn reset_on_close(&self) {}
    }

    #[test]
    fn a_socket_that_never_takes_all_makes_no_buffer_grow() {
        let mut encoder = Encoder::new(None);
        let mut socket = Trickle { step: 20_000, left: 0 };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for _ in 0..500 {
            while encoder.has_room() {
                encoder.message(Message::Binary(vec![7; 7900].into()));
            }
            socket.left = socket.step;
            assert!(encoder.poll_send(&mut socket, &mut cx).is_pending());
        }
        assert_eq!(encoder.total(), 500 * 20_000);
        assert!(encoder.out.capacity() < 8 * ENOUGH, "{}", encoder.out.capacity());
    }

    #[test]
    fn a_close_frame_holds_what_may_be_sent_and_fits() {
        let frame = |close: &Close| {
            let mut encoder = Encoder::new(None);
            encoder.close(close);
            encoder.out
        };
        assert_eq!(frame(&Close::with_code(1005)), [0x88, 0]);
        assert_eq!(frame(&Close::with_code(1006)), [0x88, 0]);
        assert_eq!(frame(&Close { code: 4001, reason: "why".into() }), b"\x88\x05\x0f\xa1why");
        let long = frame(&Close { code: 1000, reason: "\u{e9}".repeat(100) });
        assert_eq!((long[1], long.len()), (124, 126), "no half characters");
    }

    #[test]
    fn control_frames_keep_their_place_behind_a_large_message() {
        let mut encoder = Encoder::new(None);
        encoder.message(Message::Binary(vec![7; WORTH_SHARING].into()));
        assert!(!encoder.has_room());
        encoder.message(Message::Binary(vec![8; WORTH_SHARING].into()));
        assert_eq!((encoder.out.len(), encoder.payload[0]), (WORTH_SHARING + 8, 8));
        encoder.control(Opcode::Pong, b"x");
        assert!(encoder.payload.is_empty() && encoder.out.ends_with(b"\x08\x8a\x01x"));
    }
}
