//! A WebSocket between a front end, which speaks the protocol (RFC 6455), and an application, which takes and gives messages.
//!
//! As in a [`pipe`](crate::pipe), neither side blocks, and whom an operation would wake is handed to the caller.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

/// One message, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// UTF-8, checked by whoever made it.
    Text(Bytes),
    /// Any bytes.
    Binary(Bytes),
}

/// How a connection ends (RFC 6455 section 7.1.5 and 7.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The status code; [`Close::NO_CODE`] and [`Close::ABNORMAL`] are never on the wire.
    pub code: u16,
    /// In words, at most [`Close::MOST_REASON`] bytes.
    pub reason: String,
}

/// What the application receives.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A message.
    Message(Message),
    /// The connection is closed, or closing: nothing more will come.
    Closed(Close),
}

/// What the front end is to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A message.
    Message(Message),
    /// A close frame; nothing follows.
    Close(Close),
}

/// Nobody is there to take a message: the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the WebSocket is closed")]
pub struct Gone;

/// A request that may become a WebSocket.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// Messages that may wait for the application.
    pub queue: usize,
}

/// The application's end. Dropped without [`Socket::close`], the connection ends with [`Close::FAILED`].
#[derive(Debug)]
pub struct Socket {
    shared: Arc<Mutex<State>>,
}

/// The front end's end. Dropped without [`Wire::closed`], the application is told of [`Close::ABNORMAL`].
#[derive(Debug)]
pub struct Wire {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    queue: usize,
    incoming: VecDeque<Message>,
    /// Bytes of the messages in `incoming`.
    waiting: usize,
    closed: Option<Close>,
    outgoing: VecDeque<Message>,
    /// Bytes of the messages in `outgoing`.
    unsent: usize,
    close: Option<Close>,
    /// The close frame has been taken, or the wire is gone.
    is_over: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// The front end waits for something to send.
    sender: Option<Waker>,
    /// The front end waits for room.
    receiver: Option<Waker>,
}

impl Message {
    /// Its bytes.
    pub fn payload(&self) -> &Bytes {
        match self {
            Self::Text(payload) | Self::Binary(payload) => payload,
        }
    }
}

impl Close {
    /// All is well.
    pub const NORMAL: u16 = 1000;
    /// The peer broke the protocol.
    pub const PROTOCOL: u16 = 1002;
    /// A close frame without a code; never sent.
    pub const NO_CODE: u16 = 1005;
    /// The connection broke without a close frame; never sent.
    pub const ABNORMAL: u16 = 1006;
    /// A text message is not UTF-8.
    pub const INVALID: u16 = 1007;
    /// A message is too large.
    pub const TOO_BIG: u16 = 1009;
    /// The server failed.
    pub const FAILED: u16 = 1011;
    /// The server ends or starts anew.
    pub const RESTART: u16 = 1012;

    /// Most bytes of a reason: what a control frame has room for behind the code.
    pub const MOST_REASON: usize = 123;

    /// Whether a close frame may hold this code (RFC 6455 section 7.4 and the IANA registry).
    pub fn may_be_sent(code: u16) -> bool {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// With a code and no reason.
    pub fn with_code(code: u16) -> Self {
        Self { code, reason: String::new() }
    }
}

impl Offer {
    /// The two ends of the connection.
    pub fn accept(&self) -> (Socket, Wire) {
        let shared = Arc::new(Mutex::new(State {
            queue: self.queue.max(1),
            incoming: VecDeque::new(),
            waiting: 0,
            closed: None,
            outgoing: VecDeque::new(),
            unsent: 0,
            close: None,
            is_over: false,
            reader: None,
            writer: None,
            sender: None,
            receiver: None,
        }));
        (Socket { shared: Arc::clone(&shared) }, Wire { shared })
    }
}

impl Socket {
    /// The next message, or how the connection was closed, which stays so; and whom to wake because there is room.
    pub fn poll_receive(&self, cx: &mut Context<'_>) -> (Poll<Incoming>, Option<Waker>) {
        let mut state = lock(&self.shared);
        if let Some(message) = state.incoming.pop_front() {
            state.waiting -= message.payload().len();
            let waker = if state.has_room() { state.receiver.take() } else { None };
            return (Poll::Ready(Incoming::Message(message)), waker);
        }
        if let Some(closed) = &state.closed {
            return (Poll::Ready(Incoming::Closed(closed.clone())), None);
        }
        store(&mut state.reader, cx);
        // Whoever waits for room may wait for this, too.
        (Poll::Pending, state.receiver.take())
    }

