//! Signals of a server, a worker or a supervisor that runs in the main thread.
//!
//! Python's own C handler stays in place and writes each signal's number to a socket (`signal.set_wakeup_fd`); a
//! small thread reads it there. So a signal is heard at once, whatever Python code the main thread is in, and no
//! code of ours runs inside a signal handler. Handlers that the application has set in Python are run by the main thread, which
//! has nothing else to do.
//!
//! * [`Role`]: which signals are taken over, and who acts on them.
//! * [`children`]: what forked children do about it.

mod children;

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
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

/// For whom signals are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A server within somebody's program: it hears what ends it.
    Guest,
    /// A server that is the whole process, without a supervisor.
    Alone,
    /// A worker of a supervisor, which tells it what to do: what a terminal sends to all processes is not for it.
    Worker,
    /// A supervisor.
    Supervisor,
}

/// The handlers that are installed. [`Signals::restore`] puts the former ones back.
#[derive(Debug)]
pub struct Signals {
    role: Role,
    former: Arc<Former>,
    installed: Arc<AtomicBool>,
    // Python writes to it. It closes after Python has been given the former one.
    writer: UnixStream,
    reader: UnixStream,
}

/// What was there before.
#[derive(Debug)]
struct Former {
    handlers: Handlers,
    wakeup_fd: i32,
}

/// Signals with Python's handlers of them.
type Handlers = Vec<(i32, Py<PyAny>)>;

/// Signals that a worker must not die of before it has an ear for them: [`Signals::install`] takes over from it.
#[derive(Debug, Default)]
pub struct Muffled {
    former: Handlers,
}

/// The thread that obeys the signals.
#[derive(Debug)]
pub struct Listening {
    signals: Signals,
    thread: JoinHandle<()>,
}

impl Role {
    /// What it takes over.
    const fn signals(self) -> &'static [i32] {
        match self {
            Self::Guest => &[SIGINT, SIGTERM, SIGQUIT],
            Self::Alone | Self::Worker => &[SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1],
            Self::Supervisor => &[
                SIGINT,
                SIGTERM,
                SIGQUIT,
                SIGHUP,
                SIGUSR1,
                SIGUSR2,
                libc::SIGTTIN,
                libc::SIGTTOU,
                libc::SIGCHLD,
            ],
        }
    }

    /// What must not end it, and is the application's where it has a handler.
    const fn survived(self) -> &'static [i32] {
        match self {
            // It is for the supervisor, and sent to the wrong process easily.
            Self::Alone | Self::Worker => &[SIGUSR2],
            Self::Guest | Self::Supervisor => &[],
        }
    }
}

impl Muffled {
    /// Has the signals of a worker that do not end it do nothing from now on.
    ///
    /// # Errors
    /// Not in the main thread of the main interpreter.
    pub fn install(py: Python<'_>) -> PyResult<Self> {
        let handler = deaf(py)?;
        let former = [SIGINT, SIGHUP, SIGUSR1, SIGUSR2]
            .map(|number| Ok((number, replace(py, number, handler.as_any())?)));
        Ok(Self { former: former.into_iter().collect::<PyResult<_>>()? })
    }
}

