//! Makes an `asyncio.Task` of a coroutine and runs its first step at once, so that an application which never waits is done
//! before the event loop turns.

use std::sync::{Mutex, PoisonError};

use pyo3::{
    Bound, Py, PyAny, PyErr, PyResult, Python,
    exceptions::PyRuntimeError,
    intern,
    prelude::*,
    types::{PyDict, PyTuple},
};

/// How tasks are made.
pub struct Starter {
    event_loop: Py<PyAny>,
    task: Py<PyAny>,
    way: Way,
}

enum Way {
    /// `asyncio.Task(..., eager_start=True)`, since Python 3.12.
    Eager,
    /// A task hands its first step to `loop.call_soon()`: this takes it, and runs it. `takes_context`: since Python 3.11 a
    /// task is told its context; before, it copies the one that it is made in.
    Captured { captor: Py<Captor>, takes_context: bool },
    /// The application has set a task factory, which wants to be asked, or the loop is one that takes no other `call_soon`. The
    /// first step comes when the loop turns.
    Factory,
}

/// Stands in for `loop.call_soon` while a task is made.
#[pyclass(frozen, module = "ironbridge._native")]
pub struct Captor {
    taken: Mutex<Option<Taken>>,
}

struct Taken {
    step: Py<PyAny>,
    context: Option<Py<PyAny>>,
}

#[pymethods]
impl Captor {
    #[pyo3(signature = (step, *arguments, context=None))]
    fn __call__(
        &self,
        step: Py<PyAny>,
        arguments: &Bound<'_, PyTuple>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        if !arguments.is_empty() {
            return Err(PyRuntimeError::new_err("a task's first step takes no arguments"));
        }
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(Taken { step, context });
        Ok(())
    }
}

impl Starter {
    /// For one event loop.
    ///
    /// # Errors
    /// Python's.
    pub fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = event_loop.py();
        let version = py.version_info();
        let way = if version >= (3, 12) {
            Way::Eager
        } else {
            let captor = Py::new(py, Captor { taken: Mutex::new(None) })?;
            Way::Captured { captor, takes_context: version >= (3, 11) }
        };
        let task = py.import("asyncio")?.getattr("Task")?.unbind();
        let mut starter = Self { event_loop: event_loop.clone().unbind(), task, way };
        let takes_captor =
            || event_loop.setattr("call_soon", py.None()).and_then(|()| event_loop.delattr("call_soon"));
        let is_captured = matches!(starter.way, Way::Captured { .. });
        if starter.has_factory(py)? || is_captured && takes_captor().is_err() {
            starter.way = Way::Factory;
        }
        Ok(starter)
    }

    /// Makes a task that runs in `context`, on the event loop's thread and outside any other task. It may be done already.
    ///
    /// # Errors
    /// What is wrong with the coroutine; `SystemExit` and `KeyboardInterrupt` that its first step raised.
    pub fn start<'py>(
        &self,
        coroutine: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = coroutine.py();
        let keywords = PyDict::new(py);
        match &self.way {
            Way::Eager => {
                keywords.set_item(intern!(py, "loop"), &self.event_loop)?;
                keywords.set_item(intern!(py, "context"), context)?;
                keywords.set_item(intern!(py, "eager_start"), true)?;
                self.task.bind(py).call((coroutine,), Some(&keywords))
            }
            Way::Captured { captor, takes_context } => {
                self.start_captured(coroutine, context, captor, *takes_context)
            }
            Way::Factory => {
                let create_task = self.event_loop.bind(py).getattr(intern!(py, "create_task"))?;
                context.call_method1(intern!(py, "run"), (create_task, coroutine))
            }
        }
    }

    fn start_captured<'py>(
        &self,
        coroutine: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        captor: &Py<Captor>,
        takes_context: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = coroutine.py();
        let (event_loop, call_soon) = (self.event_loop.bind(py), intern!(py, "call_soon"));
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "loop"), event_loop)?;
        event_loop.setattr(call_soon, captor)?;
        let made = if takes_context {
            keywords
                .set_item(intern!(py, "context"), context)
                .and_then(|()| self.task.bind(py).call((coroutine,), Some(&keywords)))
        } else {
            context.call_method(intern!(py, "run"), (&self.task, coroutine), Some(&keywords))
        };
        event_loop.delattr(call_soon)?;
        let taken = captor.get().taken.lock().unwrap_or_else(PoisonError::into_inner).take();
        let task = made?;
        let Some(Taken { step, context: own }) = taken else {
            return Err(PyRuntimeError::new_err("the task did not ask for its first step"));
        };
        let context = own.as_ref().map_or(context, |own| own.bind(py));
        if let Err(error) = context.call_method1(intern!(py, "run"), (step,)) {
            // SystemExit and KeyboardInterrupt: the task has it as well, and would complain that nobody has asked.
            task.call_method0(intern!(py, "exception")).map(drop).unwrap_or_default();
            return Err(error);
        }
        Ok(task)
    }

    fn has_factory(&self, py: Python<'_>) -> Result<bool, PyErr> {
        Ok(!self.event_loop.call_method0(py, "get_task_factory")?.is_none(py))
    }
}
