//! One HTTP request as the application sees it: its `receive` and `send` (ASGI "HTTP & WebSocket", sections "HTTP").

use std::{
    collections::VecDeque,
    fs::File,
    io::Read,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use ironbridge_exchange::{
    BodyFraming, Request, RequestBody, RequestHead, Version,
    hints::EarlyHints,
    pipe::{PipeError, Receiver},
};
use pyo3::{
    Bound, Py, PyAny, PyErr, PyResult, Python,
    buffer::PyBuffer,
    exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyDict, PyString, PyTuple},
};

use super::{
    awaitable::Awaitable,
    desk::Desk,
    gateway::Common,
    outgoing::{Outgoing, SendError},
};
use crate::{
    fork, plain,
    wsgi::{
        heading::{Heading, HeadingError},
        outlet::copy_bytes,
    },
};

pyo3::create_exception!(
    ironbridge,
    ClientDisconnected,
    PyOSError,
    "The client left before its response was complete; raised by ``await send(...)`` (ASGI HTTP, spec version 2.4)."
);

/// A request that an application runs.
#[pyclass(frozen, module = "ironbridge._native")]
pub struct Exchange {
    desk: Arc<Desk>,
    common: Arc<Common>,
    head: Arc<RequestHead>,
    hints: Option<EarlyHints>,
    state: Mutex<State>,
}

struct State {
    incoming: Incoming,
    /// Bytes of the request's body that are still to come, where Content-Length says so.
    left: Option<u64>,
    /// Futures of tasks that wait in `receive()`, oldest first.
    readers: VecDeque<Py<PyAny>>,
    /// Futures of tasks that wait in `send()`.
    writers: Vec<Py<PyAny>>,
    /// Events that a cancelled task has left.
    returned: VecDeque<Py<PyAny>>,
    outgoing: Outgoing,
    is_disconnected: bool,
    /// The task was cancelled because its client had left.
    is_cancelled: bool,
}

/// What has not been received of the request's body.
enum Incoming {
    Bytes(Bytes),
    File(File),
    Stream(Receiver),
    /// All of it has been received.
    Over,
}

/// What `receive()` gives.
enum Event {
    Body { body: Bytes, more: bool },
    Disconnect,
}

#[pymethods]
impl Exchange {
    /// ``await receive()``: the next event.
    fn receive<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Awaitable>> {
        let (py, this) = (slf.py(), slf.get());
        let next = {
            let mut state = this.state();
            if let Some(event) = state.returned.pop_front() {
                drop(state);
                return Bound::new(py, Awaitable::ready(event));
            }
            state.next_event(&this.desk)
        };
        match next {
            Poll::Ready(event) => {
                let event = this.common.event(py, event)?;
                Bound::new(py, Awaitable::ready(event.into_any().unbind()))
            }
            Poll::Pending => {
                let future = this.common.create_future.bind(py).call0()?;
                // Those that were cancelled wait for nothing any more.
                this.drop_done_readers(py)?;
                this.state().readers.push_back(future.clone().unbind());
                Bound::new(py, Awaitable::waiting(&future, Some(slf.clone().unbind()))?)
            }
        }
    }

    /// ``await send(event)``: one step of the response.
    #[pyo3(signature = (event, /))]
    fn send<'py>(slf: &Bound<'py, Self>, event: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Awaitable>> {
        let (py, this) = (slf.py(), slf.get());
        let event = event.cast::<PyDict>().map_err(|_| {
            PyTypeError::new_err(format!("send() takes an event, a dict, not {}", kind_of(event)))
        })?;
        let names = &this.common.names;
        let kind = event
            .get_item(&names.type_)?
            .ok_or_else(|| PyValueError::new_err("the event has no \"type\""))?;
        let kind =
            kind.cast::<PyString>().map_err(|_| PyTypeError::new_err("the event's \"type\" is no str"))?;
        match kind.to_str()? {
            "http.response.start" => this.start(event)?,
            "http.response.body" => this.body(py, event)?,
            "http.response.pathsend" => this.pathsend(event)?,
            "http.response.trailers" => this.trailers(event)?,
            "http.response.early_hint" => this.early_hint(event)?,
            other => {
                let stage = this.state().outgoing.name();
                return Err(PyValueError::new_err(format!(
                    "unknown event {other:?} for an HTTP response that {stage}"
                )));
            }
        }
        if this.state().outgoing.is_full() {
            let future = this.common.create_future.bind(py).call0()?;
            let mut state = this.state();
            state.writers.push(future.clone().unbind());
            let is_full = state.poll_room(&this.desk).is_pending();
            drop(state);
            if is_full {
                return Bound::new(py, Awaitable::waiting(&future, None)?);
            }
            this.state().writers.pop();
        }
        Ok(this.common.nothing.bind(py).clone())
    }

