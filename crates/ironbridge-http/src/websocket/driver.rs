//! A WebSocket's life after its handshake: one task that reads and writes frames, sends pings, and closes.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use ironbridge_exchange::websocket::{Close, Outgoing, Wire};
use tokio::{
    io::ReadBuf,
    time::{Instant, Sleep, sleep},
};

use super::{
    config::WebSocketConfig,
    decoder::{Decoder, Event},
    encoder::Encoder,
    extension::Deflate,
    frame::{Failure, Opcode},
};
use crate::gate::{alarm::Alarm, io::GateIo, scratch, transport::Transport};

/// What hyper's connection leaves behind when it becomes a WebSocket.
#[derive(Debug)]
pub struct Upgrade {
    /// The application.
    pub wire: Wire,
    /// What was agreed about compression.
    pub deflate: Option<Deflate>,
}

/// Speaks with the client until the connection is closed. `is_draining`: the server ends; whoever says so wakes this task.
pub async fn drive<T: Transport>(
    io: GateIo<T>,
    upgrade: Upgrade,
    config: &WebSocketConfig,
    is_draining: impl Fn() -> bool,
) {
    let mut driver = Driver::new(io, upgrade, config);
    poll_fn(|cx| driver.poll(cx, is_draining())).await;
}

/// One connection.
struct Driver<'a, T: Transport> {
    io: GateIo<T>,
    config: &'a WebSocketConfig,
    wire: Wire,
    decoder: Decoder,
    encoder: Encoder,
    /// Bytes that were read and wait for room.
    early: BytesMut,
    alarm: Alarm,
    stage: Stage,
    failure: Option<Failure>,
    timer: Pin<Box<Sleep>>,
    timer_is_for: Wait,
    /// It has been set and not been asked since: it would wake nobody.
    timer_is_new: bool,
    /// Bytes that the client had acknowledged when the timer began, where that can be told.
    acknowledged: Option<u64>,
    /// How many it has acknowledged when it has got the last ping, or our close frame.
    end: u64,
    /// Reading is held back, so that an answer may wait unread.
    is_held: bool,
}

/// How far the closing handshake is (RFC 6455 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The client has broken the protocol, and is not heard any more; the application answers what came before.
    Failing,
    /// Our close frame is on its way; the client's has not come.
    Closing,
    /// Nothing of what the client sends matters any more: ours has to leave.
    Leaving,
    /// It has left, and our side is shut; the client has to shut its.
    Lingering,
    /// There is no connection any more.
    Over,
}

/// What the timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Nothing,
    /// The next ping.
    Ping,
    /// The answer to one.
    Pong,
    /// The application's answers to what came before a failure.
    Answers,
    /// The client's part in closing.
    Close,
}

impl<'a, T: Transport> Driver<'a, T> {
    fn new(mut io: GateIo<T>, upgrade: Upgrade, config: &'a WebSocketConfig) -> Self {
        let Upgrade { wire, deflate } = upgrade;
        let early = io.upgrade();
        let mut driver = Self {
            io,
            config,
            wire,
            decoder: Decoder::new(config.max_size, deflate.as_ref()),
            encoder: Encoder::new(deflate.as_ref()),
            early,
            alarm: Alarm::default(),
            stage: Stage::Open,
            failure: None,
            timer: Box::pin(sleep(FOREVER)),
            timer_is_for: Wait::Nothing,
            timer_is_new: false,
            acknowledged: None,
            end: 0,
            is_held: false,
        };
        driver.plan_ping();
        driver
    }

    fn poll(&mut self, cx: &mut Context<'_>, is_draining: bool) -> Poll<()> {
        if is_draining && self.stage == Stage::Open {
            // What the application has sent goes first.
            self.finish(cx);
        }
        loop {
            let more = self.poll_read(cx);
            // What has come counts, however late we are in looking.
            self.poll_timer(cx);
            self.poll_write(cx);
            // What it was held back by may have gone.
            if self.timer_is_new || self.is_held && self.may_read(cx) {
                continue;
            }
            match self.stage {
                Stage::Over => return Poll::Ready(()),
                // A turn for everybody else.
                _ if more => cx.waker().wake_by_ref(),
                Stage::Lingering => {}
                Stage::Leaving if self.encoder.is_empty() => {
                    if self.poll_shutdown(cx).is_ready() {
                        continue;
                    }
                }
                Stage::Open | Stage::Failing | Stage::Closing | Stage::Leaving => {}
            }
            return Poll::Pending;
        }
    }

    /// The server ends: what the application has sent goes first, and its own close if it has closed.
    fn finish(&mut self, cx: &mut Context<'_>) {
        let restart = Close { code: Close::RESTART, reason: "the server restarts".into() };
        let told = self.wire.end(restart.clone());
        loop {
            let (taken, waker) = self.wire.poll_take(cx);
            wake(waker);
            match taken {
                Poll::Ready(Outgoing::Message(message)) => self.encoder.message(message),
                Poll::Ready(Outgoing::Close(close)) => {
                    self.encoder.close(&close);
                    break;
                }
                Poll::Pending => {
                    self.encoder.close(&restart);
                    break;
                }
            }
        }
        told.into_iter().flatten().for_each(wake);
        self.await_close();
    }

