//! One connection: sends a request, reads its response, and connects anew where it must.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SendFlags, SocketFlags, SocketType};

use crate::plan::{Class, Fate, Plan};
use crate::response::{Progress, ResponseReader};
use crate::websocket::{FrameReader, Handshake};

/// A slot that holds a connection, if any, and the request under way on it, if any.
#[derive(Debug)]
pub(crate) struct Connection {
    index: u64,
    socket: Option<OwnedFd>,
    exchange: Option<Exchange>,
    reader: ResponseReader,
    /// Of a WebSocket that is not one yet.
    handshake: Option<Handshake>,
    frames: FrameReader,
}

/// A request under way.
#[derive(Debug)]
struct Exchange {
    class: usize,
    begun: Instant,
    sent: usize,
    received: usize,
    /// The response that is whole, while the server's close is awaited.
    status: Option<u16>,
}

/// How a request ended.
#[derive(Debug)]
pub(crate) struct Ending {
    /// Index of its class.
    pub(crate) class: usize,
    /// When it was begun.
    pub(crate) begun: Instant,
    /// What came of it.
    pub(crate) outcome: Outcome,
}

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A whole response with this status.
    Answered(u16),
    /// The client left on purpose.
    Left,
    /// The connection or the response broke.
    Failed(String),
}

impl Connection {
    pub(crate) fn new(index: usize) -> Self {
        Self {
            index: index as u64,
            socket: None,
            exchange: None,
            reader: ResponseReader::default(),
            handshake: None,
            frames: FrameReader::default(),
        }
    }