    /// Called with the task when it has ended.
    #[pyo3(signature = (task, /))]
    fn ended(&self, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let names = &self.common.names;
        if task.call_method0(&names.cancelled)?.is_truthy()? {
            self.finish(task.py(), Some(Ended::Cancelled));
        } else {
            let error = task.call_method0(&names.exception)?;
            let error = (!error.is_none()).then(|| Ended::Raised(PyErr::from_value(error)));
            self.finish(task.py(), error);
        }
        self.common.forget(task.py(), self.desk.id);
        Ok(())
    }
}

/// How an application ended other than well.
pub enum Ended {
    /// Its task was cancelled.
    Cancelled,
    /// It raised.
    Raised(PyErr),
}

impl Ended {
    fn error(&self) -> Option<&PyErr> {
        match self {
            Self::Cancelled => None,
            Self::Raised(error) => Some(error),
        }
    }
}

impl Exchange {
    /// A request that has been taken off its desk, and whether its client takes trailers.
    pub fn new(desk: Arc<Desk>, common: Arc<Common>, request: Request, takes_trailers: bool) -> Self {
        let head = &request.head;
        let left = match head.framing {
            BodyFraming::Length(length) => Some(length),
            BodyFraming::None => Some(0),
            BodyFraming::Chunked => None,
        };
        let incoming = match request.body {
            RequestBody::Empty => Incoming::Bytes(Bytes::new()),
            RequestBody::Bytes(bytes) => Incoming::Bytes(bytes),
            RequestBody::Spooled { file, .. } => Incoming::File(file),
            RequestBody::Stream(receiver) => Incoming::Stream(receiver),
        };
        let outgoing = Outgoing::new(desk.is_head, takes_trailers);
        Self {
            desk,
            common,
            head: request.head,
            hints: request.early_hints,
            state: Mutex::new(State {
                incoming,
                left,
                readers: VecDeque::new(),
                writers: Vec::new(),
                returned: VecDeque::new(),
                outgoing,
                is_disconnected: false,
                is_cancelled: false,
            }),
        }
    }

    /// Something may have happened that `receive()` or `send()` wait for.
    ///
    /// # Errors
    /// What a future raises, which none does.
    pub fn look(&self, py: Python<'_>) -> PyResult<()> {
        self.desk.begin_look();
        self.look_for_readers(py)?;
        self.look_for_writers(py)?;
        if self.common.cancels { self.look_for_the_client(py) } else { Ok(()) }
    }

    /// `--cancel-on-disconnect`: from now on the task hears of it at once when its client leaves.
    ///
    /// # Errors
    /// Python's.
    pub fn look_for_the_client(&self, py: Python<'_>) -> PyResult<()> {
        let has_left = {
            let mut state = self.state();
            let is_over = state.outgoing.is_over();
            let has_left = state.poll_disconnect(&self.desk).is_ready() && !is_over;
            has_left && !std::mem::replace(&mut state.is_cancelled, true)
        };
        if has_left { self.common.cancel(py, self.desk.id) } else { Ok(()) }
    }

    /// A task that was cancelled gives an event back.
    ///
    /// # Errors
    /// What a future raises, which none does.
    pub fn take_back(&self, py: Python<'_>, event: Py<PyAny>) -> PyResult<()> {
        self.state().returned.push_front(event);
        self.look_for_readers(py)
    }

