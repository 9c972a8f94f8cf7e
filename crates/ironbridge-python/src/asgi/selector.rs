//! The selector of the event loop: waiting for files is driving the reactor.
//!
//! asyncio waits in `selector.select(timeout)`. Ours drives the worker's reactor meanwhile, so that connections and event loop
//! live on one thread. What asyncio itself waits for (the sockets of other libraries, pipes of subprocesses, its own wake-up
//! socket) stays in a selector of Python's, whose descriptor the reactor watches as one of its files.

use std::{
    future::Future,
    os::fd::OwnedFd,
    pin::pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use pyo3::{
    Bound, Py, PyAny, PyResult, Python, intern,
    prelude::*,
    types::{PyList, PyTuple},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{io::unix::AsyncFd, time::sleep};

use super::{gateway::Gateway, helm::Helm, sys::watch};
use crate::{fork, wsgi::ffi::borrow_fd};

/// A `selectors.BaseSelector`.
#[pyclass(frozen, module = "ironbridge._native", name = "Selector")]
pub struct Selector {
    helm: Arc<Helm>,
    inner: Py<PyAny>,
    /// The inner selector's descriptor once more.
    watched: AsyncFd<OwnedFd>,
    gateway: OnceLock<Gateway>,
    /// What ends with the selector.
    at_end: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

/// How long `select()` may wait.
#[derive(Debug, Clone, Copy)]
enum Patience {
    None,
    For(Duration),
    Endless,
}

impl Selector {
    /// A selector that drives `helm`'s reactor.
    ///
    /// # Errors
    /// The system's, when it has no descriptors left.
    pub fn new(py: Python<'_>, helm: Arc<Helm>) -> PyResult<Self> {
        let inner = py.import("selectors")?.getattr("DefaultSelector")?.call0()?;
        let fd = borrow_fd(&inner, inner.call_method0("fileno")?.extract()?).try_clone_to_owned()?;
        let watched = {
            let _context = helm.reactor.enter();
            watch(fd)?
        };
        Ok(Self { helm, inner: inner.unbind(), watched, gateway: OnceLock::new(), at_end: Mutex::new(None) })
    }

    /// From now on requests are served.
    pub fn open(&self, gateway: Gateway) {
        let _ = self.gateway.set(gateway);
    }

    /// When the loop closes, `end` is called.
    pub fn call_at_end(&self, end: Box<dyn FnOnce() + Send>) {
        *self.at_end.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }

    /// Drives the reactor until there is something for Python to do, or patience ends.
    fn drive(&self, patience: Patience) {
        let mut sleep = pin!(match patience {
            Patience::For(time) => Some({
                let _context = self.helm.reactor.enter();
                sleep(time)
            }),
            _ => None,
        });
        let mut has_turned = false;
        self.helm.drive(|cx| {
            let is_due = matches!(patience, Patience::None)
                || self.helm.has_notices()
                || self.watched.poll_read_ready(cx).is_ready()
                || sleep.as_mut().as_pin_mut().is_some_and(|sleep| sleep.poll(cx).is_ready());
            if !is_due {
                has_turned = true;
                return Poll::Pending;
            }
            // I/O has its turn whatever else there is to do.
            if std::mem::replace(&mut has_turned, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
    }

    /// What of asyncio's own files is ready.
    fn ready_files<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.watched.poll_read_ready(&mut Context::from_waker(Waker::noop())).is_ready() {
            self.inner.bind(py).call_method1(intern!(py, "select"), (0,))
        } else {
            Ok(PyList::empty(py).into_any())
        }
    }

    /// The loop has seen to the files that were ready. Readiness is told once: only where nothing is left may it be waited for
    /// again.
    fn settle(&self) {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(Ok(mut guard)) = self.watched.poll_read_ready(&mut context)
            && !is_readable(guard.get_inner())
        {
            guard.clear_ready();
        }
    }
}

#[pymethods]
impl Selector {
    /// Waits for files, and serves requests meanwhile.
    #[pyo3(signature = (timeout=None))]
    fn select<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        fork::end_child(py);
        let patience = match timeout {
            None => Patience::Endless,
            Some(seconds) if seconds <= 0.0 => Patience::None,
            Some(seconds) => Patience::For(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST)),
        };
        py.detach(|| {
            self.settle();
            self.drive(patience);
        });
        if let Some(gateway) = self.gateway.get() {
            gateway.work(py)?;
        }
        self.ready_files(py)
    }

    #[pyo3(signature = (*arguments))]
    fn register<'py>(&self, arguments: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        self.inner.bind(arguments.py()).call_method1("register", arguments)
    }

    #[pyo3(signature = (*arguments))]
    fn modify<'py>(&self, arguments: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        self.inner.bind(arguments.py()).call_method1("modify", arguments)
    }

    fn unregister<'py>(&self, file: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.inner.bind(file.py()).call_method1("unregister", (file,))
    }

    fn get_key<'py>(&self, file: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.inner.bind(file.py()).call_method1("get_key", (file,))
    }

    fn get_map<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.inner.bind(py).call_method0("get_map")
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let end = self.at_end.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(end) = end {
            py.detach(end);
        }
        self.inner.call_method0(py, "close").map(drop)
    }
}

/// Whether a read would not wait.
fn is_readable(fd: &OwnedFd) -> bool {
    let mut files = [PollFd::new(fd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // Asking again is the safe answer to a failure.
    poll(&mut files, Some(&now)).map_or(true, |count| count > 0)
}

/// As long as it gets; the loop comes back and waits on.
const LONGEST: Duration = Duration::from_secs(3600);
