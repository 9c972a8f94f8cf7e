//! One WebSocket as the application sees it: its `receive` and `send` (ASGI "HTTP & WebSocket", sections "WebSocket").

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use ironbridge_exchange::{
    Request, RequestHead, Response, ResponseBody,
    websocket::{Close, Incoming, Message, Offer, Socket},
};
use pyo3::{
    Bound, Py, PyAny, PyErr, PyResult, Python,
    exceptions::{PyRuntimeError, PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyDict, PyString},
};

use super::{
    awaitable::Awaitable,
    conversation::{Conversation, Ended},
    desk::Desk,
    gateway::Common,
    outgoing::Outgoing,
    values::{
        ROOM, bytes_of, disconnected, event_and_kind, heading_of, invalid, is_disconnect, kind_of, part_of,
        push_headers, wrong,
    },
    waiting::{Readers, Writers},
};
use crate::{fork, plain, wsgi::heading::Heading};

/// A WebSocket that an application runs.
#[pyclass(frozen, module = "ironbridge._native")]
pub struct WebSocket {
    desk: Arc<Desk>,
    common: Arc<Common>,
    head: Arc<RequestHead>,
    readers: Readers,
    writers: Writers,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The application has received `websocket.connect`.
    has_connected: bool,
    /// Its task has ended: whatever else of it waits hears the end at once.
    has_ended: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The application has not decided.
    Connecting(Offer),
    /// It refuses with a response of its own (ASGI extensions, "WebSocket Denial Response").
    Denying(Outgoing),
    /// It has refused.
    Denied,
    /// It has accepted.
    Open(Socket),
    /// It has closed.
    Closed(Socket),
}

/// What `receive()` gives.
enum Event {
    Connect,
    Message(Message),
    Disconnect(Close),
}

#[pymethods]
impl WebSocket {
    /// ``await receive()``: the next event.
    fn receive<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Awaitable>> {
        let (py, this) = (slf.py(), slf.get());
        let giver = Conversation::WebSocket(slf.clone().unbind());
        this.readers.receive(py, &this.common, giver, || this.next_event(py))
    }

    /// ``await send(event)``: a message, or a step of the connection's life.
    #[pyo3(signature = (event, /))]
    fn send<'py>(slf: &Bound<'py, Self>, event: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Awaitable>> {
        let (py, this) = (slf.py(), slf.get());
        let (event, kind) = event_and_kind(event, &this.common.names)?;
        let sent = match kind.to_str()? {
            "websocket.send" => this.message(event),
            "websocket.accept" => this.accept(event).map(|()| false),
            "websocket.close" => this.close(event).map(|()| false),
            "websocket.http.response.start" => this.deny(event).map(|()| false),
            "websocket.http.response.body" => this.denial_body(event),
            other => {
                let stage = this.state().stage.name();
                return Err(PyValueError::new_err(format!(
                    "unknown event {other:?} for a WebSocket that {stage}"
                )));
            }
        };
        if this.common.settle(py, sent)? {
            let has_room = || this.state().poll_room(&this.desk).is_ready();
            if let Some(future) = this.writers.wait(py, &this.common, has_room)? {
                return Bound::new(py, Awaitable::waiting(&future, None)?);
            }
        }
        Ok(this.common.nothing.bind(py).clone())
    }

    /// Called with the task when it has ended.
    #[pyo3(signature = (task, /))]
    fn ended(&self, task: &Bound<'_, PyAny>) {
        self.finish(task.py(), Ended::of(task, &self.common.names));
        self.common.forget(task.py(), self.desk.id);
    }
}

impl WebSocket {
    /// A request that has been taken off its desk, and what the front end offers.
    pub fn new(desk: Arc<Desk>, common: Arc<Common>, request: Request, offer: Offer) -> Self {
        let state = State { has_connected: false, has_ended: false, stage: Stage::Connecting(offer) };
        Self {
            desk,
            common,
            head: request.head,
            readers: Readers::default(),
            writers: Writers::default(),
            state: Mutex::new(state),
        }
    }

    /// The request's head.
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// Something may have happened that `receive()` or `send()` wait for.
    ///
    /// # Errors
    /// What a future raises, which none does.
    pub fn look(&self, py: Python<'_>) -> PyResult<()> {
        self.desk.begin_look();
        self.look_for_readers(py)?;
        self.look_for_writers(py)
    }

    /// An event was not received: it is for whoever receives next, at its place.
    ///
    /// # Errors
    /// What a future raises, which none does.
    pub fn take_back(&self, py: Python<'_>, event: Py<PyAny>, place: u64) -> PyResult<()> {
        self.readers.give_back(event, place);
        self.look_for_readers(py)
    }