    /// The application has ended: with its response complete, or not.
    pub fn finish(&self, py: Python<'_>, failure: Option<Ended>) {
        if fork::is_child() {
            fork::end(py, failure.as_ref().and_then(Ended::error));
        }
        let (is_begun, is_over) = {
            let state = self.state();
            (state.outgoing.is_begun(), state.outgoing.is_over())
        };
        let client_left = self.is_disconnected();
        match failure {
            Some(Ended::Raised(error)) if client_left && error.is_instance_of::<PyOSError>(py) => {
                tracing::debug!(request = %self.name(), %error, "a client left while the application ran");
            }
            Some(Ended::Cancelled) if client_left => {}
            Some(Ended::Raised(error)) => self.log(py, &error),
            Some(Ended::Cancelled) if !is_over => {
                tracing::warn!(request = %self.name(), "the application was cancelled");
            }
            None if !is_over && !client_left => {
                let lacks = if is_begun { "completing" } else { "beginning" };
                tracing::error!(request = %self.name(), "the application ended without {lacks} its response");
            }
            Some(Ended::Cancelled) | None => {}
        }
        if is_over {
            return;
        }
        let waker = self.state().outgoing.abort();
        self.desk.wake(waker);
        if !is_begun {
            self.desk.answer(plain::internal_error());
        }
        // Tasks of the application's own may still wait.
        if let Err(error) = self.look_for_readers(py).and_then(|()| self.look_for_writers(py)) {
            tracing::error!(request = %self.name(), %error, "a waiting task could not be woken");
        }
    }

    /// For the log: method and target.
    fn name(&self) -> String {
        format!("{} {}", self.head.method.escape_ascii(), self.head.target.escape_ascii())
    }

    fn log(&self, py: Python<'_>, error: &PyErr) {
        tracing::error!(
            target: "ironbridge::application",
            "{} raised an exception\n{}",
            self.name(),
            crate::wsgi::application::traceback(py, error),
        );
    }

    fn look_for_readers(&self, py: Python<'_>) -> PyResult<()> {
        let names = &self.common.names;
        loop {
            let reader = self.state().readers.front().map(|reader| reader.clone_ref(py));
            let Some(reader) = reader else { return Ok(()) };
            let reader = reader.bind(py);
            if reader.call_method0(&names.done)?.is_truthy()? {
                // Cancelled.
                self.state().readers.pop_front();
                continue;
            }
            let returned = self.state().returned.pop_front();
            let event = match returned {
                Some(event) => event,
                None => match self.state().next_event(&self.desk) {
                    Poll::Ready(event) => self.common.event(py, event)?.into_any().unbind(),
                    Poll::Pending => return Ok(()),
                },
            };
            self.state().readers.pop_front();
            reader.call_method1(&names.set_result, (event,))?;
        }
    }

    fn drop_done_readers(&self, py: Python<'_>) -> PyResult<()> {
        let readers = std::mem::take(&mut self.state().readers);
        for reader in readers {
            if !reader.call_method0(py, &self.common.names.done)?.is_truthy(py)? {
                self.state().readers.push_back(reader);
            }
        }
        Ok(())
    }

    fn look_for_writers(&self, py: Python<'_>) -> PyResult<()> {
        let names = &self.common.names;
        let (room, writers) = {
            let mut state = self.state();
            if state.writers.is_empty() {
                return Ok(());
            }
            match state.poll_room(&self.desk) {
                Poll::Pending => return Ok(()),
                Poll::Ready(room) => (room, std::mem::take(&mut state.writers)),
            }
        };
        for writer in writers {
            let writer = writer.bind(py);
            if writer.call_method0(&names.done)?.is_truthy()? {
                continue;
            }
            match room {
                Ok(()) => writer.call_method1(&names.set_result, (py.None(),))?,
                Err(_) => writer.call_method1(&names.set_exception, (disconnected().into_value(py),))?,
            };
        }
        Ok(())
    }

    fn start(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let names = &self.common.names;
        if self.is_disconnected() {
            return Err(disconnected());
        }
        let status = event
            .get_item(&names.status)?
            .ok_or_else(|| PyValueError::new_err("http.response.start has no \"status\""))?;
        let status: u16 = status.extract().map_err(|_| {
            PyTypeError::new_err(format!("the status must be an int such as 200, not {status}"))
        })?;
        let mut heading = Heading::of_status(status, ROOM).map_err(invalid)?;
        if let Some(headers) = event.get_item(&names.headers)? {
            for pair in headers.try_iter()? {
                push_pair(&mut heading, &pair?)?;
            }
        }
        let trailers = match event.get_item(&names.trailers)? {
            Some(trailers) => trailers.is_truthy()?,
            None => false,
        };
        self.state().outgoing.start(heading, trailers).map_err(wrong)
    }

