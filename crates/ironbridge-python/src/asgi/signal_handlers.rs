//! `loop.add_signal_handler()` for a loop that does not run on the main thread: that one sets the handlers, and the loop calls
//! what it was given.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pyo3::{
    Bound, Py, PyAny, PyResult, Python,
    exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError},
    prelude::*,
    types::{PyCFunction, PyDict, PyTuple},
};

use crate::chores::Chores;

/// The two methods, as asyncio documents them.
#[pyclass(frozen, module = "ironbridge._native")]
pub struct SignalHandlers {
    event_loop: Py<PyAny>,
    chores: Arc<Chores>,
    /// Signals that have a handler.
    handled: Mutex<BTreeSet<i32>>,
}

#[pymethods]
impl SignalHandlers {
    /// Has the loop call ``callback`` when a signal comes.
    #[pyo3(signature = (sig, callback, *arguments))]
    fn add_signal_handler(
        &self,
        sig: &Bound<'_, PyAny>,
        callback: &Bound<'_, PyAny>,
        arguments: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        let py = sig.py();
        let asyncio = py.import("asyncio")?;
        for test in ["iscoroutine", "iscoroutinefunction"] {
            if asyncio.call_method1(test, (callback,))?.is_truthy()? {
                return Err(PyTypeError::new_err("coroutines cannot be used with add_signal_handler()"));
            }
        }
        let number = number_of(sig)?;
        let (event_loop, callback, arguments) =
            (self.event_loop.clone_ref(py), callback.clone().unbind(), arguments.clone().unbind());
        self.chores.call(py, move |py| {
            let call = move |args: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
                call_soon(args.py(), &event_loop, &callback, &arguments)
            };
            let handler = PyCFunction::new_closure(py, Some(c"ironbridge_loop_signal"), None, call)?;
            set_handler(py, number, handler.as_any())
        })?;
        self.handled().insert(number);
        Ok(())
    }

    /// Takes the handler away. Returns whether there was one.
    #[pyo3(signature = (sig,))]
    fn remove_signal_handler(&self, sig: &Bound<'_, PyAny>) -> PyResult<bool> {
        let number = number_of(sig)?;
        if !self.handled().remove(&number) {
            return Ok(false);
        }
        self.reset(sig.py(), number).map(|()| true)
    }
}

impl SignalHandlers {
    /// Gives `event_loop` the two methods. A loop of a kind that cannot be given any keeps its own.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn install<'py>(event_loop: &Bound<'py, PyAny>, chores: Arc<Chores>) -> PyResult<Bound<'py, Self>> {
        let handlers = Self { event_loop: event_loop.clone().unbind(), chores, handled: Mutex::default() };
        let handlers = Bound::new(event_loop.py(), handlers)?;
        for name in ["add_signal_handler", "remove_signal_handler"] {
            if let Err(error) = event_loop.setattr(name, handlers.getattr(name)?) {
                tracing::debug!(%error, "the event loop keeps its own {name}()");
            }
        }
        Ok(handlers)
    }

    /// The loop is about to close.
    ///
    /// # Errors
    /// `RuntimeError`: the handlers stay.
    pub fn remove_all(&self, py: Python<'_>) -> PyResult<()> {
        let handled = std::mem::take(&mut *self.handled());
        handled.into_iter().try_for_each(|number| self.reset(py, number))
    }

    fn reset(&self, py: Python<'_>, number: i32) -> PyResult<()> {
        self.chores.call(py, move |py| {
            let signal = py.import("signal")?;
            let default = if number == libc::SIGINT { "default_int_handler" } else { "SIG_DFL" };
            set_handler(py, number, &signal.getattr(default)?)
        })
    }

    fn handled(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        // No Python code runs under this lock.
        self.handled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number_of(sig: &Bound<'_, PyAny>) -> PyResult<i32> {
    let number: i32 =
        sig.extract().map_err(|_| PyTypeError::new_err(format!("sig must be an int, not {sig:?}")))?;
    let valid = sig.py().import("signal")?.call_method0("valid_signals")?;
    if valid.contains(number)? {
        Ok(number)
    } else {
        Err(PyValueError::new_err(format!("invalid signal number {number}")))
    }
}

/// On the main thread.
fn set_handler(py: Python<'_>, number: i32, handler: &Bound<'_, PyAny>) -> PyResult<()> {
    let signal = py.import("signal")?;
    let set = || {
        signal.call_method1("signal", (number, handler))?;
        // System calls go on where a signal has interrupted them.
        signal.call_method1("siginterrupt", (number, false)).map(drop)
    };
    set().map_err(|error| match error {
        error if error.is_instance_of::<PyOSError>(py) => {
            PyRuntimeError::new_err(format!("sig {number} cannot be caught"))
        }
        // Somebody else runs the main thread.
        error if error.is_instance_of::<PyValueError>(py) => {
            PyRuntimeError::new_err(error.value(py).to_string())
        }
        error => error,
    })
}

fn call_soon(
    py: Python<'_>,
    event_loop: &Py<PyAny>,
    callback: &Py<PyAny>,
    arguments: &Py<PyTuple>,
) -> PyResult<()> {
    let mut all = vec![callback.bind(py).clone()];
    all.extend(arguments.bind(py).iter());
    match event_loop.call_method1(py, "call_soon_threadsafe", PyTuple::new(py, all)?) {
        // It is closed.
        Err(error) if error.is_instance_of::<PyRuntimeError>(py) => Ok(()),
        called => called.map(drop),
    }
}
