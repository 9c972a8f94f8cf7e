//! The lifespan protocol: the application is told when the server starts and when it stops (ASGI "Lifespan Protocol").

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use pyo3::{
    Bound, Py, PyAny, PyErr, PyResult, Python,
    exceptions::{PyRuntimeError, PyTypeError, PyValueError},
    prelude::*,
    types::{PyDict, PyString},
};

use super::{awaitable::Awaitable, gateway::Style, scope::ASGI_VERSION, whereabouts::whereabouts};
use crate::{options::LifespanMode, wsgi::application::traceback};

/// Why an application does not start.
#[derive(Debug, thiserror::Error)]
pub enum LifespanError {
    /// It sent `lifespan.startup.failed`. Its own words, which may be none.
    #[error("the application failed to start (lifespan.startup.failed): {0}")]
    Failed(String),
    /// `--lifespan on`, and it does not speak the protocol. The traceback, where it raised.
    #[error("the application does not support the lifespan protocol, which --lifespan on demands\n{0}")]
    Unsupported(String),
    /// It has not answered in time: what it was to do, for how many seconds it had tried, and where it waits.
    #[error(
        "the application's {what} has not ended after {seconds} s (--lifespan-timeout); it waits here:\n{place}"
    )]
    Hangs {
        /// "startup" or "shutdown".
        what: &'static str,
        /// The limit.
        seconds: f64,
        /// As lines of a traceback.
        place: String,
    },
    /// There is no such event loop.
    #[error("option --loop: {0}")]
    Loop(String),
    /// It was to stop before it had started.
    #[error("stopped before the application had started")]
    Stopped,
    /// Python failed.
    #[error("{0}")]
    Python(#[from] PyErr),
}

/// The application's side of the protocol: `receive` and `send`.
#[pyclass(frozen, module = "ironbridge._native")]
pub struct LifespanChannel {
    desk: Mutex<Desk>,
    create_future: Py<PyAny>,
    /// Done when the application has answered what it was asked, or has ended.
    answered: Mutex<Py<PyAny>>,
    is_stopping: AtomicBool,
}

#[derive(Default)]
struct Desk {
    /// Events that have not been received.
    events: Vec<&'static str>,
    /// A task that waits for one.
    reader: Option<Py<PyAny>>,
    answer: Option<Answer>,
}

/// What the application said, or how it ended.
#[derive(Debug)]
enum Answer {
    Complete,
    Failed(String),
    Ended,
}

/// A running lifespan.
pub struct Lifespan {
    channel: Py<LifespanChannel>,
    task: Py<PyAny>,
    /// Seconds that it may take to start, and to stop; 0: no limit.
    timeout: f64,
}

#[pymethods]
impl LifespanChannel {
    /// The next event.
    fn receive<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Awaitable>> {
        let (py, this) = (slf.py(), slf.get());
        let event = {
            let mut desk = this.desk();
            (!desk.events.is_empty()).then(|| desk.events.remove(0))
        };
        if let Some(event) = event {
            return Bound::new(py, Awaitable::ready(event_dict(py, event)?.into_any().unbind(), None));
        }
        let future = this.create_future.bind(py).call0()?;
        this.desk().reader = Some(future.clone().unbind());
        Bound::new(py, Awaitable::waiting(&future, None)?)
    }

    /// An answer.
    #[pyo3(signature = (event, /))]
    fn send<'py>(slf: &Bound<'py, Self>, event: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Awaitable>> {
        let (py, this) = (slf.py(), slf.get());
        let event =
            event.cast::<PyDict>().map_err(|_| PyTypeError::new_err("send() takes an event, a dict"))?;
        let kind =
            event.get_item("type")?.ok_or_else(|| PyValueError::new_err("the event has no \"type\""))?;
        let kind = kind.cast::<PyString>()?.to_str()?;
        let stage = if this.is_stopping.load(Ordering::Relaxed) { "shutdown" } else { "startup" };
        let answer = match kind.strip_prefix("lifespan.").and_then(|kind| kind.strip_prefix(stage)) {
            Some(".complete") => Answer::Complete,
            Some(".failed") => {
                let message = event.get_item("message")?;
                Answer::Failed(message.map_or_else(String::new, |message| message.to_string()))
            }
            _ => {
                return Err(PyValueError::new_err(format!(
                    "unexpected event {kind:?} during the lifespan's {stage}"
                )));
            }
        };
        this.note(py, answer)?;
        Bound::new(py, Awaitable::nothing())
    }

