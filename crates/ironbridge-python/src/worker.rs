//! The Python side of one worker, put together: reactor, pool, application.

use std::{future::Future, io, sync::Arc, time::Duration};

use pyo3::{Py, PyAny, PyResult, Python};

use crate::{
    engine::{pool::Pool, reactor::TokioReactor, scheduler::Policy},
    fork,
    interpreter::{Cpython, PythonPool},
    options::PythonOptions,
    plain,
    service::PythonService,
    wsgi::{Application, mount::Mount},
};

/// A running engine with an application.
#[derive(Clone)]
pub struct Engine {
    pool: Arc<PythonPool>,
    mount: Arc<Mount>,
    queue_timeout: Duration,
}

impl Engine {
    /// Prepares `application`; no thread runs yet.
    ///
    /// # Errors
    /// Python's, when memory runs out; the system's, when it gives no reactor.
    pub fn new(py: Python<'_>, application: Py<PyAny>, options: &PythonOptions) -> PyResult<Self> {
        let mount = Arc::new(Mount::new(&options.root_path));
        fork::watch(py)?;
        let application = Application::new(py, application, Arc::clone(&mount), options.threads > 1)?;
        let policy = Policy {
            threads: options.threads as usize,
            queue: options.queue_size as usize,
            exclusive: has_gil(py),
            slice: SLICE,
        };
        let idle = Duration::from_secs_f64(options.thread_idle_timeout);
        let pool = Pool::new(Cpython { application }, TokioReactor::new(runtime()?), policy, idle);
        Ok(Self { pool, mount, queue_timeout: Duration::from_secs_f64(options.queue_timeout) })
    }

    /// The application as a handler.
    pub fn service(&self) -> PythonService {
        PythonService::new(Arc::clone(&self.pool), Arc::clone(&self.mount))
    }

    /// For what has to be made inside the reactor's context, such as listeners.
    pub fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.pool.reactor.enter()
    }

    /// Starts a task on the reactor.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.pool.reactor.spawn(task);
    }

    /// Starts the threads.
    pub fn start(&self) {
        if !self.queue_timeout.is_zero() {
            self.spawn(sweep(Arc::downgrade(&self.pool), self.queue_timeout));
        }
        self.pool.start();
    }

    /// Ends the threads; requests that wait get 503. Returns how many threads still run after `patience`.
    pub fn stop(&self, patience: Duration) -> usize {
        for job in self.pool.stop() {
            if let Some(waker) = job.answer(plain::overloaded()) {
                waker.wake();
            }
        }
        self.pool.join(patience)
    }

    /// After [`Self::stop`]: waits once more; returns how many threads still run after `patience`.
    pub fn wait(&self, patience: Duration) -> usize {
        self.pool.join(patience)
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

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(8).build()
}

/// Whether one thread at a time runs Python (PEP 703 builds may run without a GIL).
fn has_gil(py: Python<'_>) -> bool {
    use pyo3::prelude::*;
    let enabled = || -> PyResult<bool> { py.import("sys")?.call_method0("_is_gil_enabled")?.extract() };
    enabled().unwrap_or(true)
}

/// How long the leader runs requests before it looks at I/O again.
const SLICE: Duration = Duration::from_millis(2);
