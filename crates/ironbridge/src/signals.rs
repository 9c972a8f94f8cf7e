//! Signals of a server that runs in the main thread.
//!
//! Python's own C handler stays in place and writes each signal's number to a socket (`signal.set_wakeup_fd`); a
//! small thread reads it there. So a signal is heard at once, whatever Python code the main thread is in, and no
//! code of ours runs inside a signal handler. Handlers that the application has set in Python are run by the main thread, which
//! has nothing else to do.
//!
//! * [`children`]: what forked children do about it.

mod children;

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use crate::shutdown;
use crate::worker::Controller;

/// The handlers that are installed. [`Signals::restore`] puts the former ones back.
#[derive(Debug)]
pub struct Signals {
    former: Arc<Former>,
    installed: Arc<AtomicBool>,
    // Python writes to it. It closes after Python has been given the former one.
    writer: UnixStream,
    reader: UnixStream,
}

/// What was there before.
#[derive(Debug)]
struct Former {
    handlers: Vec<(i32, Py<PyAny>)>,
    wakeup_fd: i32,
}

/// The thread that obeys the signals.
#[derive(Debug)]
pub struct Listening {
    signals: Signals,
    thread: JoinHandle<()>,
}

impl Signals {
    /// Takes over SIGINT, SIGTERM and SIGQUIT. `None` outside the main thread of the main interpreter, where Python does
    /// not allow it: there the caller's program owns the signals.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub fn install(py: Python<'_>) -> PyResult<Option<Self>> {
        let (reader, writer) = UnixStream::pair()?;
        writer.set_nonblocking(true)?;
        let signal = py.import("signal")?;
        let quiet = PyDict::new(py);
        quiet.set_item("warn_on_full_buffer", false)?;
        let arguments = (writer.as_raw_fd(),);
        // Only this call knows for sure which thread is the main one, in embedding programs too.
        let wakeup_fd = match signal.call_method("set_wakeup_fd", arguments, Some(&quiet)) {
            Err(error) if error.is_instance_of::<PyValueError>(py) => return Ok(None),
            answer => answer?.extract()?,
        };
        let ignore = |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {};
        let handler = PyCFunction::new_closure(py, Some(c"ironbridge_signal"), None, ignore)?;
        let mut handlers = Vec::new();
        for number in SIGNALS {
            handlers.push((number, signal.call_method1("signal", (number, &handler))?.unbind()));
        }
        let former = Arc::new(Former { handlers, wakeup_fd });
        let installed = Arc::new(AtomicBool::new(true));
        children::release(py, &former, &installed)?;
        Ok(Some(Self { former, installed, writer, reader }))
    }

    /// Starts to obey: signals that came since [`Signals::install`] are not lost.
    ///
    /// # Errors
    /// The system has no threads or descriptors left.
    pub fn listen(self, controller: Controller) -> io::Result<Listening> {
        self.listen_with(move |command| match command {
            Command::Stop => controller.stop(),
            Command::Kill => controller.kill(),
            Command::Look => controller.look_for_signals(),
        })
    }

    fn listen_with(self, worker: impl Fn(Command) + Send + 'static) -> io::Result<Listening> {
        let reader = self.reader.try_clone()?;
        let thread =
            thread::Builder::new().name("ironbridge-signals".into()).spawn(move || obey(reader, &worker))?;
        Ok(Listening { signals: self, thread })
    }

    /// Puts the former handlers back.
    ///
    /// # Errors
    /// Python refuses; the remaining handlers are then as they were.
    pub fn restore(self, py: Python<'_>) -> PyResult<()> {
        self.installed.store(false, Ordering::Release);
        self.former.put_back(py, self.former.wakeup_fd, None)
    }
}

impl Former {
    /// `ignored`: a signal that is ignored from now on instead.
    fn put_back(&self, py: Python<'_>, wakeup_fd: i32, ignored: Option<i32>) -> PyResult<()> {
        let signal = py.import("signal")?;
        signal.call_method1("set_wakeup_fd", (wakeup_fd,))?;
        for (number, former) in &self.handlers {
            if ignored == Some(*number) {
                signal.call_method1("signal", (number, signal.getattr("SIG_IGN")?))?;
            } else if !former.is_none(py) {
                // None: the handler was not set from Python, and cannot be put back from Python.
                signal.call_method1("signal", (number, former))?;
            }
        }
        Ok(())
    }
}

impl Listening {
    /// Puts the former handlers back and ends the thread.
    ///
    /// # Errors
    /// As [`Signals::restore`].
    pub fn restore(self, py: Python<'_>) -> PyResult<()> {
        self.end(py, None)
    }

    /// As [`Self::restore`], at the end of the process, which another SIGTERM shall not turn into a violent one.
    ///
    /// # Errors
    /// As [`Signals::restore`].
    pub fn leave(self, py: Python<'_>) -> PyResult<()> {
        self.end(py, Some(SIGTERM))
    }