    /// "Path Send" (ASGI extensions).
    fn pathsend(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let path: PathBuf = event
            .get_item("path")?
            .ok_or_else(|| PyValueError::new_err("http.response.pathsend has no \"path\""))?
            .extract()?;
        if !path.is_absolute() {
            return Err(PyValueError::new_err(format!("the path {} is not absolute", path.display())));
        }
        if self.is_disconnected() {
            return Err(disconnected());
        }
        let file = File::open(&path)?;
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Err(PyValueError::new_err(format!("{} is no regular file", path.display())));
        }
        let (response, _) = self.state().outgoing.file(file, facts.len()).map_err(wrong)?;
        if let Some(response) = response {
            self.desk.answer(response);
        }
        if !self.state().readers.is_empty() {
            self.look_for_readers(event.py())?;
        }
        Ok(())
    }

    /// "HTTP Trailers" (ASGI extensions).
    fn trailers(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let mut heading = Heading::of_status(200, ROOM).map_err(invalid)?;
        if let Some(headers) = event.get_item(&self.common.names.headers)? {
            for pair in headers.try_iter()? {
                push_pair(&mut heading, &pair?)?;
            }
        }
        let more = match event.get_item("more_trailers")? {
            Some(more) => more.is_truthy()?,
            None => false,
        };
        if self.is_disconnected() {
            return Err(disconnected());
        }
        let waker = self.state().outgoing.trailers(&heading.build().lines, more).map_err(wrong)?;
        self.desk.wake(waker);
        if !more && !self.state().readers.is_empty() {
            self.look_for_readers(event.py())?;
        }
        Ok(())
    }

    /// "Early Hints" (ASGI extensions): a 103 response, as long as the head is not out.
    fn early_hint(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let mut heading = Heading::of_status(200, ROOM).map_err(invalid)?;
        if let Some(links) = event.get_item("links")? {
            for link in links.try_iter()? {
                let link = link?;
                let link = link.cast::<PyBytes>().map_err(|_| {
                    PyTypeError::new_err(format!("links must be byte strings, not {}", kind_of(&link)))
                })?;
                heading.push(b"Link", link.as_bytes()).map_err(invalid)?;
            }
        }
        if let Some(hints) = self.hints.as_ref().filter(|_| !self.state().outgoing.is_begun()) {
            hints.push(heading.build().lines);
            self.desk.wake_connection();
        }
        Ok(())
    }

    fn body(&self, py: Python<'_>, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let names = &self.common.names;
        let body = match event.get_item(&names.body)? {
            Some(body) => bytes_of(&body)?,
            None => Bytes::new(),
        };
        let more = match event.get_item(&names.more_body)? {
            Some(more) => more.is_truthy()?,
            None => false,
        };
        if self.is_disconnected() {
            return Err(disconnected());
        }
        let sent = self.state().outgoing.body(body, more);
        let (response, waker) = sent.map_err(wrong)?;
        if let Some(response) = response {
            self.desk.answer(response);
            if more && self.common.cancels {
                self.look_for_the_client(py)?;
            }
        }
        self.desk.wake(waker);
        // Who waits already is to hear of the end, and from the beginning of a stream on of its client's leaving.
        if !self.state().readers.is_empty() {
            self.look_for_readers(py)?;
        }
        Ok(())
    }

    fn is_disconnected(&self) -> bool {
        self.desk.is_abandoned() || self.state().is_disconnected
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No Python code runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_event(&mut self, desk: &Arc<Desk>) -> Poll<Event> {
        match &mut self.incoming {
            Incoming::Bytes(bytes) => {
                let body = std::mem::take(bytes);
                self.incoming = Incoming::Over;
                Poll::Ready(Event::Body { body, more: false })
            }
            Incoming::File(file) => {
                let mut block = vec![0; BLOCK];
                match file.read(&mut block) {
                    Ok(0) | Err(_) => {
                        self.incoming = Incoming::Over;
                        Poll::Ready(Event::Body { body: Bytes::new(), more: false })
                    }
                    Ok(n) => {
                        block.truncate(n);
                        Poll::Ready(Event::Body { body: block.into(), more: true })
                    }
                }
            }
            Incoming::Stream(receiver) => {
                let waker = Waker::from(Arc::clone(desk));
                let (poll, wakers) = receiver.poll_chunk(&mut Context::from_waker(&waker));
                wakers.into_iter().for_each(|waker| desk.wake(Some(waker)));
                let event = match std::task::ready!(poll) {
                    Some(Ok(body)) => {
                        self.left = self.left.map(|left| left.saturating_sub(body.len() as u64));
                        Event::Body { more: self.left != Some(0) && !receiver.is_finished(), body }
                    }
                    None => Event::Body { body: Bytes::new(), more: false },
                    Some(Err(_)) => {
                        self.is_disconnected = true;
                        Event::Disconnect
                    }
                };
                if !matches!(event, Event::Body { more: true, .. }) {
                    self.incoming = Incoming::Over;
                }
                Poll::Ready(event)
            }
            Incoming::Over => self.poll_disconnect(desk).map(|()| Event::Disconnect),
        }
    }

    /// Ready when there is nobody to talk to any more: the client has left, or its response is complete.
    fn poll_disconnect(&mut self, desk: &Arc<Desk>) -> Poll<()> {
        if self.is_disconnected || desk.is_abandoned() || self.outgoing.is_over() {
            return Poll::Ready(());
        }
        let waker = Waker::from(Arc::clone(desk));
        std::task::ready!(self.outgoing.poll_closed(&mut Context::from_waker(&waker)));
        self.is_disconnected = true;
        Poll::Ready(())
    }

    fn poll_room(&mut self, desk: &Arc<Desk>) -> Poll<Result<(), PipeError>> {
        let waker = Waker::from(Arc::clone(desk));
        let room = std::task::ready!(self.outgoing.poll_room(&mut Context::from_waker(&waker)));
        self.is_disconnected |= room.is_err();
        Poll::Ready(room)
    }
}

