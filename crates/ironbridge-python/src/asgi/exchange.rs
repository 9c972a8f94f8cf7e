//! One HTTP request as the application sees it: its `receive` and `send` (ASGI "HTTP & WebSocket", sections "HTTP").

use std::{
    fs::File,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use ironbridge_exchange::{Request, RequestHead, Version, hints::EarlyHints, pipe::PipeError};
use pyo3::{
    Bound, Py, PyAny, PyResult, Python,
    exceptions::{PyRuntimeError, PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyDict},
};

use super::{
    awaitable::Awaitable,
    conversation::{Conversation, Ended},
    desk::Desk,
    gateway::Common,
    incoming::{Incoming, Part},
    outgoing::{Outgoing, SendError},
    transfer::Transfer,
    values::{
        ROOM, disconnected, event_and_kind, flag, heading_of, invalid, is_disconnect, kind_of, part_of,
        push_headers, wrong,
    },
    waiting::{Readers, Writers},
};
use crate::{fork, plain, wsgi::heading::Heading};

/// A request that an application runs.
#[pyclass(frozen, module = "ironbridge._native")]
pub struct Exchange {
    desk: Arc<Desk>,
    common: Arc<Common>,
    head: Arc<RequestHead>,
    hints: Option<EarlyHints>,
    readers: Readers,
    writers: Writers,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    incoming: Incoming,
    outgoing: Outgoing,
    /// A file that is being sent in pieces.
    transfer: Option<Transfer>,
    is_disconnected: bool,
    /// The task was cancelled because its client had left.
    is_cancelled: bool,
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
        let giver = Conversation::Http(slf.clone().unbind());
        this.readers.receive(py, &this.common, giver, || this.next_event(py))
    }

    /// ``await send(event)``: one step of the response.
    #[pyo3(signature = (event, /))]
    fn send<'py>(slf: &Bound<'py, Self>, event: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Awaitable>> {
        let (py, this) = (slf.py(), slf.get());
        let (event, kind) = event_and_kind(event, &this.common.names)?;
        if this.state().transfer.is_some() {
            return Err(PyRuntimeError::new_err(format!(
                "unexpected event {kind:?}: an 'http.response.zerocopysend' of another task is not over"
            )));
        }
        let sent = match kind.to_str()? {
            "http.response.start" => this.start(event),
            "http.response.body" => this.body(py, event),
            "http.response.pathsend" => this.pathsend(event),
            "http.response.zerocopysend" => this.zerocopysend(event),
            "http.response.trailers" => this.trailers(event),
            "http.response.early_hint" => this.early_hint(event),
            other => {
                let stage = this.state().outgoing.name();
                return Err(PyValueError::new_err(format!(
                    "unknown event {other:?} for an HTTP response that {stage}"
                )));
            }
        };
        this.common.settle(py, sent)?;
        let waits = {
            let state = this.state();
            state.transfer.is_some() || state.outgoing.is_full()
        };
        if waits {
            let mut failed = None;
            // Once the future can be found: what the client takes from now on is noticed.
            let has_room = || match this.go_on(py) {
                Ok(Poll::Ready(())) => this.state().poll_room(&this.desk).is_ready(),
                Ok(Poll::Pending) => false,
                Err(error) => {
                    failed = Some(error);
                    true
                }
            };
            let future = this.writers.wait(py, &this.common, has_room)?;
            this.common.settle(py, failed.map_or(Ok(()), Err))?;
            if let Some(future) = future {
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

impl Exchange {
    /// A request that has been taken off its desk, and whether its client takes trailers.
    pub fn new(desk: Arc<Desk>, common: Arc<Common>, request: Request, takes_trailers: bool) -> Self {
        let incoming = Incoming::new(request.body, request.head.framing);
        let outgoing = Outgoing::new(desk.is_head, takes_trailers);
        Self {
            desk,
            common,
            head: request.head,
            hints: request.early_hints,
            readers: Readers::default(),
            writers: Writers::default(),
            state: Mutex::new(State {
                incoming,
                outgoing,
                transfer: None,
                is_disconnected: false,
                is_cancelled: false,
            }),
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
        self.look_for_writers(py)?;
        if self.common.rules.cancels { self.look_for_the_client(py) } else { Ok(()) }
    }

    /// `--cancel-on-disconnect`: from now on the task hears of it at once when its client leaves.
    ///
    /// # Errors
    /// Python's.
    pub fn look_for_the_client(&self, py: Python<'_>) -> PyResult<()> {
        let has_left = {
            let mut state = self.state();
            let is_over = state.outgoing.is_over() || state.outgoing.is_bodyless();
            let has_left = !is_over && state.poll_disconnect(&self.desk).is_ready();
            has_left && !std::mem::replace(&mut state.is_cancelled, true)
        };
        if has_left { self.common.cancel(py, self.desk.id) } else { Ok(()) }
    }

    /// An event was not received: it is for whoever receives next, at its place.
    ///
    /// # Errors
    /// What a future raises, which none does.
    pub fn take_back(&self, py: Python<'_>, event: Py<PyAny>, place: u64) -> PyResult<()> {
        self.readers.give_back(event, place);
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
            Some(Ended::Raised(error)) if is_disconnect(py, &error, client_left) => {
                tracing::debug!(request = %self.head, %error, "a client left while the application ran");
            }
            Some(Ended::Cancelled) if client_left => {}
            Some(Ended::Raised(error)) => self.common.log(py, &self.head, &error),
            Some(Ended::Cancelled) if !is_over => {
                tracing::warn!(request = %self.head, "the application was cancelled");
            }
            None if !is_over && !client_left => {
                let lacks = if is_begun { "completing" } else { "beginning" };
                tracing::error!(request = %self.head, "the application ended without {lacks} its response");
            }
            Some(Ended::Cancelled) | None => {}
        }
        if is_over {
            return;
        }
        let waker = {
            let mut state = self.state();
            state.transfer = None;
            state.outgoing.abort()
        };
        self.desk.wake(waker);
        if !is_begun {
            self.desk.answer(plain::internal_error());
        }
        // Tasks of the application's own may still wait.
        if let Err(error) = self.look_for_readers(py).and_then(|()| self.look_for_writers(py)) {
            tracing::error!(request = %self.head, %error, "a waiting task could not be woken");
        }
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
            Poll::Ready(Ok(())) => match self.go_on(py) {
                Ok(Poll::Pending) => Ok(()),
                Ok(Poll::Ready(())) => self.writers.release(py, &self.common.names, None),
                Err(error) => self.writers.release(py, &self.common.names, Some(&|| error.clone_ref(py))),
            },
            Poll::Ready(Err(_)) => {
                self.writers.release(py, &self.common.names, self.common.told_of_disconnect())
            }
        }
    }

    fn start(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let names = &self.common.names;
        if self.is_disconnected() {
            return Err(disconnected());
        }
        let heading = heading_of(event, names, "http.response.start")?;
        let trailers = flag(event, &names.trailers)?;
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
        self.file(event.py(), "http.response.pathsend", file, 0, facts.len())
    }

    /// "Zero Copy Send" (ASGI extensions): the kernel sends a file that is all of the body; one that is a part of it is read and sent
    /// in pieces.
    fn zerocopysend(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let transfer = Transfer::of(event)?;
        if self.is_disconnected() {
            return Err(disconnected());
        }
        if !transfer.more && self.state().outgoing.takes_a_file() {
            let Transfer { file, offset, len, .. } = transfer;
            return self.file(event.py(), "http.response.zerocopysend", file, offset, len);
        }
        self.state().transfer = Some(transfer);
        self.go_on(event.py()).map(drop)
    }

    fn file(&self, py: Python<'_>, kind: &'static str, file: File, offset: u64, len: u64) -> PyResult<()> {
        let (response, _) = self.state().outgoing.file(kind, file, offset, len).map_err(wrong)?;
        if let Some(response) = response {
            self.desk.answer(response);
        }
        self.look_for_readers(py)
    }

    /// Sends what the client takes of a file. Ready when there is nothing more to send.
    fn go_on(&self, py: Python<'_>) -> PyResult<Poll<()>> {
        loop {
            let Some(mut transfer) = self.state().transfer.take() else { return Ok(Poll::Ready(())) };
            let (block, more) = transfer.read()?;
            let is_over = transfer.len == 0;
            self.send_part(py, block, more)?;
            if is_over {
                return Ok(Poll::Ready(()));
            }
            let mut state = self.state();
            state.transfer = Some(transfer);
            match state.poll_room(&self.desk) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    state.transfer = None;
                    return Err(disconnected());
                }
            }
        }
    }

    /// "HTTP Trailers" (ASGI extensions).
    fn trailers(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let mut heading = Heading::of_status(200, ROOM).map_err(invalid)?;
        push_headers(&mut heading, event, &self.common.names)?;
        let more = flag(event, "more_trailers")?;
        if self.is_disconnected() {
            return Err(disconnected());
        }
        let sent = self.state().outgoing.trailers(&heading.build().lines, more);
        let waker = sent.map_err(wrong)?;
        self.desk.wake(waker);
        if more { Ok(()) } else { self.look_for_readers(event.py()) }
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
        let (body, more) = part_of(event, &self.common.names)?;
        if self.is_disconnected() {
            return Err(disconnected());
        }
        self.send_part(py, body, more)
    }

    fn send_part(&self, py: Python<'_>, body: Bytes, more: bool) -> PyResult<()> {
        let sent = {
            let mut state = self.state();
            let sent = state.outgoing.body(body, more);
            state.is_disconnected |= matches!(sent, Err(SendError::ClientLeft));
            sent
        };
        let (response, waker) = sent.map_err(wrong)?;
        if let Some(response) = response {
            self.desk.answer(response);
            if self.common.rules.cancels {
                self.look_for_the_client(py)?;
            }
        }
        self.desk.wake(waker);
        // Who waits already is to hear of the end, and from the beginning of a stream on of its client's leaving.
        self.look_for_readers(py)
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
        match ready!(self.incoming.poll_part(desk)) {
            Part::Body { body, more } => Poll::Ready(Event::Body { body, more }),
            Part::Broken => {
                self.is_disconnected = true;
                Poll::Ready(Event::Disconnect)
            }
            Part::Over => self.poll_disconnect(desk).map(|()| Event::Disconnect),
        }
    }

    /// Ready when there is nobody to talk to any more: the client has left, or has all that it wants of its response.
    fn poll_disconnect(&mut self, desk: &Arc<Desk>) -> Poll<()> {
        let is_over = self.outgoing.is_over() || self.outgoing.is_bodyless();
        if is_over || self.is_disconnected || desk.is_abandoned() {
            return Poll::Ready(());
        }
        let waker = Waker::from(Arc::clone(desk));
        ready!(self.outgoing.poll_closed(&mut Context::from_waker(&waker)));
        self.is_disconnected = true;
        Poll::Ready(())
    }

    fn poll_room(&mut self, desk: &Arc<Desk>) -> Poll<Result<(), PipeError>> {
        let waker = Waker::from(Arc::clone(desk));
        let room = ready!(self.outgoing.poll_room(&mut Context::from_waker(&waker)));
        self.is_disconnected |= room.is_err();
        Poll::Ready(room)
    }
}

impl Event {
    fn into_python(self, py: Python<'_>, common: &Common) -> PyResult<Py<PyAny>> {
        let names = &common.names;
        let dict = PyDict::new(py);
        match self {
            Self::Body { body, more } => {
                dict.set_item(&names.type_, &names.http_request)?;
                dict.set_item(&names.body, PyBytes::new(py, &body))?;
                dict.set_item(&names.more_body, more)?;
            }
            Self::Disconnect => dict.set_item(&names.type_, &names.http_disconnect)?,
        }
        Ok(dict.into_any().unbind())
    }
}

/// Whether the client has said that it takes trailers (RFC 9110 section 10.1.4) and can be given some.
pub fn takes_trailers(head: &RequestHead) -> bool {
    let wants = |value: &[u8]| {
        value.split(|&byte| byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    };
    head.version == Version::Http11 && head.fields.get_all("te").any(wants)
}