    fn end(self, py: Python<'_>, ignored: Option<i32>) -> PyResult<()> {
        let Signals { former, installed, writer, reader: _reader } = self.signals;
        installed.store(false, Ordering::Release);
        former.put_back(py, former.wakeup_fd, ignored)?;
        // The reader sees the end of the stream once both ends of ours are shut.
        writer.shutdown(std::net::Shutdown::Both)?;
        py.detach(|| self.thread.join()).map_err(|_| PyRuntimeError::new_err("the signal thread died"))
    }
}

/// What the next signal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Serving,
    Stopping,
    Killed,
}

/// What the worker is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Stop,
    Kill,
    /// Handlers of Python's may have to run.
    Look,
}

/// What to do about a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Stop,
    Kill,
    /// The worker did not end although it was told to: leave without it.
    Leave,
    Nothing,
}

impl State {
    /// A second SIGTERM changes nothing: process managers send it to a group and to each process of it.
    const fn on(self, signal: i32) -> (Self, Order) {
        match (self, signal) {
            (Self::Serving, SIGINT | SIGTERM) => (Self::Stopping, Order::Stop),
            (Self::Serving | Self::Stopping, SIGQUIT) | (Self::Stopping, SIGINT) => {
                (Self::Killed, Order::Kill)
            }
            (Self::Killed, SIGINT | SIGQUIT) => (Self::Killed, Order::Leave),
            _ => (self, Order::Nothing),
        }
    }
}

fn obey(mut reader: UnixStream, worker: &impl Fn(Command)) {
    let mut state = State::Serving;
    let mut byte = [0];
    loop {
        match reader.read(&mut byte) {
            Ok(1) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // Killed, but the worker is still there: the main thread is inside application code.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                shutdown::leave_at_once(0);
            }
            _ => return,
        }
        let (next, order) = state.on(i32::from(byte[0]));
        state = next;
        worker(Command::Look);
        carry_out(order, byte[0].into(), worker, &reader);
    }
}

fn carry_out(order: Order, signal: i32, worker: &impl Fn(Command), reader: &UnixStream) {
    match order {
        Order::Stop => {
            let more = if signal == SIGINT { "; press Ctrl-C again to end at once" } else { "" };
            tracing::info!("{}: finishing requests in flight{more}", name(signal));
            worker(Command::Stop);
        }
        Order::Kill => {
            tracing::info!("{}: stopping at once", name(signal));
            let _ = reader.set_read_timeout(Some(KILL_GRACE));
            worker(Command::Kill);
        }
        Order::Leave => shutdown::leave_at_once(0),
        Order::Nothing => {}
    }
}

const fn name(signal: i32) -> &'static str {
    match signal {
        SIGINT => "SIGINT",
        SIGTERM => "SIGTERM",
        _ => "SIGQUIT",
    }
}

/// What `signal.set_wakeup_fd` takes for "none".
const NO_WAKEUP_FD: i32 = -1;

/// The signals that stop a server.
const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGQUIT];

const SIGINT: i32 = libc::SIGINT;
const SIGTERM: i32 = libc::SIGTERM;
const SIGQUIT: i32 = libc::SIGQUIT;

/// How long a worker may take to end after it was told to do so at once.
const KILL_GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(signals: &[i32]) -> Vec<Order> {
        let mut state = State::Serving;
        let mut order = |signal: &i32| {
            let (next, order) = state.on(*signal);
            state = next;
            order
        };
        signals.iter().map(&mut order).collect()
    }

    #[test]
    fn the_second_interrupt_ends_at_once_and_a_second_sigterm_does_nothing() {
        assert_eq!(orders(&[SIGINT, SIGINT, SIGINT]), [Order::Stop, Order::Kill, Order::Leave]);
        assert_eq!(orders(&[SIGTERM, SIGTERM, SIGINT]), [Order::Stop, Order::Nothing, Order::Kill]);
        assert_eq!(orders(&[SIGINT, SIGTERM]), [Order::Stop, Order::Nothing]);
        assert_eq!(orders(&[SIGQUIT, SIGTERM]), [Order::Kill, Order::Nothing]);
    }

    #[test]
    fn handlers_are_put_back() {
        Python::attach(|py| {
            let signal = py.import("signal").unwrap();
            let current = || signal.call_method1("getsignal", (SIGTERM,)).unwrap();
            // In a test this is rarely Python's main thread, and then nothing may change.
            let before = current();
            if let Some(signals) = Signals::install(py).unwrap() {
                assert!(!current().is(&before));
                signals.listen_with(|_| {}).unwrap().restore(py).unwrap();
            }
            assert!(current().eq(&before).unwrap());
        });
    }
}
