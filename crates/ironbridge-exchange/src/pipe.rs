//! A bounded stream of byte chunks between two parties that may live on different threads.
//!
//! Neither side ever blocks here, and nothing is woken behind the caller's back: what an operation would
//! wake is handed to the caller as a [`Waker`], because only the caller knows the cheapest way to wake it
//! (an engine that will soon drive the reactor itself needs no system call for that).

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use crate::block::HeaderBlock;

/// Why a stream ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PipeError {
    /// The other side went away: the client left, or the application failed.
    #[error("the other side closed the stream before its end")]
    Closed,
    /// The bytes broke the framing rules of their protocol.
    #[error("the body is malformed")]
    Malformed,
    /// The body grew beyond what the server accepts.
    #[error("the body is larger than the server accepts")]
    TooLarge,
    /// The peer was slower than the server tolerates.
    #[error("the peer was too slow")]
    TimedOut,
}

/// Makes a pipe that takes chunks as long as fewer than `capacity` bytes wait in it.
pub fn pipe(capacity: usize) -> (Sender, Receiver) {
    let shared = Arc::new(Mutex::new(State {
        chunks: VecDeque::new(),
        len: 0,
        capacity: capacity.max(1),
        end: None,
        receiver_gone: false,
        wanted: false,
        trailers: HeaderBlock::default(),
        senders: Vec::new(),
        receiver_waker: None,
    }));
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared })
}

/// The writing side. Dropped without [`Sender::finish`], the stream ends with [`PipeError::Closed`].
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Mutex<State>>,
}

/// The reading side. Dropped early, the sender sees [`PipeError::Closed`].
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    chunks: VecDeque<Bytes>,
    len: usize,
    capacity: usize,
    end: Option<Result<(), PipeError>>,
    receiver_gone: bool,
    wanted: bool,
    trailers: HeaderBlock,
    /// Who waits for room: as many as there are threads that use the one sender at once.
    senders: Vec<Waker>,
    receiver_waker: Option<Waker>,
}

impl State {
    /// The next chunk, or the first piece of a large one: what the receiver holds stays small.
    fn take_piece(&mut self) -> Option<Bytes> {
        let first = self.chunks.front_mut()?;
        let piece = if first.len() > LARGEST_PIECE {
            first.split_to(LARGEST_PIECE)
        } else {
            self.chunks.pop_front()?
        };
        self.len -= piece.len();
        Some(piece)
    }
}

impl Sender {
    /// Whether there is room for another chunk; also when the receiver is gone.
    pub fn has_room(&self) -> bool {
        let state = lock(&self.shared);
        state.receiver_gone || state.len < state.capacity
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        lock(&self.shared).receiver_gone
    }

