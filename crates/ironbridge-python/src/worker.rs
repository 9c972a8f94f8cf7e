//! The Python side of one worker, put together: reactor, pool, application.

use std::{future::Future, io, sync::Arc, time::Duration};

use pyo3::{Py, PyAny, PyResult, Python, prelude::*};

use crate::{
    asgi::{
        event_loop::{EventLoop, Setup},
        gateway::Style,
        lifespan::LifespanError,
    },
    chores::Chores,
    engine::{pool::Pool, reactor::TokioReactor, scheduler::Policy},
    fork,
    interface::Interface,
    interpreter::{Cpython, PythonPool},
    options::PythonOptions,
    overtime::{self, OnStuck},
    plain,
    rounds::Rounds,
    service::PythonService,
    wsgi::{Application, mount::Mount},
};

/// A running engine with an application.
#[derive(Clone)]
pub enum Engine {
    /// Threads that take turns.
    Wsgi {
        /// They.
        pool: Arc<PythonPool>,
        /// Where the application is mounted.
        mount: Arc<Mount>,
        /// How long a request may wait for one.
        queue_timeout: Duration,
    },
    /// One thread with an event loop.
    Asgi(Arc<EventLoop>),
}

impl Engine {
    /// Prepares `application`; no thread runs yet. Whoever runs the worker does `chores`.
    ///
    /// # Errors
    /// Python's, when memory runs out; the system's, when it gives no reactor.
    pub fn new(
        py: Python<'_>,
        application: Py<PyAny>,
        interface: Interface,
        options: &PythonOptions,
        chores: &Arc<Chores>,
    ) -> PyResult<Self> {
        let reactor = TokioReactor::new(runtime()?);
        fork::watch(py)?;
        // Python takes the thread that first imports this for the main one.
        py.import("threading")?;
        let style = match interface {
            Interface::Wsgi => return Self::with_threads(py, application, reactor, options),
            Interface::Asgi3 => Style::Single,
            Interface::Asgi2 => Style::Double,
        };
        let setup = Setup { application, style, options: options.clone(), chores: Arc::clone(chores) };
        Ok(Self::Asgi(Arc::new(EventLoop::new(reactor, setup))))
    }

    fn with_threads(
        py: Python<'_>,
        application: Py<PyAny>,
        reactor: TokioReactor,
        options: &PythonOptions,
    ) -> PyResult<Self> {
        let mount = Arc::new(Mount::new(&options.root_path));
        let application = Application::new(py, application, Arc::clone(&mount), options.threads > 1)?;
        let policy = Policy {
            threads: options.threads as usize,
            queue: options.queue_size as usize,
            exclusive: has_gil(py),
            slice: SLICE,
        };
        let idle = Duration::from_secs_f64(options.thread_idle_timeout);
        let rounds = overtime::Policy::new(options).map(|_| Rounds::new(policy.threads));
        let pool = Pool::new(Cpython { application, rounds }, reactor, policy, idle);
        Ok(Self::Wsgi { pool, mount, queue_timeout: Duration::from_secs_f64(options.queue_timeout) })
    }

    /// The application as a handler.
    pub fn service(&self) -> PythonService {
        match self {
            Self::Wsgi { pool, mount, .. } => {
                PythonService::Wsgi { pool: Arc::clone(pool), mount: Arc::clone(mount) }
            }
            Self::Asgi(event_loop) => PythonService::Asgi(Arc::clone(event_loop)),
        }
    }

    /// For what has to be made inside the reactor's context, such as listeners.
    pub fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.reactor().enter()
    }

    /// Starts a task on the reactor.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.reactor().spawn(task);
    }

    /// Starts an ASGI application, and returns when it is ready for requests, or when `is_stopped` says that it need not be any
    /// more. The caller is detached from Python.
    ///
    /// # Errors
    /// [`LifespanError`].
    pub fn start_application(&self, is_stopped: impl Fn() -> bool) -> Result<(), LifespanError> {
        match self {
            Self::Wsgi { .. } => Ok(()),
            Self::Asgi(event_loop) => event_loop.start(is_stopped),
        }
    }

    /// Starts the threads of a WSGI application; those of an ASGI application run already.
    pub fn start(&self) {
        if let Self::Wsgi { pool, queue_timeout, .. } = self {
            if !queue_timeout.is_zero() {
                self.spawn(sweep(Arc::downgrade(pool), *queue_timeout));
            }
            pool.start();
        }
    }

    /// Watches over requests that take too long, if the options say how long that is; `on_stuck` is told when the worker should be
    /// replaced because of one.
    pub fn watch_requests(&self, options: &PythonOptions, on_stuck: OnStuck) {
        let Some(policy) = overtime::Policy::new(options) else { return };
        match self {
            Self::Wsgi { pool, .. } => self.spawn(overtime::watch(Arc::downgrade(pool), policy, on_stuck)),
            Self::Asgi(event_loop) => {
                self.spawn(overtime::watch(Arc::downgrade(event_loop), policy, on_stuck))
            }
        }
    }

    /// Ends the threads; requests that wait get 503. Returns how many threads still run after `patience`.
    pub fn stop(&self, patience: Duration) -> usize {
        match self {
            Self::Wsgi { pool, .. } => {
                for job in pool.stop() {
                    if let Some(waker) = job.answer(plain::overloaded()) {
                        waker.wake();
                    }
                }
                pool.join(patience)
            }
            Self::Asgi(event_loop) => event_loop.stop(patience),
        }
    }

    /// After [`Self::stop`]: waits once more; returns how many threads still run after `patience`.
    pub fn wait(&self, patience: Duration) -> usize {
        match self {
            Self::Wsgi { pool, .. } => pool.join(patience),
            Self::Asgi(event_loop) => event_loop.wait(patience),
        }
    }

    /// After [`Self::stop`]: ends what can be ended by force, which is tasks of an event loop, and waits a last time.
    pub fn cut(&self, patience: Duration) -> usize {
        match self {
            Self::Wsgi { pool, .. } => pool.join(Duration::ZERO),
            Self::Asgi(event_loop) => event_loop.cut(patience),
        }
    }

    fn reactor(&self) -> &TokioReactor {
        match self {
            Self::Wsgi { pool, .. } => &pool.reactor,
            Self::Asgi(event_loop) => &event_loop.helm.reactor,
        }
    }
}

/// Answers requests that have waited too long.
async fn sweep(pool: std::sync::Weak<PythonPool>, most: Duration) {
    let period = (most / 8).clamp(Duration::from_millis(20), Duration::from_secs(1));
    // Counted in looks at the queue: a clock would have to be asked for each request, and hardly any ever waits.
    let looks = u32::try_from(most.as_millis().div_ceil(period.as_millis())).unwrap_or(u32::MAX);
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        for job in pool.sweep(|job| job.find_waiting() >= looks || job.is_abandoned()) {
            if let Some(waker) = job.answer(plain::overloaded()) {
                waker.wake();
            }
        }
    }
}

/// A reactor's runtime.
///
/// # Errors
/// The system's, when it has no descriptors left.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(8).build()
}

/// Whether one thread at a time runs Python (PEP 703 builds may run without a GIL).
fn has_gil(py: Python<'_>) -> bool {
    let enabled = || -> PyResult<bool> { py.import("sys")?.call_method0("_is_gil_enabled")?.extract() };
    enabled().unwrap_or(true)
}

/// How long the leader runs requests before it looks at I/O again.
const SLICE: Duration = Duration::from_millis(2);