    /// Reads what there is, as far as the application has room. Whether there is more.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            let taken = self.take(cx, &early);
            if taken < early.len() {
                self.early = early;
                self.early.advance(taken);
                return false;
            }
        }
        for _ in 0..MOST_READS {
            let may_read = match self.stage {
                Stage::Open | Stage::Closing => self.may_read(cx),
                Stage::Lingering => true,
                Stage::Failing | Stage::Over | Stage::Leaving => false,
            };
            if !may_read {
                return false;
            }
            let came = scratch::with(|scratch| {
                let mut buf = ReadBuf::new(scratch);
                let transport = self.io.transport();
                let read = self.alarm.poll(cx, |cx| Pin::new(transport).poll_read(cx, &mut buf));
                match read {
                    Poll::Pending => Came::Nothing,
                    Poll::Ready(Ok(())) if buf.filled().is_empty() => Came::End,
                    Poll::Ready(Ok(())) if self.stage == Stage::Lingering => Came::Bytes,
                    Poll::Ready(Ok(())) => {
                        if self.timer_is_for == Wait::Pong {
                            // Whatever comes shows that the client is there.
                            self.plan_ping();
                        }
                        let bytes = buf.filled();
                        let taken = self.take(cx, bytes);
                        self.early.extend_from_slice(&bytes[taken..]);
                        Came::Bytes
                    }
                    Poll::Ready(Err(_)) => Came::End,
                }
            });
            match came {
                Came::Nothing => return false,
                Came::Bytes if !self.early.is_empty() => return false,
                Came::Bytes => {}
                Came::End => {
                    self.tell(Close::with_code(Close::ABNORMAL));
                    self.stage = Stage::Over;
                    return false;
                }
            }
        }
        true
    }

    /// Whether more of the client can be heard: the application has room, and so have our answers.
    fn may_read(&mut self, cx: &mut Context<'_>) -> bool {
        let may =
            self.encoder.has_room() && (self.stage != Stage::Open || self.wire.poll_room(cx).is_ready());
        self.is_held = !may;
        may
    }

    /// Takes frames off `bytes` as long as there is room for what they say. Returns how many bytes were taken.
    fn take(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> usize {
        let mut left = bytes;
        while matches!(self.stage, Stage::Open | Stage::Closing) {
            if !self.may_read(cx) {
                return bytes.len() - left.len();
            }
            match self.decoder.feed(&mut left) {
                Ok(None) => break,
                Ok(Some(Event::Message(message))) => {
                    // What comes behind our close frame is for nobody.
                    if self.stage == Stage::Open {
                        wake(self.wire.push(message));
                    }
                }
                Ok(Some(Event::Ping(payload))) => {
                    if self.stage == Stage::Open {
                        self.encoder.control(Opcode::Pong, &payload);
                    }
                }
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Close(close))) => {
                    if self.stage == Stage::Open {
                        self.encoder.close(&Close { code: close.code, reason: String::new() });
                    }
                    self.tell(close);
                    self.leave();
                }
                Err(failure) if self.stage == Stage::Open => {
                    self.stage = Stage::Failing;
                    self.failure = Some(failure);
                    self.set_timer(Wait::Answers, ANSWER_PATIENCE);
                }
                Err(failure) => {
                    self.tell(failure.close());
                    self.leave();
                }
            }
        }
        bytes.len()
    }

    /// Sends what the application gives, as far as the client takes it.
    fn poll_write(&mut self, cx: &mut Context<'_>) {
        loop {
            while matches!(self.stage, Stage::Open | Stage::Failing) && self.encoder.has_room() {
                let (taken, waker) = self.wire.poll_take(cx);
                wake(waker);
                match taken {
                    Poll::Ready(Outgoing::Message(message)) => self.encoder.message(message),
                    Poll::Ready(Outgoing::Close(close)) => {
                        self.encoder.close(&close);
                        match self.failure.take() {
                            Some(failure) => {
                                self.tell(failure.close());
                                self.leave();
                            }
                            None => self.await_close(),
                        }
                    }
                    Poll::Pending if self.stage == Stage::Failing && self.wire.poll_taken(cx).is_ready() => {
                        self.fail();
                    }
                    Poll::Pending => break,
                }
            }
            if self.encoder.is_empty() || matches!(self.stage, Stage::Lingering | Stage::Over) {
                return;
            }
            let sent = self.encoder.poll_send(self.io.transport(), cx);
            match self.io.watch_write(sent, self.encoder.total()) {
                // There may be more by now.
                Poll::Ready(Ok(())) => {}
                Poll::Pending => return,
                Poll::Ready(Err(_)) => {
                    self.tell(Close::with_code(Close::ABNORMAL));
                    self.stage = Stage::Over;
                    return;
                }
            }
        }
    }

    /// Everything has left: shuts our side.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match Pin::new(self.io.transport()).poll_shutdown(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => {
                self.stage = Stage::Lingering;
                self.set_timer(Wait::Close, LINGER);
                Poll::Ready(())
            }
            Poll::Ready(Err(_)) => {
                self.stage = Stage::Over;
                Poll::Ready(())
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) {
        loop {
            self.timer_is_new = false;
            if self.timer_is_for == Wait::Nothing || self.timer.as_mut().poll(cx).is_pending() {
                return;
            }
            match self.timer_is_for {
                Wait::Nothing => {}
                Wait::Ping => self.ping(),
                Wait::Answers => self.fail(),
                Wait::Pong => {
                    if self.is_held {
                        self.plan_ping();
                        continue;
                    }
                    // The ping may lie behind much that the client still takes.
                    let had_ping = self.acknowledged.is_none_or(|before| before >= self.end);
                    if let Some(timeout) = self.config.ping_timeout.filter(|_| !had_ping && self.has_taken())
                    {
                        self.set_timer(Wait::Pong, timeout);
                        continue;
                    }
                    tracing::debug!("a WebSocket's client did not answer a ping");
                    self.close(&Close { code: Close::FAILED, reason: "no answer to a ping".into() });
                    self.leave();
                }
                Wait::Close => {
                    // The close frame may lie behind much, too.
                    let had_much = self.acknowledged.is_some_and(|before| before + MUCH < self.end);
                    if had_much && self.has_taken() {
                        let patience = if self.stage == Stage::Lingering { LINGER } else { CLOSE_PATIENCE };
                        self.set_timer(Wait::Close, patience);
                        continue;
                    }
                    self.tell(Close::with_code(Close::ABNORMAL));
                    self.stage = Stage::Over;
                    return;
                }
            }
        }
    }

    /// Says why the connection fails.
    fn fail(&mut self) {
        if let Some(failure) = self.failure.take() {
            self.encoder.close(&failure.close());
            self.tell(failure.close());
        }
        self.leave();
    }

    /// It is time for a ping.
    fn ping(&mut self) {
        self.encoder.rest();
        // Whoever takes nothing would not get it; the write deadline is for that.
        if !self.encoder.is_empty() {
            return self.plan_ping();
        }
        self.encoder.control(Opcode::Ping, b"");
        self.end = self.encoder.total() + self.encoder.pending();
        match self.config.ping_timeout {
            Some(timeout) => self.set_timer(Wait::Pong, timeout),
            None => self.plan_ping(),
        }
    }

    /// Bytes that the client has acknowledged.
    fn acknowledged(&mut self) -> Option<u64> {
        let unsent = self.io.transport().unsent()?;
        Some(self.encoder.total().saturating_sub(unsent))
    }

    /// Whether the client has taken something since the timer began.
    fn has_taken(&mut self) -> bool {
        self.acknowledged().zip(self.acknowledged).is_some_and(|(now, before)| now > before)
    }

    fn plan_ping(&mut self) {
        match self.config.ping_interval {
            Some(interval) => self.set_timer(Wait::Ping, interval),
            None => self.timer_is_for = Wait::Nothing,
        }
    }

    /// Closes on the server's own account, and tells the application.
    fn close(&mut self, close: &Close) {
        self.encoder.close(close);
        self.tell(close.clone());
        self.await_close();
    }

    fn await_close(&mut self) {
        self.stage = Stage::Closing;
        self.end = self.encoder.total() + self.encoder.pending();
        self.set_timer(Wait::Close, CLOSE_PATIENCE);
    }

    /// Nothing is expected of the client any more.
    fn leave(&mut self) {
        self.stage = Stage::Leaving;
        self.end = self.encoder.total() + self.encoder.pending();
        self.set_timer(Wait::Close, CLOSE_PATIENCE);
    }

    fn set_timer(&mut self, wait: Wait, time: Duration) {
        self.timer_is_for = wait;
        self.timer_is_new = true;
        self.acknowledged = self.acknowledged();
        self.timer.as_mut().reset(Instant::now() + time);
    }

    fn tell(&self, close: Close) {
        self.wire.closed(close).into_iter().for_each(wake);
    }
}

/// What came of one read.
enum Came {
    Nothing,
    Bytes,
    End,
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Reads at a stretch.
const MOST_READS: usize = 4;
/// For the application to answer what came before a failure.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
/// For the client to answer our close frame, or to take it.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);
/// So many bytes before a close frame may keep a slow client from getting it in time.
const MUCH: u64 = 16 * 1024;
/// For the client to close after us, so that our close does not become a reset that eats our last frame.
const LINGER: Duration = Duration::from_secs(2);
/// Longer than any server runs.
const FOREVER: Duration = Duration::from_secs(86_400 * 365);