    /// Sends a message, even if many wait already (ask [`Socket::has_room`] afterwards); returns whom to wake.
    ///
    /// # Errors
    /// [`Gone`] when it cannot be sent any more.
    pub fn push(&self, message: Message) -> Result<Option<Waker>, Gone> {
        let mut state = lock(&self.shared);
        if state.closed.is_some() || state.close.is_some() || state.is_over {
            return Err(Gone);
        }
        state.unsent += message.payload().len() + FRAME;
        state.outgoing.push_back(message);
        Ok(state.sender.take())
    }

    /// Sends a close frame behind all messages; the first one counts. Returns whom to wake.
    pub fn close(&self, close: Close) -> Option<Waker> {
        let mut state = lock(&self.shared);
        state.close.get_or_insert(close);
        state.sender.take()
    }

    /// Whether few enough bytes wait for the client; also when the connection is closed.
    pub fn has_room(&self) -> bool {
        lock(&self.shared).is_taken()
    }

    /// Ready when few enough bytes wait for the client, or the connection is closed.
    ///
    /// # Errors
    /// [`Gone`]: the latter.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let mut state = lock(&self.shared);
        if state.closed.is_some() || state.is_over {
            return Poll::Ready(Err(Gone));
        }
        if state.is_taken() {
            return Poll::Ready(Ok(()));
        }
        store(&mut state.writer, cx);
        Poll::Pending
    }

    /// How the connection was closed, if it was.
    pub fn closed(&self) -> Option<Close> {
        lock(&self.shared).closed.clone()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(waker) = self.close(Close::with_code(Close::FAILED)) {
            waker.wake();
        }
    }
}

impl Wire {
    /// Gives the application a message; returns whom to wake. Ask [`Wire::poll_room`] first.
    pub fn push(&self, message: Message) -> Option<Waker> {
        let mut state = lock(&self.shared);
        state.waiting += message.payload().len();
        state.incoming.push_back(message);
        state.reader.take()
    }

    /// Ready when the application has room for another message.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.shared);
        if state.has_room() {
            return Poll::Ready(());
        }
        store(&mut state.receiver, cx);
        Poll::Pending
    }

    /// Ready when the application has taken every message and waits for another one.
    pub fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.shared);
        if state.incoming.is_empty() && state.reader.is_some() {
            return Poll::Ready(());
        }
        store(&mut state.receiver, cx);
        Poll::Pending
    }

    /// Tells the application that nothing more will come, and why; the first reason counts. Returns whom to wake.
    pub fn closed(&self, close: Close) -> [Option<Waker>; 2] {
        let mut state = lock(&self.shared);
        if state.closed.is_some() {
            return [None, None];
        }
        state.closed = Some(close);
        [state.reader.take(), state.writer.take()]
    }

    /// As [`Wire::closed`], unless the application has closed and that has not been taken: `None` then, and nothing is told. From now on
    /// the application cannot send anything more.
    pub fn end(&self, close: Close) -> Option<[Option<Waker>; 2]> {
        let mut state = lock(&self.shared);
        if state.close.is_some() && !state.is_over {
            return None;
        }
        state.closed.get_or_insert(close);
        Some([state.reader.take(), state.writer.take()])
    }

    /// What to send next; and whom to wake because there is room. Nothing comes behind a close.
    pub fn poll_take(&self, cx: &mut Context<'_>) -> (Poll<Outgoing>, Option<Waker>) {
        let mut state = lock(&self.shared);
        if let Some(message) = state.outgoing.pop_front() {
            state.unsent -= message.payload().len() + FRAME;
            let waker = if state.unsent <= WINDOW / 2 { state.writer.take() } else { None };
            return (Poll::Ready(Outgoing::Message(message)), waker);
        }
        if !state.is_over
            && let Some(close) = state.close.clone()
        {
            state.is_over = true;
            return (Poll::Ready(Outgoing::Close(close)), state.writer.take());
        }
        store(&mut state.sender, cx);
        (Poll::Pending, None)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let wakers = self.closed(Close::with_code(Close::ABNORMAL));
        let mut state = lock(&self.shared);
        state.is_over = true;
        let unsent = std::mem::take(&mut state.outgoing);
        state.unsent = 0;
        drop(state);
        drop(unsent);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.incoming.len() < self.queue && self.waiting < MOST_WAITING
    }

    fn is_taken(&self) -> bool {
        self.unsent < WINDOW || self.closed.is_some() || self.is_over
    }
}

