//! What `receive()` and `send()` return: complete already where that can be, so that awaiting them makes no Future.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::{
    Bound, Py, PyAny, PyResult, Python,
    exceptions::{PyRuntimeError, PyStopIteration},
    prelude::*,
};

use super::conversation::Conversation;

/// An awaitable with the whole interface of a coroutine (PEP 492), so that `asyncio.create_task()` takes it as well.
#[pyclass(frozen, module = "ironbridge._native", name = "Awaitable")]
#[derive(Debug)]
pub struct Awaitable {
    state: Mutex<State>,
}

/// Who takes an event back, and at which place it belongs there.
pub type Giver = (Conversation, u64);

#[derive(Debug)]
enum State {
    /// Complete for everybody who awaits it.
    Nothing,
    /// What the first step ends with, and who takes it back if there is none.
    Ready(Py<PyAny>, Option<Giver>),
    /// Goes on when an asyncio Future does.
    Waiting(Wait),
    /// Awaited to its end.
    Over,
}

#[derive(Debug)]
struct Wait {
    future: Py<PyAny>,
    /// `future.__await__()`.
    iterator: Py<PyAny>,
    /// Who takes an event back that nobody has received.
    giver: Option<Giver>,
}

impl Awaitable {
    /// Complete, with None. One will do for all.
    pub fn nothing() -> Self {
        Self { state: Mutex::new(State::Nothing) }
    }

    /// Complete, with an event, which goes back to `giver` if nobody awaits it.
    pub fn ready(event: Py<PyAny>, giver: Option<Giver>) -> Self {
        Self { state: Mutex::new(State::Ready(event, giver)) }
    }

    /// Complete when `future` is. What that brings goes back to `giver` where the waiting task is cancelled in between.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn waiting(future: &Bound<'_, PyAny>, giver: Option<Giver>) -> PyResult<Self> {
        let iterator = future.call_method0("__await__")?.unbind();
        let wait = Wait { future: future.clone().unbind(), iterator, giver };
        Ok(Self { state: Mutex::new(State::Waiting(wait)) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code of others runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The event that the first step would end with.
    fn take_ready(&self) -> Option<(Py<PyAny>, Option<Giver>)> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Over) {
            State::Ready(event, giver) => Some((event, giver)),
            other => {
                *state = other;
                None
            }
        }
    }

    /// One step. A wait that goes on stays.
    fn step(&self, go: impl FnOnce(&Wait) -> PyResult<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let state = {
            let mut state = self.state();
            if matches!(*state, State::Nothing) {
                return Err(PyStopIteration::new_err(()));
            }
            std::mem::replace(&mut *state, State::Over)
        };
        match state {
            State::Nothing => unreachable!("just looked"),
            State::Ready(event, _) => Err(PyStopIteration::new_err((event,))),
            State::Waiting(wait) => {
                let yielded = go(&wait);
                if yielded.is_ok() {
                    *self.state() = State::Waiting(wait);
                }
                yielded
            }
            State::Over => Err(PyRuntimeError::new_err("cannot await receive() or send() a second time")),
        }
    }
}

#[pymethods]
impl Awaitable {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        if matches!(*self.state(), State::Nothing) {
            // Ending without an exception is how an iterator says StopIteration(None) for nothing.
            return Ok(None);
        }
        self.step(|wait| wait.iterator.call_method0(py, "__next__")).map(Some)
    }

    fn send(&self, py: Python<'_>, value: Py<PyAny>) -> PyResult<Py<PyAny>> {
        self.step(|wait| wait.iterator.call_method1(py, "send", (value,)))
    }

    #[pyo3(signature = (kind, value=None, traceback=None, /))]
    fn throw(
        &self,
        py: Python<'_>,
        kind: Py<PyAny>,
        value: Option<Py<PyAny>>,
        traceback: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let _ = traceback;
        // The forms with more than one argument are deprecated since 3.12.
        let exception = value.filter(|value| !value.is_none(py)).unwrap_or(kind);
        if let Some((event, giver)) = self.take_ready() {
            give_back(py, giver.as_ref(), event)?;
            return Err(raised(exception.bind(py)));
        }
        self.step(|wait| {
            wait.give_back(py)?;
            wait.iterator.call_method1(py, "throw", (exception,))
        })
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let state = {
            let mut state = self.state();
            if matches!(*state, State::Nothing) {
                return Ok(());
            }
            std::mem::replace(&mut *state, State::Over)
        };
        match state {
            State::Ready(event, giver) => give_back(py, giver.as_ref(), event),
            State::Waiting(wait) => {
                wait.give_back(py)?;
                wait.iterator.call_method0(py, "close").map(drop)
            }
            State::Nothing | State::Over => Ok(()),
        }
    }
}

impl Drop for Awaitable {
    /// Nobody has awaited it to its end: nothing may be lost with it.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let state = std::mem::replace(state, State::Over);
        if matches!(state, State::Nothing | State::Over) {
            return;
        }
        Python::attach(|py| {
            let given_back = match &state {
                State::Ready(event, giver) => give_back(py, giver.as_ref(), event.clone_ref(py)),
                State::Waiting(wait) => wait.give_back(py),
                State::Nothing | State::Over => Ok(()),
            };
            if let Err(error) = given_back {
                error.write_unraisable(py, None);
            }
        });
    }
}

fn give_back(py: Python<'_>, giver: Option<&Giver>, event: Py<PyAny>) -> PyResult<()> {
    giver.map_or(Ok(()), |(giver, place)| giver.take_back(py, event, *place))
}

/// The exception that `throw()` is given, which may be a class.
fn raised(exception: &Bound<'_, PyAny>) -> PyErr {
    PyErr::from_value(exception.clone())
}

impl Wait {
    /// The task is cancelled: an event that has come already is for whoever receives next.
    fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        let Some((giver, place)) = &self.giver else { return Ok(()) };
        let future = self.future.bind(py);
        let has_come =
            future.call_method0("done")?.is_truthy()? && !future.call_method0("cancelled")?.is_truthy()?;
        if has_come {
            return giver.take_back(py, future.call_method0("result")?.unbind(), *place);
        }
        // A wait that has not begun, or is given up: nothing may be given to it any more.
        future.call_method0("cancel").map(drop)
    }
}
