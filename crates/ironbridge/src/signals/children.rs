//! Children that the application forks.
//!
//! A child shares our socket and our handlers: a signal to the child would stop the server, and would not end the child. So
//! the child gets the former handlers back before any signal reaches it.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use super::{Former, NO_WAKEUP_FD};

/// Registers for all forks to come. Python has no way to take this back, so it asks `installed` each time.
pub(super) fn release(py: Python<'_>, former: &Arc<Former>, installed: &Arc<AtomicBool>) -> PyResult<()> {
    let (former, installed) = (former.clone(), installed.clone());
    let signals: Vec<i32> = former.handlers.iter().map(|(number, _)| *number).collect();
    let before =
        move |py: Python<'_>| if installed.load(Ordering::Acquire) { block(py, &signals) } else { Ok(()) };
    let in_child = move |py: Python<'_>| match BLOCKED.with_borrow(Option::is_some) {
        true => former.put_back(py, NO_WAKEUP_FD, None).and_then(|()| unblock(py)),
        false => Ok(()),
    };
    let hooks = PyDict::new(py);
    hooks.set_item("before", function(py, before)?)?;
    hooks.set_item("after_in_parent", function(py, unblock)?)?;
    hooks.set_item("after_in_child", function(py, in_child)?)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&hooks)).map(drop)
}

thread_local! {
    /// The signal mask that this thread had before it began to fork.
    static BLOCKED: RefCell<Option<Py<PyAny>>> = const { RefCell::new(None) };
}

/// Signals wait, in this thread and in the child that it forks.
fn block(py: Python<'_>, signals: &[i32]) -> PyResult<()> {
    let signal = py.import("signal")?;
    let mask = signal.call_method1("pthread_sigmask", (signal.getattr("SIG_BLOCK")?, signals))?.unbind();
    // Of two servers that run at once, only the first one's mask is the thread's own.
    BLOCKED.with_borrow_mut(|blocked| {
        blocked.get_or_insert(mask);
    });
    Ok(())
}

fn unblock(py: Python<'_>) -> PyResult<()> {
    let Some(mask) = BLOCKED.with_borrow_mut(Option::take) else { return Ok(()) };
    let signal = py.import("signal")?;
    signal.call_method1("pthread_sigmask", (signal.getattr("SIG_SETMASK")?, mask)).map(drop)
}

fn function<'py, F>(py: Python<'py>, body: F) -> PyResult<Bound<'py, PyCFunction>>
where
    F: Fn(Python<'_>) -> PyResult<()> + Send + Sync + 'static,
{
    let call = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| body(arguments.py());
    PyCFunction::new_closure(py, Some(c"ironbridge_fork"), None, call)
}
