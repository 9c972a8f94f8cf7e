//! A worker: front end, engine and application put together, from bound sockets to the last response.

use std::{
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use ironbridge_http::{
    access_log::AccessLog,
    config::HttpConfig,
    counters::Counters,
    journal::Journal,
    listener::{Listener, addresses},
    options::HttpOptions,
    server::{Drain, serve},
};
use ironbridge_python::{
    asgi::lifespan::LifespanError,
    chores::{Chores, Closing},
    interface::Interface,
    options::PythonOptions,
    worker::Engine,
    wsgi::application::traceback,
};
use pyo3::{exceptions::PyException, prelude::*};

use crate::{
    application::Loaded,
    memory,
    recycling::{self, Limits, Spent},
};

/// What a worker is told.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The front end's options.
    pub http: HttpOptions,
    /// The Python side's options.
    pub python: PythonOptions,
    /// How long requests in flight may take to finish when the worker stops.
    pub graceful_timeout: Duration,
    /// How long it serves on after it was told to stop.
    pub shutdown_delay: Duration,
}

/// Why a worker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be bound: one line for the user.
    #[error("{0}")]
    Bind(String),
    /// Options that cannot be obeyed: one line for the user.
    #[error("{0}")]
    Config(String),
    /// The application cannot be used.
    #[error("{0}")]
    App(PyErr),
    /// The application does not start.
    #[error("{0}")]
    Lifespan(#[from] LifespanError),
}

/// A worker that is bound and ready, but does not serve yet.
pub struct Worker {
    engine: Engine,
    interface: Interface,
    listeners: Vec<Listener>,
    config: HttpConfig,
    controller: Controller,
    graceful_timeout: Duration,
    recycling: Option<(Limits, Act)>,
    python: PythonOptions,
}

/// Acts on limits that a worker has reached.
type Act = Box<dyn Fn(Spent) + Send + Sync>;

/// Stops a running worker, from any thread.
#[derive(Clone)]
pub struct Controller {
    drain: Drain,
    ending: Arc<Ending>,
    chores: Arc<Chores>,
    journal: Arc<Journal>,
    /// How long it serves on after it was told to stop, if nobody else sees to that.
    notice: Duration,
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controller").field("ending", &self.ending).finish_non_exhaustive()
    }
}

/// What the thread that waits for the worker's end waits for.
#[derive(Default)]
struct Ending {
    stage: Mutex<Stage>,
    changed: Condvar,
    told: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ending").field("stage", &self.stage).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Stage {
    /// Since when the worker drains.
    draining: Option<Instant>,
    /// Since when it is to end at once.
    killed: Option<Instant>,
    /// The last connection has closed.
    drained: bool,
}

/// Why a worker serves no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The last connection has closed.
    Drained,
    /// The grace period is over before that.
    Overdue,
    /// It was to end at once.
    Killed,
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing runs any more.
    Finished,
    /// Some Python threads still run application code.
    Stuck {
        /// How many.
        threads: usize,
    },
}

/// Opens all listeners.
///
/// # Errors
/// [`StartError::Bind`].
pub fn bind(options: &HttpOptions) -> Result<Vec<Listener>, StartError> {
    let port = std::env::var("PORT").ok();
    addresses(options, port.as_deref())
        .and_then(|addresses| addresses.iter().map(|address| Listener::bind(address, options)).collect())
        .map_err(|error| StartError::Bind(error.to_string()))
}

