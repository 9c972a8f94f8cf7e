//! Leaving a process whose Python threads do not end.
//!
//! Python cannot finalize an interpreter while threads run in it, and would wait for a request that hangs. So this does what
//! users rely on (`atexit` functions, buffered output) and leaves the rest to the system.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;

use crate::sys;

/// Ends the process like a normal exit would, without waiting for threads. Never returns.
pub fn leave(py: Python<'_>, code: i32) -> ! {
    run_exit_functions(py);
    sys::exit_now(code)
}

/// As [`leave`], from a thread that is not attached, and even if no thread can attach any more because
/// native code holds the GIL.
pub fn leave_at_once(code: i32) -> ! {
    let (done, finished) = mpsc::channel();
    let helper = thread::Builder::new().name("ironbridge-exit".into()).spawn(move || {
        Python::attach(run_exit_functions);
        let _ = done.send(());
    });
    if helper.is_ok() {
        let _ = finished.recv_timeout(PATIENCE);
    }
    sys::exit_now(code)
}

/// How long the exit functions may take when the user has asked to end at once.
const PATIENCE: Duration = Duration::from_secs(2);

fn run_exit_functions(py: Python<'_>) {
    // Each step is tried, whatever becomes of the others: nobody is left to be told.
    let _ = py.import("atexit").and_then(|atexit| atexit.call_method0("_run_exitfuncs"));
    for stream in ["stdout", "stderr"] {
        let _ = py.import("sys").and_then(|sys| sys.getattr(stream)?.call_method0("flush"));
    }
}