    /// Whether a request is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.exchange.is_some()
    }

    /// Whether the connection is one, and a WebSocket where it should be.
    pub(crate) fn is_open(&self) -> bool {
        self.socket.is_some() && self.handshake.is_none()
    }

    /// Connects ahead of the first request.
    pub(crate) fn open(&mut self, plan: &Plan, poll: &OwnedFd) -> io::Result<()> {
        self.connect(plan, poll)
    }

    /// Awaits what another connection sends.
    pub(crate) fn listen(&mut self, class: usize, plan: &Plan) {
        let sent = plan.classes[class].bytes.len();
        self.exchange = Some(Exchange { class, begun: Instant::now(), sent, received: 0, status: None });
    }

    /// Begins a request; its end may come at once.
    pub(crate) fn begin(&mut self, class: usize, plan: &Plan, poll: &OwnedFd) -> Option<Ending> {
        self.exchange = Some(Exchange { class, begun: Instant::now(), sent: 0, received: 0, status: None });
        if self.socket.is_none()
            && let Err(error) = self.connect(plan, poll)
        {
            return self.fail(error.to_string());
        }
        self.send(plan)
    }

    /// Goes on after an event of the socket.
    pub(crate) fn ready(&mut self, plan: &Plan, buffer: &mut [u8]) -> Option<Ending> {
        match self.shake(plan, buffer) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(message) => return self.fail(message),
        }
        let Some(exchange) = &self.exchange else {
            self.notice_close(buffer);
            return None;
        };
        if exchange.sent < plan.classes[exchange.class].bytes.len()
            && let Some(ending) = self.send(plan)
        {
            return Some(ending);
        }
        self.receive(plan, buffer)
    }

    /// Gives the request up, if one is under way.
    pub(crate) fn give_up(&mut self) -> Option<Ending> {
        self.exchange.is_some().then(|| self.fail("no answer".into())).flatten()
    }

    /// Goes on with the handshake of a WebSocket. Whether it is over.
    fn shake(&mut self, plan: &Plan, buffer: &mut [u8]) -> Result<bool, String> {
        let (Some(handshake), Some(socket), Some(request)) =
            (&mut self.handshake, &self.socket, &plan.upgrade)
        else {
            return Ok(true);
        };
        while handshake.sent < request.len() {
            match net::send(socket.as_fd(), &request[handshake.sent..], SendFlags::NOSIGNAL) {
                Ok(sent) => handshake.sent += sent,
                Err(Errno::AGAIN | Errno::NOTCONN) => return Ok(false),
                Err(error) => return Err(io::Error::from(error).to_string()),
            }
        }
        loop {
            let bytes = match net::recv(socket.as_fd(), &mut *buffer, net::RecvFlags::empty()) {
                Ok((_, 0)) => return Err("closed before the handshake was whole".into()),
                Ok((_, count)) => &buffer[..count],
                Err(Errno::AGAIN | Errno::NOTCONN) => return Ok(false),
                Err(error) => return Err(io::Error::from(error).to_string()),
            };
            if let Some(rest) = handshake.feed(bytes)? {
                self.frames.feed(&rest);
                self.handshake = None;
                return Ok(true);
            }
        }
    }

    fn connect(&mut self, plan: &Plan, poll: &OwnedFd) -> io::Result<()> {
        let address = plan.address;
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
        net::sockopt::set_tcp_nodelay(&socket, true)?;
        match net::connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        // Edge-triggered: one registration serves the connection's whole life.
        let events =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(poll, &socket, epoll::EventData::new_u64(self.index), events)?;
        self.reader = ResponseReader::default();
        self.frames = FrameReader::default();
        self.handshake = plan.upgrade.as_ref().map(|_| Handshake::default());
        self.socket = Some(socket);
        Ok(())
    }

    fn send(&mut self, plan: &Plan) -> Option<Ending> {
        if self.handshake.is_some() {
            return None;
        }
        let (socket, exchange) = (self.socket.as_ref()?, self.exchange.as_mut()?);
        let class = &plan.classes[exchange.class];
        let goal = until(class);
        while exchange.sent < goal {
            match net::send(socket.as_fd(), &class.bytes[exchange.sent..goal], SendFlags::NOSIGNAL) {
                Ok(sent) => exchange.sent += sent,
                Err(Errno::AGAIN | Errno::NOTCONN) => return None,
                Err(Errno::INTR) => {}
                // The server may answer before it has read all, and close: what it said is still there to read.
                Err(Errno::PIPE | Errno::CONNRESET) if exchange.sent > 0 => return None,
                Err(error) => return self.fail(io::Error::from(error).to_string()),
            }
        }
        matches!(class.fate, Fate::Cut(_)).then(|| self.close(Outcome::Left)).flatten()
    }

    fn receive(&mut self, plan: &Plan, buffer: &mut [u8]) -> Option<Ending> {
        loop {
            let (socket, exchange) = (self.socket.as_ref()?, self.exchange.as_mut()?);
            let bytes = match net::recv(socket.as_fd(), &mut *buffer, net::RecvFlags::empty()) {
                Ok((_, 0)) => return self.ended(),
                Ok((_, count)) => &buffer[..count],
                Err(Errno::AGAIN | Errno::NOTCONN) => return None,
                Err(Errno::INTR) => continue,
                Err(error) => return self.fail(io::Error::from(error).to_string()),
            };
            exchange.received += bytes.len();
            if plan.upgrade.is_some() {
                if self.frames.feed(bytes) > 0 {
                    return self.finish(Outcome::Answered(UPGRADED));
                }
                continue;
            }
            if matches!(plan.classes[exchange.class].fate, Fate::Leave(limit) if exchange.received >= limit) {
                return self.close(Outcome::Left);
            }
            match self.reader.feed(bytes) {
                Ok(Progress::Partial) => {}
                // The close is part of the exchange: without waiting for it, this side would run out of ports.
                Ok(Progress::Whole { status, closes }) if closes || plan.close => {
                    exchange.status = Some(status)
                }
                Ok(Progress::Whole { status, .. }) => return self.finish(Outcome::Answered(status)),
                Err(message) => return self.fail(message.into()),
            }
        }
    }

    /// The server closed while a request was under way.
    fn ended(&mut self) -> Option<Ending> {
        let answered = self.exchange.as_ref().and_then(|exchange| exchange.status);
        match (answered, self.reader.end()) {
            (Some(status), _) | (None, Some(Progress::Whole { status, .. })) => {
                self.close(Outcome::Answered(status))
            }
            _ => self.fail("closed before the response was whole".into()),
        }
    }

    /// The server may close a connection between two requests.
    fn notice_close(&mut self, buffer: &mut [u8]) {
        let Some(socket) = &self.socket else { return };
        match net::recv(socket.as_fd(), buffer, net::RecvFlags::empty()) {
            Err(error) if io::Error::from(error).kind() == ErrorKind::WouldBlock => {}
            _ => self.socket = None,
        }
    }

    fn fail(&mut self, message: String) -> Option<Ending> {
        self.close(Outcome::Failed(message))
    }

    fn close(&mut self, outcome: Outcome) -> Option<Ending> {
        self.socket = None;
        self.finish(outcome)
    }

    fn finish(&mut self, outcome: Outcome) -> Option<Ending> {
        self.exchange.take().map(|Exchange { class, begun, .. }| Ending { class, begun, outcome })
    }
}

/// The status that stands for a message: all is well.
const UPGRADED: u16 = 200;

/// How many bytes of the request are sent.
fn until(class: &Class) -> usize {
    match class.fate {
        Fate::Cut(bytes) => bytes.min(class.bytes.len()),
        Fate::Whole | Fate::Leave(_) => class.bytes.len(),
    }
}