impl Worker {
    /// Builds everything; nothing is served yet.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(app: Loaded, listeners: Vec<Listener>, options: &WorkerOptions) -> Result<Self, StartError> {
        let access_log =
            AccessLog::open(&options.http).map_err(|error| StartError::Config(error.to_string()))?;
        let Loaded { callable, interface } = app;
        let journal = Arc::new(Journal { counters: Arc::new(Counters::default()), access_log });
        let controller = Controller::new(journal, options.shutdown_delay);
        let chores = &controller.chores;
        let engine = Python::attach(|py| Engine::new(py, callable, interface, &options.python, chores))
            .map_err(StartError::App)?;
        let mut config = HttpConfig::from(&options.http);
        match interface {
            Interface::Wsgi => config.websocket = None,
            // No thread waits for a body.
            Interface::Asgi3 | Interface::Asgi2 => config.buffering.asks_early = false,
        }
        Ok(Self {
            engine,
            interface,
            listeners,
            config,
            controller,
            graceful_timeout: options.graceful_timeout,
            recycling: None,
            python: options.python.clone(),
        })
    }

    /// Where it listens.
    pub fn urls(&self) -> Vec<String> {
        self.listeners.iter().map(Listener::url).collect()
    }

    /// What it takes the application for.
    pub fn interface(&self) -> Interface {
        self.interface
    }

    /// A handle that stops it.
    pub fn controller(&self) -> Controller {
        self.controller.clone()
    }

    /// Has the worker tell `act` when it has reached one of its limits.
    pub fn recycle(&mut self, limits: Limits, act: impl Fn(Spent) + Send + Sync + 'static) {
        self.recycling = Some((limits, Box::new(act)));
    }

    /// Starts the application, where it has something to do before requests come (ASGI's lifespan). The caller is detached
    /// from Python.
    ///
    /// # Errors
    /// [`StartError::Lifespan`]: it failed, or the worker was stopped meanwhile.
    pub fn start(&self) -> Result<(), StartError> {
        let Controller { ending, chores, .. } = &self.controller;
        let is_stopped = || {
            do_chores(chores);
            ending.is_asked_for()
        };
        Ok(self.engine.start_application(is_stopped)?)
    }

    /// Serves until stopped. The caller is detached from Python.
    pub fn run(self) -> Outcome {
        let Self { engine, interface: _, listeners, config, controller, graceful_timeout, recycling, python } =
            self;
        let journal = &controller.journal;
        let listeners = {
            let _context = engine.enter();
            listeners.into_iter().map(Listener::into_tokio).collect::<Result<Vec<_>, _>>()
        };
        let listeners = match listeners {
            Ok(listeners) => listeners,
            Err(error) => {
                tracing::error!(%error, "cannot listen");
                return Outcome::Finished;
            }
        };
        let serving =
            serve(listeners, config, Arc::clone(journal), engine.service(), controller.drain.clone());
        let ending = Arc::clone(&controller.ending);
        engine.spawn(async move {
            serving.await;
            ending.change(|stage| stage.drained = true);
        });
        engine.spawn(memory::trim_when_quiet(Arc::clone(&journal.counters)));
        let act = recycling.map(|(limits, act)| {
            let (counters, act): (_, Arc<Act>) = (Arc::clone(&journal.counters), Arc::new(act));
            let told = Arc::clone(&act);
            engine.spawn(recycling::watch(limits, counters, move |spent| told(spent)));
            act
        });
        let on_stuck = move |reason: String| match &act {
            Some(act) => act(Spent::Stuck(reason)),
            None => tracing::error!("{reason}"),
        };
        engine.watch_requests(&python, Arc::new(on_stuck));
        engine.start();
        let chores = &controller.chores;
        let _closing = Closing(Arc::clone(chores));
        let patience = match controller.ending.wait(graceful_timeout, chores) {
            End::Drained => LAST_PATIENCE,
            End::Overdue => {
                tracing::warn!("the grace period is over; requests in flight are cut off");
                LAST_PATIENCE
            }
            End::Killed => {
                tracing::warn!("ending at once; requests in flight are cut off");
                KILL_PATIENCE
            }
        };
        let wait = |mut threads: usize, patience: Duration| {
            let deadline = Instant::now() + patience;
            while threads > 0 && Instant::now() < deadline {
                do_chores(chores);
                threads = engine.wait(GLANCE);
            }
            threads
        };
        let mut threads = wait(engine.stop(GLANCE), patience);
        // Some applications work on after their response, or after their client has left.
        while threads > 0 && controller.ending.due(graceful_timeout).is_some_and(|(left, _)| !left.is_zero())
        {
            // Not for longer: it may be told to end at once meanwhile.
            threads = wait(threads, KILL_PATIENCE);
        }
        if threads > 0 {
            threads = wait(engine.cut(GLANCE), LAST_PATIENCE);
        }
        if let Some(log) = &journal.access_log {
            log.flush(LAST_PATIENCE);
        }
        if threads == 0 { Outcome::Finished } else { Outcome::Stuck { threads } }
    }
}

impl Controller {
    fn new(journal: Arc<Journal>, notice: Duration) -> Self {
        let (ending, chores): (Arc<Ending>, Arc<Chores>) = Default::default();
        let told = Arc::clone(&ending);
        chores.hang_bell(Box::new(move || told.change(|_| {})));
        Self { drain: Drain::new(), ending, chores, journal, notice }
    }