impl Signals {
    /// Takes over the signals of this role. `None` outside the main thread of the main interpreter, where Python does
    /// not allow it: there the caller's program owns the signals.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub fn install(py: Python<'_>, role: Role) -> PyResult<Option<Self>> {
        Self::take_over(py, role, Muffled::default())
    }

    /// As [`Self::install`], from what muffled some of the signals until now.
    ///
    /// # Errors
    /// As [`Self::install`].
    pub fn take_over(py: Python<'_>, role: Role, muffled: Muffled) -> PyResult<Option<Self>> {
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
        let handler = deaf(py)?;
        let mut handlers = muffled.former;
        for number in role.signals() {
            let former = replace(py, *number, handler.as_any())?;
            if handlers.iter().all(|(muffled, _)| muffled != number) {
                handlers.push((*number, former));
            }
        }
        let default = signal.getattr("SIG_DFL")?;
        for number in role.survived() {
            if signal.call_method1("getsignal", (number,))?.eq(&default)? {
                handlers.push((*number, replace(py, *number, handler.as_any())?));
            }
        }
        let former = Arc::new(Former { handlers, wakeup_fd });
        let installed = Arc::new(AtomicBool::new(true));
        children::release(py, &former, &installed)?;
        Ok(Some(Self { role, former, installed, writer, reader }))
    }

    /// Readable when signals have come.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// The signals that have come, without waiting.
    ///
    /// # Errors
    /// The socket cannot be read.
    pub fn heard(&self) -> io::Result<Vec<i32>> {
        self.reader.set_nonblocking(true)?;
        let mut heard = Vec::new();
        let mut buffer = [0; 64];
        loop {
            match (&self.reader).read(&mut buffer) {
                Ok(0) => return Ok(heard),
                Ok(count) => heard.extend(buffer[..count].iter().map(|byte| i32::from(*byte))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(heard),
                Err(error) => return Err(error),
            }
        }
    }

    /// In a child that was forked: the former handlers are back already, and the child's own children are its own business.
    pub fn abandon(self) {
        self.installed.store(false, Ordering::Release);
    }

    /// Starts to obey: signals that came since [`Signals::install`] are not lost.
    ///
    /// # Errors
    /// The system has no threads or descriptors left.
    pub fn listen(self, controller: Controller) -> io::Result<Listening> {
        self.listen_with(move |command| match command {
            Command::Stop => controller.stop(),
            Command::StopWithNotice => controller.stop_with_notice(),
            Command::Kill => controller.kill(),
            Command::Look => controller.look_for_signals(),
            Command::ReopenLogs => controller.reopen_logs(),
        })
    }

    fn listen_with(self, worker: impl Fn(Command) + Send + 'static) -> io::Result<Listening> {
        let reader = self.reader.try_clone()?;
        let role = self.role;
        let obey = move || obey(reader, role, &worker);
        let thread = thread::Builder::new().name("ironbridge-signals".into()).spawn(obey)?;
        Ok(Listening { signals: self, thread })
    }

    /// Puts the former handlers back.
    ///
    /// # Errors
    /// Python refuses; the remaining handlers are then as they were.
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
        self.installed.store(false, Ordering::Release);
        self.former.put_back(py, self.former.wakeup_fd, ignored)
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
        let Signals { role: _, former, installed, writer, reader: _reader } = self.signals;
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
    /// As load balancers would have it.
    StopWithNotice,
    Kill,
    /// Handlers of Python's may have to run.
    Look,
    /// Log files were moved away.
    ReopenLogs,
}

/// What to do about a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Stop,
    Kill,
    /// The worker did not end although it was told to: leave without it.
    Leave,
    ReopenLogs,
    Nothing,
}

impl State {
    /// A second SIGTERM changes nothing: process managers send it to a group and to each process of it.
    const fn on(self, signal: i32, role: Role) -> (Self, Order) {
        match (self, signal) {
            (_, SIGUSR1) => (self, Order::ReopenLogs),
            // A terminal sends them to all its processes: the supervisor decides.
            (_, SIGINT | SIGHUP) if matches!(role, Role::Worker) => (self, Order::Nothing),
            // There is nobody to start another worker, and what hung up may be the terminal.
            (Self::Serving, SIGINT | SIGTERM | SIGHUP) => (Self::Stopping, Order::Stop),
            (Self::Serving | Self::Stopping, SIGQUIT) | (Self::Stopping, SIGINT) => {
                (Self::Killed, Order::Kill)
            }
            (Self::Killed, SIGINT | SIGQUIT) => (Self::Killed, Order::Leave),
            _ => (self, Order::Nothing),
        }
    }
}

fn obey(mut reader: UnixStream, role: Role, worker: &impl Fn(Command)) {
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
        let (next, order) = state.on(i32::from(byte[0]), role);
        state = next;
        worker(Command::Look);
        // A supervisor has said what it does.
        if role != Role::Worker {
            announce(order, byte[0].into());
        }
        carry_out(order, byte[0].into(), role, worker, &reader);
    }
}