fn store(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        none => *none = Some(cx.waker().clone()),
    }
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    // No code of others runs under this lock, so a poisoned state is still whole.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that may wait for the client, about.
const WINDOW: usize = 64 * 1024;
/// What a message counts for beyond its bytes.
const FRAME: usize = 16;
/// Bytes of messages that may wait for the application, however few they are; the last one may go beyond.
const MOST_WAITING: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn text(text: &'static str) -> Message {
        Message::Text(Bytes::from_static(text.as_bytes()))
    }

    fn receive(socket: &Socket) -> Poll<Incoming> {
        socket.poll_receive(&mut context()).0
    }

    #[test]
    fn messages_come_in_order_and_then_the_close_for_ever() {
        let (socket, wire) = Offer { queue: 8 }.accept();
        assert!(receive(&socket).is_pending());
        assert!(wire.push(text("a")).is_some(), "a reader waits");
        wire.push(text("b"));
        let _ = wire.closed(Close { code: 4001, reason: "why".into() });
        let _ = wire.closed(Close::with_code(1006));
        assert_eq!(receive(&socket), Poll::Ready(Incoming::Message(text("a"))));
        assert_eq!(receive(&socket), Poll::Ready(Incoming::Message(text("b"))));
        for _ in 0..2 {
            let closed = Close { code: 4001, reason: "why".into() };
            assert_eq!(receive(&socket), Poll::Ready(Incoming::Closed(closed)));
        }
        assert_eq!(socket.push(text("c")).err(), Some(Gone));
    }

    #[test]
    fn what_the_application_sends_comes_before_its_close_and_nothing_after() {
        let (socket, wire) = Offer { queue: 8 }.accept();
        socket.push(text("a")).unwrap();
        socket.close(Close::with_code(1000));
        socket.close(Close::with_code(1011));
        assert_eq!(socket.push(text("b")).err(), Some(Gone));
        let take = || wire.poll_take(&mut context()).0;
        assert_eq!(take(), Poll::Ready(Outgoing::Message(text("a"))));
        assert_eq!(take(), Poll::Ready(Outgoing::Close(Close::with_code(1000))));
        assert!(take().is_pending());
    }

    #[test]
    fn the_end_of_the_server_comes_behind_what_was_sent_and_not_before_the_applications_own() {
        let (socket, wire) = Offer { queue: 8 }.accept();
        socket.push(text("a")).unwrap();
        assert!(wire.end(Close::with_code(Close::RESTART)).is_some());
        assert_eq!(socket.push(text("b")).err(), Some(Gone));
        assert_eq!(wire.poll_take(&mut context()).0, Poll::Ready(Outgoing::Message(text("a"))));
        let (socket, wire) = Offer { queue: 8 }.accept();
        socket.close(Close::with_code(4001));
        assert!(wire.end(Close::with_code(Close::RESTART)).is_none() && socket.closed().is_none());
        assert_eq!(wire.poll_take(&mut context()).0, Poll::Ready(Outgoing::Close(Close::with_code(4001))));
    }

    #[test]
    fn a_full_queue_holds_the_front_end_back_until_a_message_is_taken() {
        let (socket, wire) = Offer { queue: 2 }.accept();
        wire.push(text("a"));
        assert!(wire.poll_room(&mut context()).is_ready());
        wire.push(text("b"));
        assert!(wire.poll_room(&mut context()).is_pending());
        let (message, waker) = socket.poll_receive(&mut context());
        assert!(message.is_ready() && waker.is_some());
        assert!(wire.poll_room(&mut context()).is_ready());
    }

    #[test]
    fn the_front_end_hears_when_everything_has_been_taken() {
        let (socket, wire) = Offer { queue: 2 }.accept();
        assert!(wire.poll_taken(&mut context()).is_pending(), "the application has not asked yet");
        wire.push(text("a"));
        assert!(receive(&socket).is_ready());
        assert!(wire.poll_taken(&mut context()).is_pending(), "it may still answer");
        let (message, waker) = socket.poll_receive(&mut context());
        assert!(message.is_pending() && waker.is_some());
        assert!(wire.poll_taken(&mut context()).is_ready());
    }

    #[test]
    fn few_large_messages_fill_the_queue_as_well() {
        let (socket, wire) = Offer { queue: 32 }.accept();
        wire.push(Message::Binary(vec![0; MOST_WAITING].into()));
        assert!(wire.poll_room(&mut context()).is_pending());
        assert!(receive(&socket).is_ready() && wire.poll_room(&mut context()).is_ready());
    }

    #[test]
    fn a_sender_waits_for_room_and_hears_of_the_end() {
        let (socket, wire) = Offer { queue: 2 }.accept();
        socket.push(Message::Binary(vec![0; WINDOW].into())).unwrap();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        assert!(!socket.has_room());
        assert!(socket.poll_room(&mut Context::from_waker(&waker)).is_pending());
        drop(wire);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(socket.poll_room(&mut context()), Poll::Ready(Err(Gone)));
        assert_eq!(receive(&socket), Poll::Ready(Incoming::Closed(Close::with_code(Close::ABNORMAL))));
    }

    #[test]
    fn an_application_that_drops_its_end_has_failed() {
        let (socket, wire) = Offer { queue: 2 }.accept();
        drop(socket);
        let failed = Outgoing::Close(Close::with_code(Close::FAILED));
        assert_eq!(wire.poll_take(&mut context()).0, Poll::Ready(failed));
    }
}