    /// Opens the access log's file again, after it was moved away.
    pub fn reopen_logs(&self) {
        if let Some(log) = &self.journal.access_log {
            log.reopen();
        }
        crate::logging::reopen();
    }

    /// Has Python's handlers run, for signals that have come.
    pub fn look_for_signals(&self) {
        let controller = self.clone();
        self.chores.post(Box::new(move |py| {
            let Err(error) = py.check_signals() else { return };
            tracing::error!("a handler of a signal raised an exception\n{}", traceback(py, &error));
            if !error.is_instance_of::<PyException>(py) {
                // SystemExit, KeyboardInterrupt: what would end any other program.
                controller.stop();
            }
        }));
    }

    /// Serves on, but says to who asks for its health that it is about to end.
    pub fn announce_stop(&self) {
        self.drain.announce();
    }

    /// As [`Self::stop`], after the notice that the options give.
    pub fn stop_with_notice(&self) {
        if self.notice.is_zero() {
            return self.stop();
        }
        self.announce_stop();
        tracing::info!("serving on for {:?}, so that load balancers notice", self.notice);
        let controller = self.clone();
        let later = move || {
            thread::sleep(controller.notice);
            controller.stop();
        };
        if thread::Builder::new().name("ironbridge-notice".to_owned()).spawn(later).is_err() {
            self.stop();
        }
    }

    /// Has `tell` called when the worker begins to stop.
    pub fn on_stop(&self, tell: impl Fn() + Send + Sync + 'static) {
        // The first one counts; there is only one.
        let _ = self.ending.told.set(Box::new(tell));
    }

    /// Stops gracefully: accepts nothing new, finishes what is in flight.
    pub fn stop(&self) {
        self.ending.change(|stage| {
            stage.draining.get_or_insert_with(Instant::now);
        });
        if let Some(tell) = self.ending.told.get() {
            tell();
        }
        self.drain.begin();
    }

    /// Whether it was told to end at once.
    pub fn is_killed(&self) -> bool {
        self.ending.stage.lock().unwrap_or_else(PoisonError::into_inner).killed.is_some()
    }

    /// Stops at once.
    pub fn kill(&self) {
        self.ending.change(|stage| {
            stage.killed.get_or_insert_with(Instant::now);
        });
        self.stop();
        self.drain.hurry();
    }
}

impl Stage {
    /// How long the worker may go on, and why it then ends.
    fn due(&self, grace: Duration) -> Option<(Duration, End)> {
        [(self.draining, grace, End::Overdue), (self.killed, KILL_PATIENCE, End::Killed)]
            .into_iter()
            .filter_map(|(since, patience, end)| Some((patience.saturating_sub(since?.elapsed()), end)))
            .min_by_key(|(left, _)| *left)
    }
}

impl Ending {
    fn due(&self, grace: Duration) -> Option<(Duration, End)> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner).due(grace)
    }

    /// Whether the worker was told to end.
    fn is_asked_for(&self) -> bool {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner).draining.is_some()
    }

    fn change(&self, change: impl FnOnce(&mut Stage)) {
        change(&mut self.stage.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits until the last connection has closed, or `grace` is over, or the worker is killed and has had a moment
    /// to close what is idle.
    fn wait(&self, grace: Duration, chores: &Chores) -> End {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if stage.drained {
                return End::Drained;
            }
            if !chores.is_empty() {
                drop(stage);
                do_chores(chores);
                stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            stage = match stage.due(grace) {
                None => self.changed.wait(stage).unwrap_or_else(PoisonError::into_inner),
                Some((left, end)) if left.is_zero() => return end,
                Some((left, _)) => {
                    self.changed.wait_timeout(stage, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// Does what only this thread may, if there is something.
fn do_chores(chores: &Chores) {
    if !chores.is_empty() {
        Python::attach(|py| chores.run(py));
    }
}

/// Between two looks at what this thread has to do while it waits for others.
const GLANCE: Duration = Duration::from_millis(50);

/// How long threads that should have nothing to do any more may take to end.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// How long idle connections and threads may take to end when the worker is to end at once.
const KILL_PATIENCE: Duration = Duration::from_millis(100);