    /// The application has ended: with the connection closed, or not.
    pub fn finish(&self, py: Python<'_>, failure: Option<Ended>) {
        if fork::is_child() {
            fork::end(py, failure.as_ref().and_then(Ended::error));
        }
        let client_left = self.is_disconnected();
        let code = match &failure {
            None => Close::NORMAL,
            Some(Ended::Cancelled) if self.common.is_stopping() => Close::RESTART,
            Some(_) => Close::FAILED,
        };
        match failure {
            Some(Ended::Raised(error)) if is_disconnect(py, &error, client_left) => {
                tracing::debug!(request = %self.head, %error, "a client left while the application ran");
            }
            Some(Ended::Raised(error)) => self.common.log(py, &self.head, &error),
            Some(Ended::Cancelled) if !client_left => {
                tracing::warn!(request = %self.head, "the application was cancelled");
            }
            None if !client_left && self.state().stage.is_undecided() => {
                tracing::error!(
                    request = %self.head,
                    "the application ended without accepting or refusing the WebSocket"
                );
            }
            Some(Ended::Cancelled) | None => {}
        }
        self.end(code);
        // Tasks of the application's own may still wait.
        if let Err(error) = self.look_for_readers(py).and_then(|()| self.look_for_writers(py)) {
            tracing::error!(request = %self.head, %error, "a waiting task could not be woken");
        }
    }

    /// Brings what is not over to its end.
    fn end(&self, code: u16) {
        let mut state = self.state();
        state.has_ended = true;
        let (response, waker) = match std::mem::replace(&mut state.stage, Stage::Denied) {
            Stage::Connecting(_) => (Some(plain::internal_error()), None),
            Stage::Denying(mut outgoing) => {
                let response = (!outgoing.is_begun()).then(plain::internal_error);
                (response, outgoing.abort())
            }
            Stage::Open(socket) => {
                let waker = socket.close(Close::with_code(code));
                state.stage = Stage::Closed(socket);
                (None, waker)
            }
            stage @ (Stage::Denied | Stage::Closed(_)) => {
                state.stage = stage;
                (None, None)
            }
        };
        drop(state);
        if let Some(response) = response {
            self.desk.answer(response);
        }
        self.desk.wake(waker);
    }

    fn next_event(&self, py: Python<'_>) -> PyResult<Poll<Py<PyAny>>> {
        let next = self.state().next_event(&self.desk);
        Ok(match next {
            Poll::Ready(event) => Poll::Ready(event.into_python(py, &self.common)?),
            Poll::Pending => Poll::Pending,
        })
    }

    fn look_for_readers(&self, py: Python<'_>) -> PyResult<()> {
        self.readers.serve(py, &self.common.names, || self.next_event(py))
    }

    fn look_for_writers(&self, py: Python<'_>) -> PyResult<()> {
        if self.writers.is_empty() {
            return Ok(());
        }
        let room = self.state().poll_room(&self.desk);
        match room {
            Poll::Pending => Ok(()),
            Poll::Ready(true) => self.writers.release(py, &self.common.names, None),
            Poll::Ready(false) => {
                self.writers.release(py, &self.common.names, self.common.told_of_disconnect())
            }
        }
    }

    /// `websocket.send`. Returns whether so much waits for the client that the application should wait too.
    fn message(&self, event: &Bound<'_, PyDict>) -> PyResult<bool> {
        let message = message_of(event, &self.common)?;
        let state = self.state();
        let Stage::Open(socket) = &state.stage else {
            return Err(state.stage.unexpected("websocket.send"));
        };
        let waker = socket.push(message).map_err(|_| disconnected())?;
        let is_full = !socket.has_room();
        drop(state);
        self.desk.wake(waker);
        Ok(is_full)
    }

    fn accept(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let mut heading = Heading::of_upgrade(ROOM);
        push_headers(&mut heading, event, &self.common.names)?;
        if let Some((name, _)) = heading.lines().iter().find(|(name, _)| is_handshakes_own(name)) {
            return Err(PyValueError::new_err(format!(
                "the header {:?} is the server's in a handshake{}",
                String::from_utf8_lossy(name),
                if name.eq_ignore_ascii_case(SUBPROTOCOL) { "; use \"subprotocol\"" } else { "" },
            )));
        }
        if let Some(subprotocol) = event.get_item("subprotocol")?.filter(|chosen| !chosen.is_none()) {
            let subprotocol = subprotocol.cast::<PyString>().map_err(|_| {
                PyTypeError::new_err(format!("the subprotocol must be a str, not {}", kind_of(&subprotocol)))
            })?;
            let chosen = subprotocol.to_str()?;
            if !offered_subprotocols(&self.head).any(|offered| offered == chosen.as_bytes()) {
                return Err(PyValueError::new_err(format!(
                    "the client has not offered the subprotocol {chosen:?} (see scope[\"subprotocols\"])"
                )));
            }
            // It came from a header, so it can go into one.
            heading.push(SUBPROTOCOL, chosen.as_bytes()).map_err(invalid)?;
        }
        if self.is_disconnected() {
            return Err(disconnected());
        }
        let mut state = self.state();
        let Stage::Connecting(offer) = &state.stage else {
            return Err(state.stage.unexpected("websocket.accept"));
        };
        let (socket, wire) = offer.accept();
        state.stage = Stage::Open(socket);
        drop(state);
        self.desk.answer(Response { head: heading.build(), body: ResponseBody::WebSocket(wire) });
        // Whoever waits already is to hear of what comes from now on.
        self.look_for_readers(event.py())
    }

