//! A request's body on its way to the application: read ahead, spooled, or pumped while the application runs.

use std::{
    future::poll_fn,
    io::{self, Seek, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use hyper::body::Incoming;
use ironbridge_exchange::{
    RequestBody,
    pipe::{self, PipeError},
};

use crate::{
    config::Buffering,
    gate::{lane::Lane, refusal::Refusal},
};

/// Reads a body ahead as far as `buffering` says. With the pump, the rest arrives while it is polled.
///
/// # Errors
/// See [`Unread`].
pub async fn read_ahead(
    mut incoming: Incoming,
    lane: &Arc<Lane>,
    buffering: Buffering,
    expects_continue: bool,
) -> Result<(RequestBody, Option<Pump>), Unread> {
    let length = incoming.size_hint().exact();
    let fits = length.is_some_and(|length| length <= buffering.memory as u64);
    if expects_continue && !buffering.spool && !(fits && buffering.asks_early) {
        // The client is asked to go on only when the application reads.
        return Ok(stream(incoming, lane, [], buffering, false));
    }
    let mut memory =
        BytesMut::with_capacity(length.map_or(0, |length| length.min(buffering.memory as u64) as usize));
    while let Some(chunk) = next_chunk(&mut incoming).await {
        let chunk = chunk.map_err(|_| Unread::why(lane))?;
        if memory.len() + chunk.len() <= buffering.memory {
            memory.extend_from_slice(&chunk);
        } else if buffering.spool {
            return spool(incoming, lane, [memory.freeze(), chunk]).await;
        } else {
            return Ok(stream(incoming, lane, [memory.freeze(), chunk], buffering, true));
        }
    }
    Ok((if memory.is_empty() { RequestBody::Empty } else { RequestBody::Bytes(memory.freeze()) }, None))
}

/// Why a body could not be read ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It broke a rule.
    Refused(Refusal),
    /// The client left.
    ClientGone,
    /// There is no room for it; the log says why.
    SpoolFailed,
}

impl Unread {
    fn why(lane: &Lane) -> Self {
        lane.body_fault().map_or(Self::ClientGone, Self::Refused)
    }
}

fn stream(
    incoming: Incoming,
    lane: &Arc<Lane>,
    first: impl IntoIterator<Item = Bytes>,
    buffering: Buffering,
    started: bool,
) -> (RequestBody, Option<Pump>) {
    let (sender, receiver) = pipe::pipe(buffering.memory.max(LEAST_WINDOW));
    let mut received = 0;
    for chunk in first {
        received += chunk.len() as u64;
        // The receiver is ours still, so the push cannot fail and wakes nobody.
        let _ = sender.push(chunk);
    }
    let pump =
        Pump { incoming, sender: Some(sender), lane: Arc::clone(lane), started, received, is_over: false };
    (RequestBody::Stream(receiver), Some(pump))
}

async fn spool(
    mut incoming: Incoming,
    lane: &Arc<Lane>,
    first: [Bytes; 2],
) -> Result<(RequestBody, Option<Pump>), Unread> {
    let mut file = tempfile::tempfile().map_err(|error| spool_failed(&error))?;
    let mut len = 0;
    for chunk in first {
        len += chunk.len() as u64;
        file.write_all(&chunk).map_err(|error| spool_failed(&error))?;
    }
    while let Some(chunk) = next_chunk(&mut incoming).await {
        let chunk = chunk.map_err(|_| Unread::why(lane))?;
        len += chunk.len() as u64;
        file.write_all(&chunk).map_err(|error| spool_failed(&error))?;
    }
    file.rewind().map_err(|error| spool_failed(&error))?;
    Ok((RequestBody::Spooled { file, len }, None))
}

fn spool_failed(error: &io::Error) -> Unread {
    tracing::error!(%error, directory = %std::env::temp_dir().display(), "cannot spool a request body");
    Unread::SpoolFailed
}

async fn next_chunk(incoming: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    poll_fn(|cx| poll_chunk(incoming, cx)).await
}

fn poll_chunk(incoming: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
    loop {
        match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                // Trailers have been checked by the gate; WSGI has no place for them.
                if let Ok(data) = frame.into_data() {
                    return Poll::Ready(Some(Ok(data)));
                }
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(None),
        }
    }
}

/// Moves a body from hyper to the application for as long as it is polled.
///
/// It does not wait for hyper to say that the body is over: while a streamed response is being sent, which hyper believes
/// to have ended, hyper turns to the next request and forgets to say so.
#[derive(Debug)]
pub struct Pump {
    incoming: Incoming,
    sender: Option<pipe::Sender>,
    lane: Arc<Lane>,
    started: bool,
    /// Bytes of the body so far.
    received: u64,
    /// All of the body has been moved, or it broke off.
    is_over: bool,
}

impl Pump {
    /// Whether the rest of the body is at hand, so that hyper can do away with it when nobody asks for it.
    pub fn is_all_here(&self) -> bool {
        self.is_over
            || self.incoming.is_end_stream()
            || self.lane.is_whole_body(self.received)
            || self.incoming.size_hint().exact().is_some() && self.lane.has_whole_body()
    }

    /// Moves what can be moved. Ready when there is nothing more to move.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sender) = &self.sender else { return Poll::Ready(()) };
        loop {
            if !self.started {
                // Asking hyper for the body makes it send 100 Continue: not before somebody reads.
                ready!(sender.poll_wanted(cx));
                self.started = true;
            }
            if ready!(sender.poll_ready(cx)).is_err() {
                self.sender = None;
                return Poll::Ready(());
            }
            match poll_chunk(&mut self.incoming, cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    self.received += chunk.len() as u64;
                    wake(sender.push(chunk).ok().flatten());
                }
                Poll::Ready(Some(Err(_))) => return self.end(Err(self.why())),
                Poll::Ready(None) => return self.end(Ok(())),
                Poll::Pending if self.lane.is_whole_body(self.received) => return self.end(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn end(&mut self, how: Result<(), PipeError>) -> Poll<()> {
        self.is_over = true;
        if let Some(sender) = self.sender.take() {
            wake(match how {
                Ok(()) => sender.finish(),
                Err(error) => sender.fail(error),
            });
        }
        Poll::Ready(())
    }

    fn why(&self) -> PipeError {
        match self.lane.body_fault() {
            Some(Refusal::BodyTooLarge) => PipeError::TooLarge,
            Some(Refusal::BodyTimeout) => PipeError::TimedOut,
            Some(_) => PipeError::Malformed,
            None => PipeError::Closed,
        }
    }
}

fn wake(waker: Option<std::task::Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The least number of bytes that may wait for an application that streams.
const LEAST_WINDOW: usize = 16 * 1024;