    /// Called with the task when it has ended.
    fn ended(&self, task: &Bound<'_, PyAny>) -> PyResult<()> {
        // What it raised is told by its answer; asyncio need not complain that nobody has asked.
        if !task.call_method0("cancelled")?.is_truthy()? {
            task.call_method0("exception")?;
        }
        self.note(task.py(), Answer::Ended)
    }
}

impl LifespanChannel {
    /// The first answer counts.
    fn note(&self, py: Python<'_>, answer: Answer) -> PyResult<()> {
        {
            let mut desk = self.desk();
            if desk.answer.is_some() {
                return if matches!(answer, Answer::Ended) {
                    Ok(())
                } else {
                    Err(PyRuntimeError::new_err("the lifespan event was answered already"))
                };
            }
            desk.answer = Some(answer);
        }
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner).clone_ref(py);
        if !answered.call_method0(py, "done")?.is_truthy(py)? {
            answered.call_method1(py, "set_result", (py.None(),))?;
        }
        Ok(())
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // No Python code runs under this lock.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lifespan {
    /// Starts the application: `None` where it does not speak the protocol. `state` is what it may fill for its requests. The last
    /// are the options.
    ///
    /// # Errors
    /// [`LifespanError`].
    pub fn start(
        event_loop: &Bound<'_, PyAny>,
        application: &Py<PyAny>,
        style: Style,
        state: &Bound<'_, PyDict>,
        (mode, timeout): (LifespanMode, f64),
    ) -> Result<Option<Self>, LifespanError> {
        if mode == LifespanMode::Off {
            return Ok(None);
        }
        let py = event_loop.py();
        let create_future = event_loop.getattr("create_future")?;
        let channel = Bound::new(
            py,
            LifespanChannel {
                desk: Mutex::new(Desk { events: vec!["lifespan.startup"], ..Desk::default() }),
                answered: Mutex::new(create_future.call0()?.unbind()),
                create_future: create_future.unbind(),
                is_stopping: AtomicBool::new(false),
            },
        )?;
        let scope = scope(py, state)?;
        let (receive, send) = (channel.getattr("receive")?, channel.getattr("send")?);
        let application = application.bind(py);
        let begun = match style {
            Style::Single => application.call1((scope, receive, send)),
            Style::Double => application.call1((scope,)).and_then(|instance| instance.call1((receive, send))),
        };
        let task = match begun.and_then(|coroutine| event_loop.call_method1("create_task", (coroutine,))) {
            Ok(task) => task,
            Err(error) => return unsupported(py, mode, Some(&error)),
        };
        task.call_method1("add_done_callback", (channel.getattr("ended")?,))?;
        let lifespan = Self { channel: channel.unbind(), task: task.unbind(), timeout };
        match lifespan.wait(event_loop, "startup")? {
            Answer::Complete => Ok(Some(lifespan)),
            Answer::Failed(message) => Err(LifespanError::Failed(message)),
            Answer::Ended => unsupported(py, mode, lifespan.error(py)?.as_ref()),
        }
    }

    /// Tells the application that the server stops, and waits for its answer. What fails is logged.
    pub fn stop(self, event_loop: &Bound<'_, PyAny>) {
        let py = event_loop.py();
        match self.try_stop(event_loop) {
            Ok(Answer::Complete) => {}
            Ok(Answer::Failed(message)) => {
                tracing::error!("the application failed to shut down (lifespan.shutdown.failed): {message}");
            }
            Ok(Answer::Ended) => match self.error(py) {
                Ok(Some(error)) => {
                    tracing::error!("the application failed while it shut down\n{}", traceback(py, &error))
                }
                _ => tracing::debug!("the application's lifespan ended without an answer"),
            },
            Err(LifespanError::Python(error)) => {
                tracing::error!(%error, "the application could not be told of the shutdown");
            }
            Err(error) => tracing::error!("{error}"),
        }
    }