impl Common {
    fn event<'py>(&self, py: Python<'py>, event: Event) -> PyResult<Bound<'py, PyDict>> {
        let names = &self.names;
        let dict = PyDict::new(py);
        match event {
            Event::Body { body, more } => {
                dict.set_item(&names.type_, &names.http_request)?;
                dict.set_item(&names.body, PyBytes::new(py, &body))?;
                dict.set_item(&names.more_body, more)?;
            }
            Event::Disconnect => dict.set_item(&names.type_, &names.http_disconnect)?,
        }
        Ok(dict)
    }
}

fn disconnected() -> PyErr {
    ClientDisconnected::new_err("the client has left")
}

fn wrong(error: SendError) -> PyErr {
    match error {
        SendError::ClientLeft => disconnected(),
        error => PyRuntimeError::new_err(error.to_string()),
    }
}

fn push_pair(heading: &mut Heading, pair: &Bound<'_, PyAny>) -> PyResult<()> {
    let wrong = || {
        PyTypeError::new_err(format!("headers must be (name, value) pairs of two byte strings, not {pair:?}"))
    };
    let (name, value) = match pair.cast::<PyTuple>() {
        Ok(pair) if pair.len() == 2 => (pair.get_item(0)?, pair.get_item(1)?),
        Ok(_) => return Err(wrong()),
        Err(_) if pair.len().is_ok_and(|len| len == 2) => (pair.get_item(0)?, pair.get_item(1)?),
        Err(_) => return Err(wrong()),
    };
    let (Ok(name), Ok(value)) = (name.cast::<PyBytes>(), value.cast::<PyBytes>()) else {
        return Err(wrong());
    };
    heading.push(name.as_bytes(), value.as_bytes()).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// The bytes of a body: bytes as they are, other buffers of bytes (bytearray, memoryview) copied.
fn bytes_of(body: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(bytes) = body.cast::<PyBytes>() {
        return Ok(copy_bytes(bytes));
    }
    let wrong = || PyTypeError::new_err(format!("a body must be bytes, not {}", kind_of(body)));
    let buffer = PyBuffer::<u8>::get(body).map_err(|_| wrong())?;
    Ok(buffer.to_vec(body.py())?.into())
}

fn kind_of(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "something else".to_owned(), |name| name.to_string())
}

/// Whether the client has said that it takes trailers (RFC 9110 section 10.1.4) and can be given some.
pub fn takes_trailers(head: &RequestHead) -> bool {
    let wants = |value: &[u8]| {
        value.split(|&byte| byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    };
    head.version == Version::Http11 && head.fields.get_all("te").any(wants)
}

fn invalid(error: HeadingError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Bytes that the header lines of a response take, about.
const ROOM: usize = 256;
/// Bytes that are read from a spooled body at a time.
const BLOCK: usize = 64 * 1024;