    fn close(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let close = close_of(event)?;
        let mut state = self.state();
        match std::mem::replace(&mut state.stage, Stage::Denied) {
            Stage::Connecting(_) => {
                drop(state);
                self.desk.answer(plain::forbidden());
                self.look_for_readers(event.py())
            }
            Stage::Open(socket) => {
                let waker = socket.close(close);
                state.stage = Stage::Closed(socket);
                drop(state);
                self.desk.wake(waker);
                Ok(())
            }
            stage => {
                let error = stage.unexpected("websocket.close");
                state.stage = stage;
                Err(error)
            }
        }
    }

    /// `websocket.http.response.start`
    fn deny(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let heading = heading_of(event, &self.common.names, "websocket.http.response.start")?;
        if self.is_disconnected() {
            return Err(disconnected());
        }
        let mut state = self.state();
        if !matches!(state.stage, Stage::Connecting(_)) {
            return Err(state.stage.unexpected("websocket.http.response.start"));
        }
        let mut outgoing = Outgoing::new(false, false);
        outgoing.start(heading, false).map_err(wrong)?;
        state.stage = Stage::Denying(outgoing);
        Ok(())
    }

    /// `websocket.http.response.body`. Returns whether the application should wait for the client.
    fn denial_body(&self, event: &Bound<'_, PyDict>) -> PyResult<bool> {
        let (body, more) = part_of(event, &self.common.names)?;
        if self.is_disconnected() {
            return Err(disconnected());
        }
        let mut state = self.state();
        let Stage::Denying(outgoing) = &mut state.stage else {
            return Err(state.stage.unexpected("websocket.http.response.body"));
        };
        let (response, waker) = outgoing.body(body, more).map_err(wrong)?;
        let is_full = outgoing.is_full();
        drop(state);
        if let Some(response) = response {
            self.desk.answer(response);
        }
        self.desk.wake(waker);
        self.look_for_readers(event.py())?;
        Ok(is_full)
    }