    /// Ready when there is room for another chunk. Any number of threads may wait at once.
    ///
    /// # Errors
    /// [`PipeError::Closed`] when the receiver is gone.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>> {
        self.poll_until(cx, |state| state.len < state.capacity)
    }

    /// Ready when the receiver has taken everything that was pushed.
    ///
    /// # Errors
    /// [`PipeError::Closed`] when the receiver is gone.
    pub fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>> {
        self.poll_until(cx, |state| state.chunks.is_empty())
    }

    /// Ready when the receiver is gone.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_until(cx, |_| false).map(|_| ())
    }

    /// Ready once the receiver has asked for a chunk for the first time, or is gone.
    pub fn poll_wanted(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_until(cx, |state| state.wanted).map(|_| ())
    }

    /// Appends a chunk, even beyond the capacity (ask [`Sender::poll_ready`] first); returns whom to wake.
    ///
    /// # Errors
    /// [`PipeError::Closed`] when the receiver is gone; the chunk is dropped.
    pub fn push(&self, chunk: Bytes) -> Result<Option<Waker>, PipeError> {
        let mut state = lock(&self.shared);
        if state.receiver_gone {
            return Err(PipeError::Closed);
        }
        if !chunk.is_empty() {
            state.len += chunk.len();
            state.chunks.push_back(chunk);
        }
        Ok(state.receiver_waker.take())
    }

    /// Ends the stream well, with header lines behind it (RFC 9110 section 6.5); returns whom to wake.
    pub fn finish_with(&self, trailers: HeaderBlock) -> Option<Waker> {
        lock(&self.shared).trailers = trailers;
        self.finish()
    }

    /// Ends the stream well; returns whom to wake.
    pub fn finish(&self) -> Option<Waker> {
        self.end(Ok(()))
    }

    /// Ends the stream with an error, after the chunks already pushed; returns whom to wake.
    pub fn fail(&self, error: PipeError) -> Option<Waker> {
        self.end(Err(error))
    }

    fn end(&self, how: Result<(), PipeError>) -> Option<Waker> {
        let mut state = lock(&self.shared);
        state.end.get_or_insert(how);
        state.receiver_waker.take()
    }

    fn poll_until(&self, cx: &mut Context<'_>, done: fn(&State) -> bool) -> Poll<Result<(), PipeError>> {
        let mut state = lock(&self.shared);
        if state.receiver_gone {
            return Poll::Ready(Err(PipeError::Closed));
        }
        if done(&state) {
            return Poll::Ready(Ok(()));
        }
        if !state.senders.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.senders.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let waker = {
            let mut state = lock(&self.shared);
            state.end.get_or_insert(Err(PipeError::Closed));
            state.receiver_waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Receiver {
    /// The next chunk, `None` at the end; and whom to wake because room was made or something is wanted.
    pub fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> (Poll<Option<Result<Bytes, PipeError>>>, Vec<Waker>) {
        let mut state = lock(&self.shared);
        let first_call = !mem::replace(&mut state.wanted, true);
        let poll = match state.take_piece() {
            Some(chunk) => Poll::Ready(Some(Ok(chunk))),
            None => match state.end {
                Some(Ok(())) => Poll::Ready(None),
                Some(Err(error)) => Poll::Ready(Some(Err(error))),
                None => {
                    match &mut state.receiver_waker {
                        Some(waker) => waker.clone_from(cx.waker()),
                        none => *none = Some(cx.waker().clone()),
                    }
                    Poll::Pending
                }
            },
        };
        // A sender that waits for room is worth waking when there is room for more than one chunk.
        let room_made = poll.is_ready() && state.len <= state.capacity / 2;
        let wakers = if first_call || room_made { mem::take(&mut state.senders) } else { Vec::new() };
        (poll, wakers)
    }

    /// The header lines behind a stream that has ended well.
    pub fn take_trailers(&mut self) -> HeaderBlock {
        mem::take(&mut lock(&self.shared).trailers)
    }

    /// Whether the stream has ended well and every chunk was taken.
    pub fn is_finished(&self) -> bool {
        let state = lock(&self.shared);
        state.chunks.is_empty() && state.end == Some(Ok(()))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let wakers = {
            let mut state = lock(&self.shared);
            state.receiver_gone = true;
            state.chunks.clear();
            state.len = 0;
            mem::take(&mut state.senders)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    // No code of others runs under this lock, so a poisoned state is still whole.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Chunks beyond this many bytes are taken piece by piece.
const LARGEST_PIECE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn chunk(receiver: &mut Receiver) -> Option<Result<Bytes, PipeError>> {
        match receiver.poll_chunk(&mut context()).0 {
            Poll::Ready(item) => item,
            Poll::Pending => panic!("no chunk is ready"),
        }
    }

    #[test]
    fn chunks_come_out_in_order_and_then_the_end() {
        let (sender, mut receiver) = pipe(10);
        sender.push(Bytes::from_static(b"one")).unwrap();
        sender.push(Bytes::from_static(b"two")).unwrap();
        let mut trailers = HeaderBlock::default();
        trailers.push(b"A", b"b");
        sender.finish_with(trailers.clone());
        assert_eq!(chunk(&mut receiver), Some(Ok(Bytes::from_static(b"one"))));
        assert!(!receiver.is_finished());
        assert_eq!(chunk(&mut receiver), Some(Ok(Bytes::from_static(b"two"))));
        assert!(receiver.is_finished());
        assert_eq!(chunk(&mut receiver), None);
        assert_eq!(receiver.take_trailers(), trailers);
    }

    #[test]
    fn a_full_pipe_is_not_ready_until_the_receiver_makes_room() {
        let (sender, mut receiver) = pipe(3);
        sender.push(Bytes::from_static(b"full")).unwrap();
        assert!(sender.poll_ready(&mut context()).is_pending());
        let (poll, wakers) = receiver.poll_chunk(&mut context());
        assert!(poll.is_ready() && wakers.len() == 1, "the sender waited and must be woken");
        assert_eq!(sender.poll_ready(&mut context()), Poll::Ready(Ok(())));
        assert_eq!(sender.poll_drained(&mut context()), Poll::Ready(Ok(())));
    }

    #[test]
    fn a_sender_is_woken_when_half_of_the_pipe_is_free() {
        let (sender, mut receiver) = pipe(4);
        assert!(receiver.poll_chunk(&mut context()).0.is_pending());
        for _ in 0..4 {
            sender.push(Bytes::from_static(b"x")).unwrap();
        }
        assert!(sender.poll_ready(&mut context()).is_pending());
        assert!(receiver.poll_chunk(&mut context()).1.is_empty(), "room for one");
        assert_eq!(receiver.poll_chunk(&mut context()).1.len(), 1, "room for two");
    }

    #[test]
    fn all_threads_that_wait_are_woken() {
        struct Flag;
        impl Wake for Flag {
            fn wake(self: Arc<Self>) {}
        }
        let (sender, mut receiver) = pipe(3);
        sender.push(Bytes::from_static(b"full")).unwrap();
        let wakers = [Waker::from(Arc::new(Flag)), Waker::from(Arc::new(Flag))];
        for waker in wakers.iter().chain(&wakers) {
            assert!(sender.poll_ready(&mut Context::from_waker(waker)).is_pending());
        }
        assert!(!sender.has_room(), "asking wakes nobody and forgets nobody");
        let (_, woken) = receiver.poll_chunk(&mut context());
        assert_eq!(woken.len(), 2);
        assert!(wakers.iter().all(|waker| woken.iter().any(|woken| woken.will_wake(waker))));
        assert!(sender.has_room());
    }

    #[test]
    fn a_sender_can_wait_until_it_is_asked() {
        let (sender, mut receiver) = pipe(3);
        assert!(sender.poll_wanted(&mut context()).is_pending());
        let (poll, wakers) = receiver.poll_chunk(&mut context());
        assert!(poll.is_pending() && wakers.len() == 1, "the first question wakes the sender");
        assert!(sender.poll_wanted(&mut context()).is_ready());
    }

    #[test]
    fn a_sender_dropped_early_fails_the_stream() {
        let (sender, mut receiver) = pipe(3);
        sender.push(Bytes::from_static(b"x")).unwrap();
        drop(sender);
        assert_eq!(chunk(&mut receiver), Some(Ok(Bytes::from_static(b"x"))));
        assert_eq!(chunk(&mut receiver), Some(Err(PipeError::Closed)));
    }

    #[test]
    fn a_receiver_dropped_early_stops_the_sender() {
        let (sender, receiver) = pipe(3);
        drop(receiver);
        assert!(matches!(sender.push(Bytes::from_static(b"x")), Err(PipeError::Closed)));
        assert_eq!(sender.poll_ready(&mut context()), Poll::Ready(Err(PipeError::Closed)));
    }

    #[test]
    fn a_sender_can_wait_for_the_receiver_to_go() {
        let (sender, receiver) = pipe(3);
        assert!(sender.poll_closed(&mut context()).is_pending());
        drop(receiver);
        assert!(sender.poll_closed(&mut context()).is_ready());
    }
}
