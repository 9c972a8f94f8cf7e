//! Children that an application forks off within a request: they must end with its call, for the connection and the reactor
//! are their parent's.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::{
    Bound, PyErr, PyResult, Python,
    exceptions::PySystemExit,
    prelude::*,
    sync::PyOnceLock,
    types::{PyCFunction, PyDict, PyTuple},
};

/// Whether this process was forked off one that serves.
static FORKED: AtomicBool = AtomicBool::new(false);

/// Notices forks by `os.fork()` from now on. This process itself counts as nobody's child.
///
/// # Errors
/// `MemoryError`.
pub fn watch(py: Python<'_>) -> PyResult<()> {
    static WATCHES: PyOnceLock<()> = PyOnceLock::new();
    FORKED.store(false, Ordering::Relaxed);
    WATCHES
        .get_or_try_init(py, || {
            let note = |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
                FORKED.store(true, Ordering::Relaxed);
            };
            let hooks = PyDict::new(py);
            hooks.set_item("after_in_child", PyCFunction::new_closure(py, None, None, note)?)?;
            py.import("os")?.call_method("register_at_fork", (), Some(&hooks)).map(drop)
        })
        .map(drop)
}

/// Whether this process was forked off by a request that it now pretends to go on with.
#[inline]
pub fn is_child() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// Ends this process if it is a child: it has come back to an event loop that is its parent's.
#[inline]
pub fn end_child(py: Python<'_>) {
    if is_child() {
        end(py, None);
    }
}

/// Ends this process, a child, as `os._exit()` does, with the status that `error` stands for where it is `SystemExit`.
///
/// Its parent's threads are not here, and the locks that they held stay locked: nothing is logged, and nothing is cleaned up
/// but for Python's own output.
#[cold]
pub fn end(py: Python<'_>, error: Option<&PyErr>) -> ! {
    let end = || -> PyResult<()> {
        let sys = py.import("sys")?;
        for stream in ["stdout", "stderr"] {
            // Closed ones are no news here.
            let _ = sys.getattr(stream).and_then(|stream| stream.call_method0("flush"));
        }
        py.import("os")?.call_method1("_exit", (status(py, error),)).map(drop)
    };
    let _ = end();
    std::process::abort()
}

/// The exit status that Python would end with.
fn status(py: Python<'_>, error: Option<&PyErr>) -> i32 {
    let Some(error) = error else { return 0 };
    let code = error.value(py).getattr("code").ok().filter(|_| error.is_instance_of::<PySystemExit>(py));
    code.map_or(1, |code| if code.is_none() { 0 } else { code.extract().unwrap_or(1) })
}
