//! A request's body as the events that `receive()` gives (ASGI "HTTP & WebSocket": "Request", "Disconnect").

use std::{
    fs::File,
    io::Read,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use ironbridge_exchange::{BodyFraming, RequestBody, pipe::Receiver};

use super::desk::Desk;

/// What has not been received of a request's body.
#[derive(Debug)]
pub struct Incoming {
    source: Source,
    /// Bytes that are still to come, where Content-Length says so.
    left: Option<u64>,
}

#[derive(Debug)]
enum Source {
    Bytes(Bytes),
    File(File),
    Stream(Receiver),
    /// All of it has been received.
    Over,
}

/// What became of the body.
#[derive(Debug)]
pub enum Part {
    /// The next part of it.
    Body {
        /// Bytes, which may be none.
        body: Bytes,
        /// Whether more will come.
        more: bool,
    },
    /// Nothing: the client has left before its end.
    Broken,
    /// Nothing: all of it has been received.
    Over,
}

impl Incoming {
    /// A body that is framed like this.
    pub fn new(body: RequestBody, framing: BodyFraming) -> Self {
        let left = match framing {
            BodyFraming::Length(length) => Some(length),
            BodyFraming::None => Some(0),
            BodyFraming::Chunked => None,
        };
        let source = match body {
            RequestBody::Empty => Source::Bytes(Bytes::new()),
            RequestBody::Bytes(bytes) => Source::Bytes(bytes),
            RequestBody::Spooled { file, .. } => Source::File(file),
            RequestBody::Stream(receiver) => Source::Stream(receiver),
        };
        Self { source, left }
    }

    /// The next part, of which `desk` is told when it is not there yet.
    pub fn poll_part(&mut self, desk: &Arc<Desk>) -> Poll<Part> {
        let part = match &mut self.source {
            Source::Bytes(bytes) => Part::Body { body: std::mem::take(bytes), more: false },
            Source::File(file) => read_block(file),
            Source::Stream(receiver) => {
                let waker = Waker::from(Arc::clone(desk));
                let (poll, wakers) = receiver.poll_chunk(&mut Context::from_waker(&waker));
                wakers.into_iter().for_each(|waker| desk.wake(Some(waker)));
                match ready!(poll) {
                    Some(Ok(body)) => {
                        self.left = self.left.map(|left| left.saturating_sub(body.len() as u64));
                        Part::Body { more: self.left != Some(0) && !receiver.is_finished(), body }
                    }
                    None => Part::Body { body: Bytes::new(), more: false },
                    Some(Err(_)) => Part::Broken,
                }
            }
            Source::Over => Part::Over,
        };
        if !matches!(part, Part::Body { more: true, .. }) {
            self.source = Source::Over;
        }
        Poll::Ready(part)
    }
}

fn read_block(file: &mut File) -> Part {
    let mut block = vec![0; BLOCK];
    match file.read(&mut block) {
        Ok(n @ 1..) => {
            block.truncate(n);
            Part::Body { body: block.into(), more: true }
        }
        Ok(0) | Err(_) => Part::Body { body: Bytes::new(), more: false },
    }
}

/// Bytes that are read from a spooled body at a time.
const BLOCK: usize = 64 * 1024;