fn announce(order: Order, signal: i32) {
    match order {
        Order::Stop => announce_stop(signal, false),
        Order::Kill => announce_stop(signal, true),
        Order::Leave | Order::ReopenLogs | Order::Nothing => {}
    }
}

/// Says that a signal ends the server: `quick`ly or when the requests in flight are answered.
pub(crate) fn announce_stop(signal: i32, quick: bool) {
    let name = match signal {
        SIGINT => "SIGINT",
        SIGTERM => "SIGTERM",
        SIGHUP => "SIGHUP",
        _ => "SIGQUIT",
    };
    match (quick, signal) {
        (true, _) => tracing::info!("{name}: stopping at once"),
        (false, SIGINT) => {
            tracing::info!("{name}: finishing requests in flight; press Ctrl-C again to end at once");
        }
        (false, _) => tracing::info!("{name}: finishing requests in flight"),
    }
}

fn carry_out(order: Order, signal: i32, role: Role, worker: &impl Fn(Command), reader: &UnixStream) {
    match order {
        // A supervisor has given notice already.
        Order::Stop if signal == SIGTERM && role == Role::Alone => worker(Command::StopWithNotice),
        Order::Stop => worker(Command::Stop),
        Order::Kill => {
            let _ = reader.set_read_timeout(Some(KILL_GRACE));
            worker(Command::Kill);
        }
        Order::Leave => shutdown::leave_at_once(0),
        Order::ReopenLogs => worker(Command::ReopenLogs),
        Order::Nothing => {}
    }
}

/// A handler that does nothing: Python's own C handler has done what we need. Unlike `SIG_IGN` it does not outlive an `exec`.
fn deaf(py: Python<'_>) -> PyResult<Bound<'_, PyCFunction>> {
    let ignore = |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {};
    PyCFunction::new_closure(py, Some(c"ironbridge_signal"), None, ignore)
}

fn replace(py: Python<'_>, signal: i32, handler: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    Ok(py.import("signal")?.call_method1("signal", (signal, handler))?.unbind())
}

/// What `signal.set_wakeup_fd` takes for "none".
const NO_WAKEUP_FD: i32 = -1;

const SIGINT: i32 = libc::SIGINT;
const SIGTERM: i32 = libc::SIGTERM;
const SIGQUIT: i32 = libc::SIGQUIT;
const SIGHUP: i32 = libc::SIGHUP;
const SIGUSR1: i32 = libc::SIGUSR1;
const SIGUSR2: i32 = libc::SIGUSR2;

/// How long a worker may take to end after it was told to do so at once.
const KILL_GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(signals: &[i32]) -> Vec<Order> {
        orders_of(Role::Alone, signals)
    }

    fn orders_of(role: Role, signals: &[i32]) -> Vec<Order> {
        let mut state = State::Serving;
        let mut order = |signal: &i32| {
            let (next, order) = state.on(*signal, role);
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
    fn a_worker_leaves_to_its_supervisor_what_a_terminal_sends_to_all() {
        let nothing = Order::Nothing;
        assert_eq!(orders_of(Role::Worker, &[SIGINT, SIGHUP, SIGINT]), [nothing, nothing, nothing]);
        assert_eq!(
            orders_of(Role::Worker, &[SIGUSR1, SIGTERM, SIGQUIT]),
            [Order::ReopenLogs, Order::Stop, Order::Kill]
        );
        assert_eq!(orders(&[SIGHUP, SIGUSR1]), [Order::Stop, Order::ReopenLogs]);
    }

    #[test]
    fn handlers_are_put_back() {
        Python::attach(|py| {
            let signal = py.import("signal").unwrap();
            let current = || signal.call_method1("getsignal", (SIGTERM,)).unwrap();
            // In a test this is rarely Python's main thread, and then nothing may change.
            let before = current();
            if let Some(signals) = Signals::install(py, Role::Supervisor).unwrap() {
                assert!(!current().is(&before));
                signals.listen_with(|_| {}).unwrap().restore(py).unwrap();
            }
            assert!(current().eq(&before).unwrap());
        });
    }
}