    /// Its task.
    pub fn task(&self) -> &Py<PyAny> {
        &self.task
    }

    fn try_stop(&self, event_loop: &Bound<'_, PyAny>) -> Result<Answer, LifespanError> {
        let py = event_loop.py();
        let channel = self.channel.get();
        if self.task.call_method0(py, "done")?.is_truthy(py)? {
            return Ok(Answer::Ended);
        }
        channel.is_stopping.store(true, Ordering::Relaxed);
        let answered = channel.create_future.call0(py)?;
        *channel.answered.lock().unwrap_or_else(PoisonError::into_inner) = answered;
        let reader = {
            let mut desk = channel.desk();
            desk.answer = None;
            desk.reader.take()
        };
        let waits = match &reader {
            Some(reader) => !reader.call_method0(py, "done")?.is_truthy(py)?,
            None => false,
        };
        if !waits {
            channel.desk().events.push("lifespan.shutdown");
        }
        if let Some(reader) = reader.filter(|_| waits) {
            reader.call_method1(py, "set_result", (event_dict(py, "lifespan.shutdown")?,))?;
        }
        self.wait(event_loop, "shutdown")
    }

    /// Runs the loop until the application has answered.
    fn wait(&self, event_loop: &Bound<'_, PyAny>, what: &'static str) -> Result<Answer, LifespanError> {
        let (py, channel) = (event_loop.py(), self.channel.get());
        let answered = channel.answered.lock().unwrap_or_else(PoisonError::into_inner).clone_ref(py);
        if self.timeout > 0.0 {
            let keywords = PyDict::new(py);
            keywords.set_item("timeout", self.timeout)?;
            let waiting = py.import("asyncio")?.call_method("wait", ([&answered],), Some(&keywords))?;
            event_loop.call_method1("run_until_complete", (waiting,))?;
            if !answered.call_method0(py, "done")?.is_truthy(py)? {
                let place = whereabouts(self.task.bind(py));
                return Err(LifespanError::Hangs { what, seconds: self.timeout, place });
            }
        } else {
            event_loop.call_method1("run_until_complete", (answered,))?;
        }
        // A task that has ended before the future was made leaves no other answer.
        Ok(channel.desk().answer.take().unwrap_or(Answer::Ended))
    }

    /// What the application's task raised.
    fn error(&self, py: Python<'_>) -> PyResult<Option<PyErr>> {
        let task = self.task.bind(py);
        if !task.call_method0("done")?.is_truthy()? || task.call_method0("cancelled")?.is_truthy()? {
            return Ok(None);
        }
        let error = task.call_method0("exception")?;
        Ok((!error.is_none()).then(|| PyErr::from_value(error)))
    }
}

/// The application raised on the scope, or ended without an answer: it does not speak the protocol.
fn unsupported(
    py: Python<'_>,
    mode: LifespanMode,
    error: Option<&PyErr>,
) -> Result<Option<Lifespan>, LifespanError> {
    let text = error.map(|error| traceback(py, error)).unwrap_or_default();
    if mode == LifespanMode::On {
        return Err(LifespanError::Unsupported(text));
    }
    tracing::debug!("the application does not support the lifespan protocol\n{text}");
    Ok(None)
}

fn scope<'py>(py: Python<'py>, state: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
    let asgi = PyDict::new(py);
    asgi.set_item("version", ASGI_VERSION)?;
    asgi.set_item("spec_version", LIFESPAN_SPEC_VERSION)?;
    let scope = PyDict::new(py);
    scope.set_item("type", "lifespan")?;
    scope.set_item("asgi", asgi)?;
    scope.set_item("state", state)?;
    Ok(scope)
}

fn event_dict<'py>(py: Python<'py>, kind: &str) -> PyResult<Bound<'py, PyDict>> {
    let event = PyDict::new(py);
    event.set_item("type", kind)?;
    Ok(event)
}

/// The version of the lifespan protocol.
const LIFESPAN_SPEC_VERSION: &str = "2.0";
