//! start_response and the write callable that it returns (PEP 3333).

mod ffi;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
pub use ffi::{Callable, StartResponseType};
use ironbridge_exchange::{Response, ResponseBody, pipe};
use pyo3::{
    Borrowed, Bound, PyAny, PyErr, PyResult, Python,
    exceptions::{PyAssertionError, PyRuntimeError, PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyList, PyString, PyTuple},
};

use super::{
    ffi::latin1_bytes,
    heading::{Heading, HeadingError},
    outlet::{Failure, copy_bytes},
    progress::{Progress, StartError},
};
use crate::{engine::scheduler::WaitBy, here::Here};

/// What an application is given as `start_response`, and all that the adapter knows of its response.
///
/// It is its own write callable: called with nothing but bytes, it sends them.
#[derive(Debug)]
pub struct StartResponse {
    here: Here,
    state: Mutex<State>,
}

/// What it was called with.
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a, 'py> {
    first: Option<Borrowed<'a, 'py, PyAny>>,
    headers: Option<Borrowed<'a, 'py, PyAny>>,
    exc_info: Option<Borrowed<'a, 'py, PyAny>>,
}

#[derive(Debug, Default)]
struct State {
    progress: Progress,
    /// Where body chunks go once the head is out.
    body: Option<Arc<pipe::Sender>>,
    /// What Content-Length promised and has not been sent yet.
    owed: Option<u64>,
    /// The head is out, and no body belongs to it: what comes is dropped.
    bodyless: bool,
    /// More came than was promised, and a warning has said so.
    overpaid: bool,
    /// The client was found gone.
    abandoned: bool,
}

/// Why a response was not sent in one.
#[derive(Debug)]
pub enum Unsent {
    /// The application has not called start_response.
    NotStarted,
    /// The head is out already; here is the body again.
    Begun(ResponseBody),
}

impl StartResponse {
    /// For one request.
    pub fn new(here: Here) -> Self {
        Self { here, state: Mutex::default() }
    }