    fn is_disconnected(&self) -> bool {
        if self.desk.is_abandoned() {
            return true;
        }
        match &self.state().stage {
            Stage::Open(socket) | Stage::Closed(socket) => socket.closed().is_some(),
            Stage::Connecting(_) | Stage::Denying(_) | Stage::Denied => false,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No Python code runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_event(&mut self, desk: &Arc<Desk>) -> Poll<Event> {
        if !std::mem::replace(&mut self.has_connected, true) {
            return Poll::Ready(Event::Connect);
        }
        let waker = Waker::from(Arc::clone(desk));
        let mut cx = Context::from_waker(&waker);
        match &self.stage {
            Stage::Open(socket) | Stage::Closed(socket) => {
                let (poll, waker) = socket.poll_receive(&mut cx);
                desk.wake(waker);
                match poll {
                    Poll::Ready(Incoming::Message(message)) => return Poll::Ready(Event::Message(message)),
                    Poll::Ready(Incoming::Closed(close)) => return Poll::Ready(Event::Disconnect(close)),
                    Poll::Pending if self.has_ended => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
            Stage::Connecting(_) | Stage::Denying(_) if desk.is_abandoned() => {}
            Stage::Connecting(_) => return Poll::Pending,
            Stage::Denying(outgoing) if outgoing.is_over() => {}
            Stage::Denying(outgoing) => ready!(outgoing.poll_closed(&mut cx)),
            Stage::Denied => {}
        }
        Poll::Ready(Event::Disconnect(Close::with_code(Close::ABNORMAL)))
    }

    /// Ready with whether there is somebody to send to.
    fn poll_room(&mut self, desk: &Arc<Desk>) -> Poll<bool> {
        let waker = Waker::from(Arc::clone(desk));
        let mut cx = Context::from_waker(&waker);
        match &self.stage {
            Stage::Open(socket) => socket.poll_room(&mut cx).map(|room| room.is_ok()),
            Stage::Denying(outgoing) => outgoing.poll_room(&mut cx).map(|room| room.is_ok()),
            Stage::Connecting(_) | Stage::Denied | Stage::Closed(_) => Poll::Ready(false),
        }
    }
}

impl Stage {
    /// For messages: "has been accepted".
    fn name(&self) -> &'static str {
        match self {
            Self::Connecting(_) => "has not been accepted",
            Self::Denying(_) | Self::Denied => "has been refused",
            Self::Open(_) => "has been accepted",
            Self::Closed(_) => "has been closed",
        }
    }

    fn is_undecided(&self) -> bool {
        match self {
            Self::Connecting(_) => true,
            Self::Denying(outgoing) => !outgoing.is_over(),
            Self::Denied | Self::Open(_) | Self::Closed(_) => false,
        }
    }

    /// An event that must not be sent now.
    fn unexpected(&self, kind: &str) -> PyErr {
        PyRuntimeError::new_err(format!("unexpected event {kind:?}: the WebSocket {}", self.name()))
    }
}

impl Event {
    fn into_python(self, py: Python<'_>, common: &Common) -> PyResult<Py<PyAny>> {
        let names = &common.names;
        let dict = PyDict::new(py);
        match self {
            Self::Connect => dict.set_item(&names.type_, &names.websocket_connect)?,
            Self::Message(Message::Text(text)) => {
                dict.set_item(&names.type_, &names.websocket_receive)?;
                dict.set_item(&names.text, PyString::from_bytes(py, &text)?)?;
            }
            Self::Message(Message::Binary(bytes)) => {
                dict.set_item(&names.type_, &names.websocket_receive)?;
                dict.set_item(&names.bytes, PyBytes::new(py, &bytes))?;
            }
            Self::Disconnect(close) => {
                dict.set_item(&names.type_, &names.websocket_disconnect)?;
                dict.set_item(&names.code, close.code)?;
                dict.set_item(&names.reason, close.reason)?;
            }
        }
        Ok(dict.into_any().unbind())
    }
}

/// The message of `websocket.send`: its `text`, or else its `bytes`.
fn message_of(event: &Bound<'_, PyDict>, common: &Common) -> PyResult<Message> {
    let names = &common.names;
    if let Some(text) = event.get_item(&names.text)?.filter(|text| !text.is_none()) {
        let text = text.cast::<PyString>().map_err(|_| {
            PyTypeError::new_err(format!("a message's text must be a str, not {}", kind_of(&text)))
        })?;
        return Ok(Message::Text(Bytes::copy_from_slice(text.to_str()?.as_bytes())));
    }
    match event.get_item(&names.bytes)?.filter(|bytes| !bytes.is_none()) {
        Some(bytes) => Ok(Message::Binary(bytes_of(&bytes, "a message")?)),
        None => Err(PyValueError::new_err("websocket.send has neither \"text\" nor \"bytes\"")),
    }
}

/// The code and reason of `websocket.close`.
fn close_of(event: &Bound<'_, PyDict>) -> PyResult<Close> {
    let code = match event.get_item("code")?.filter(|code| !code.is_none()) {
        Some(code) => {
            code.extract::<u16>().ok().filter(|&code| Close::may_be_sent(code)).ok_or_else(|| {
                PyValueError::new_err(format!("{code} is no code that a WebSocket can be closed with"))
            })?
        }
        None => Close::NORMAL,
    };
    let reason: String = match event.get_item("reason")?.filter(|reason| !reason.is_none()) {
        Some(reason) => reason.extract()?,
        None => String::new(),
    };
    if reason.len() > Close::MOST_REASON {
        return Err(PyValueError::new_err(format!(
            "the reason for closing has {} bytes in UTF-8; {} are possible",
            reason.len(),
            Close::MOST_REASON
        )));
    }
    Ok(Close { code, reason })
}

/// The subprotocols that the client offers, in its order (RFC 6455 section 11.3.4).
pub fn offered_subprotocols(head: &RequestHead) -> impl Iterator<Item = &[u8]> {
    let lines = head.fields.get_all("sec-websocket-protocol");
    let items = lines.flat_map(|line| line.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    items.filter(|item| !item.is_empty())
}

/// Headers of a handshake's response that the server makes.
fn is_handshakes_own(name: &[u8]) -> bool {
    [SUBPROTOCOL, b"sec-websocket-accept", b"sec-websocket-extensions"]
        .iter()
        .any(|own| name.eq_ignore_ascii_case(own))
}

const SUBPROTOCOL: &[u8] = b"Sec-WebSocket-Protocol";