    /// The application calls `object`, which holds this.
    fn call<'py>(
        &self,
        object: &Bound<'py, PyAny>,
        arguments: Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Arguments { first, headers, exc_info } = arguments;
        match (first.as_deref(), headers.as_deref()) {
            (Some(status), Some(headers)) => {
                self.start(status, headers, exc_info.as_deref())?;
                Ok(object.clone())
            }
            (Some(data), None) if exc_info.is_none() && !data.is_instance_of::<PyString>() => {
                self.write(data)?;
                Ok(object.py().None().into_bound(object.py()))
            }
            _ => Err(PyTypeError::new_err("start_response() needs a status and a list of headers")),
        }
    }

    fn start<'py>(
        &self,
        status: &Bound<'py, PyAny>,
        headers: &Bound<'py, PyAny>,
        exc_info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        // PEP 3333: "if exc_info", so an empty tuple counts as not given.
        let exc_info = exc_info.filter(|info| info.is_truthy().unwrap_or(true));
        let heading = read_heading(status, headers)?;
        match self.state().progress.start(heading, exc_info.is_some()) {
            Ok(()) => Ok(()),
            Err(StartError::TooLate) => Err(reraise(exc_info)),
            Err(error) => Err(PyAssertionError::new_err(error.to_string())),
        }
    }

    /// Sends a piece of the body at once (PEP 3333 "The write() Callable").
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let bytes = data.cast::<PyBytes>().map_err(|_| not_bytes("write()", data))?;
        match self.send(data.py(), copy_bytes(bytes)) {
            Ok(()) | Err(Failure::TooMuch) => Ok(()),
            Err(failure) => Err(failure.into_error()),
        }
    }

    /// The length that the application has promised.
    pub fn content_length(&self) -> Option<u64> {
        match &self.state().progress {
            Progress::Started(heading) => heading.content_length(),
            _ => None,
        }
    }

    /// Whether the head has gone out.
    pub fn is_sent(&self) -> bool {
        matches!(self.state().progress, Progress::Sent)
    }

    /// Whether the body is being streamed.
    pub fn is_streaming(&self) -> bool {
        self.state().body.is_some()
    }

    /// Whether the head has gone out and no body is wanted: in answer to HEAD, with 204 and with 304.
    pub fn is_bodyless(&self) -> bool {
        self.state().bodyless
    }

    /// Whether the client was found gone while something was sent to it.
    pub fn is_abandoned(&self) -> bool {
        self.state().abandoned
    }

    /// Sends head and body in one. `promise`: the body's length, said in the head where the application has not.
    ///
    /// # Errors
    /// See [`Unsent`].
    pub fn send_whole(&self, mut body: ResponseBody, promise: Option<u64>) -> Result<(), Unsent> {
        let mut heading = {
            let mut state = self.state();
            match state.progress.send() {
                Some(heading) => heading,
                None if matches!(state.progress, Progress::Waiting) => return Err(Unsent::NotStarted),
                None => return Err(Unsent::Begun(body)),
            }
        };
        warn_of_dropped(&heading);
        // Nothing in answer to HEAD does not tell how much GET would bring (RFC 9110 section 9.3.2).
        let tells = |length| !heading.forbids_body() && (length > 0 || !self.here.is_head());
        if let Some(length) = promise.filter(|&length| tells(length)) {
            heading.promise(length);
        }
        if let (ResponseBody::Bytes(bytes), Some(length)) = (&mut body, heading.content_length())
            && bytes.len() as u64 > length
            && !self.here.is_head()
            && !heading.forbids_body()
        {
            tracing::warn!("the application sent more than its Content-Length; the rest is cut off");
            bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        }
        self.here.answer(Response { head: heading.build(), body });
        Ok(())
    }

    /// Sends a chunk of the body, the head before it if need be; waits while the client has too much to take. A chunk of a
    /// body that nobody wants is dropped.
    ///
    /// # Errors
    /// [`Failure::NotStarted`], [`Failure::ClientLeft`], [`Failure::TooMuch`].
    pub fn send(&self, py: Python<'_>, mut chunk: Bytes) -> Result<(), Failure> {
        if chunk.is_empty() {
            return if matches!(self.state().progress, Progress::Waiting) {
                Err(Failure::NotStarted)
            } else {
                Ok(())
            };
        }
        let Some(body) = self.open_body()? else { return Ok(()) };
        let paid_off = self.pay(&mut chunk);
        let sent = match body.push(chunk) {
            Ok(waker) => {
                self.here.wake(waker);
                if paid_off { Ok(()) } else { self.settle(py, &body) }
            }
            Err(_) => Err(Failure::ClientLeft),
        };
        match sent {
            _ if paid_off => Err(Failure::TooMuch),
            // Once all that was promised has gone out, nobody takes more.
            Err(_) if self.state().owed != Some(0) => Err(self.give_up()),
            _ => Ok(()),
        }
    }

    /// Cuts a chunk to what Content-Length leaves. `true`: something was cut.
    fn pay(&self, chunk: &mut Bytes) -> bool {
        let mut state = self.state();
        let Some(owed) = &mut state.owed else { return false };
        let left = usize::try_from(*owed).unwrap_or(usize::MAX);
        let too_much = chunk.len() > left;
        chunk.truncate(left);
        *owed -= chunk.len() as u64;
        if too_much && !std::mem::replace(&mut state.overpaid, true) {
            tracing::warn!("the application sent more than its Content-Length; the rest is cut off");
        }
        too_much
    }

    fn give_up(&self) -> Failure {
        self.state().abandoned = true;
        Failure::ClientLeft
    }

    /// The body is whole.
    pub fn finish(&self) {
        let mut state = self.state();
        state.progress = Progress::Finished;
        let missing = state.owed.unwrap_or(0);
        if let Some(body) = state.body.take() {
            drop(state);
            if missing > 0 {
                tracing::warn!(
                    missing,
                    "the application sent less than its Content-Length; the connection is closed"
                );
                self.here.wake(body.fail(pipe::PipeError::Closed));
            } else {
                self.here.wake(body.finish());
            }
        }
    }

    /// The application failed.
    pub fn fail(&self) {
        let mut state = self.state();
        state.progress = Progress::Finished;
        if let Some(body) = state.body.take() {
            drop(state);
            self.here.wake(body.fail(pipe::PipeError::Closed));
        }
    }

    /// Where chunks go; `None`: nobody wants them.
    fn open_body(&self) -> Result<Option<Arc<pipe::Sender>>, Failure> {
        let mut state = self.state();
        if let Some(body) = &state.body {
            return Ok(Some(Arc::clone(body)));
        }
        if state.bodyless && matches!(state.progress, Progress::Sent) {
            return Ok(None);
        }
        let heading = match state.progress.send() {
            Some(heading) => heading,
            None if matches!(state.progress, Progress::Waiting) => return Err(Failure::NotStarted),
            None => return Err(Failure::Over),
        };
        let (sender, body) = if self.here.is_head() || heading.forbids_body() {
            state.bodyless = true;
            (None, ResponseBody::Empty)
        } else {
            let (sender, receiver) = pipe::pipe(WINDOW);
            (Some(Arc::new(sender)), ResponseBody::Stream(receiver))
        };
        // A response without body promises nothing that could be kept or broken.
        state.owed = heading.content_length().filter(|_| sender.is_some());
        state.body.clone_from(&sender);
        drop(state);
        warn_of_dropped(&heading);
        self.here.answer(Response { head: heading.build(), body });
        Ok(sender)
    }

    /// Where nobody else drives the reactor, the chunk is on the wire when this returns; else it is on its way, and
    /// this waits only while more than [`WINDOW`] bytes are.
    fn settle(&self, py: Python<'_>, body: &pipe::Sender) -> Result<(), Failure> {
        if self.here.is_led() && body.has_room() {
            return Ok(());
        }
        self.here
            .wait(py, |cx, by| match by {
                WaitBy::Leading => body.poll_drained(cx),
                WaitBy::Parking => body.poll_ready(cx),
            })
            .map_err(|_| Failure::ClientLeft)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_heading(status: &Bound<'_, PyAny>, headers: &Bound<'_, PyAny>) -> PyResult<Heading> {
    let status = status
        .cast::<PyString>()
        .map_err(|_| PyTypeError::new_err(format!("status must be a string, not {status:?}")))?;
    let status = in_latin1(status)?;
    if let Ok(list) = headers.cast_exact::<PyList>() {
        let mut heading = Heading::new(status, ROOM_PER_HEADER * list.len()).map_err(invalid)?;
        for pair in list.iter() {
            push_pair(&mut heading, &pair)?;
        }
        return Ok(heading);
    }
    let mut heading = Heading::new(status, ROOM_PER_HEADER * 8).map_err(invalid)?;
    for pair in headers.try_iter()? {
        push_pair(&mut heading, &pair?)?;
    }
    Ok(heading)
}

/// Adds a header as applications give it.
///
/// # Errors
/// `TypeError` where it is no tuple of two strings, `ValueError` where they cannot be sent.
pub fn push_pair(heading: &mut Heading, pair: &Bound<'_, PyAny>) -> PyResult<()> {
    let wrong =
        || PyTypeError::new_err(format!("headers must be (name, value) tuples of two strings, not {pair:?}"));
    let [name, value] = pair.cast::<PyTuple>().map_err(|_| wrong())?.as_slice() else {
        return Err(wrong());
    };
    let (Ok(name), Ok(value)) = (name.cast::<PyString>(), value.cast::<PyString>()) else {
        return Err(wrong());
    };
    heading.push(in_latin1(name)?, in_latin1(value)?).map_err(invalid)
}

fn in_latin1<'a>(text: &'a Bound<'_, PyString>) -> PyResult<&'a [u8]> {
    latin1_bytes(text).ok_or_else(|| invalid(HeadingError::NotLatin1(text.to_string_lossy().into_owned())))
}

fn invalid(error: HeadingError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The exception of exc_info, to be raised again because the head has gone out.
fn reraise(exc_info: Option<&Bound<'_, PyAny>>) -> PyErr {
    match exc_info.and_then(|info| info.get_item(1).ok()) {
        Some(exception) if !exception.is_none() => PyErr::from_value(exception),
        _ => PyRuntimeError::new_err("the response has begun already"),
    }
}

/// The error for something else than bytes where the body's bytes belong.
pub fn not_bytes(whence: &str, item: &Bound<'_, PyAny>) -> PyErr {
    let kind = item.get_type();
    let name = kind.name().map_or_else(|_| "unknown".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("{whence} must give bytes, not {name} (PEP 3333)"))
}

fn warn_of_dropped(heading: &Heading) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !heading.dropped().is_empty() && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            headers = heading.dropped().join(", "),
            "the application sets hop-by-hop headers; they are the server's and are left out (said once)"
        );
    }
}

/// Bytes that a header takes, on the small side.
const ROOM_PER_HEADER: usize = 32;

/// Bytes of a streamed response that may wait for the client.
const WINDOW: usize = 256 * 1024;
