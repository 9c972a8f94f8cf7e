//! The event loop's thread: from the application's start to its end.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use ironbridge_exchange::Request;
use pyo3::{Bound, Py, PyAny, PyResult, Python, prelude::*, types::PyDict};

use super::{
    desk::{Desk, Notice, Waiting},
    gateway::{Common, Gateway, Rules, Style},
    helm::Helm,
    lifespan::{Lifespan, LifespanError},
    scope::ScopeMaker,
    signal_handlers::SignalHandlers,
    waiter::Waiter,
};
use crate::{
    chores::Chores,
    engine::{reactor::TokioReactor, roll::Roll},
    fork,
    options::PythonOptions,
    overtime::{Errand, Policy, Runner},
    worker::runtime,
    wsgi::application::traceback,
};

/// What an event loop runs.
pub struct Setup {
    /// The application.
    pub application: Py<PyAny>,
    /// How it is called.
    pub style: Style,
    /// What the user says about it.
    pub options: PythonOptions,
    /// Where the main thread hears of what it has to do.
    pub chores: Arc<Chores>,
}

/// A running event loop, with the threads that belong to it.
pub struct EventLoop {
    /// The reactor, and who drives it.
    pub helm: Arc<Helm>,
    roll: Arc<Roll>,
    /// Until it starts.
    setup: Mutex<Option<Setup>>,
    /// Once it has started.
    common: OnceLock<Arc<Common>>,
}

impl Runner for EventLoop {
    fn climb(&self, policy: &Policy, now: Instant) -> Vec<Errand> {
        self.common.get().map(|common| common.climb(policy, now)).unwrap_or_default()
    }
}

impl EventLoop {
    /// Prepares a loop; nothing runs yet.
    pub fn new(reactor: TokioReactor, setup: Setup) -> Self {
        Self {
            helm: Arc::new(Helm::new(reactor)),
            roll: Arc::default(),
            setup: Mutex::new(Some(setup)),
            common: OnceLock::new(),
        }
    }

    /// Starts the loop's thread and the application; returns when that is ready for requests, or when `is_stopped` says that
    /// it need not be any more. The caller is detached from Python.
    ///
    /// # Errors
    /// [`LifespanError`].
    ///
    /// # Panics
    /// When the system has no threads to give, or it is started a second time.
    pub fn start(&self, is_stopped: impl Fn() -> bool) -> Result<(), LifespanError> {
        let setup = self.setup.lock().unwrap_or_else(PoisonError::into_inner).take();
        let setup = setup.expect("a loop starts once");
        let (ready, started) = mpsc::channel();
        let helper = Arc::clone(&self.helm);
        self.spawn("ironbridge-helper", move || helper.help());
        let helm = Arc::clone(&self.helm);
        self.spawn("ironbridge-loop", move || Python::attach(|py| run(py, &helm, setup, &ready)));
        loop {
            match started.recv_timeout(LOOK) {
                Ok(Err(error)) => {
                    // The loop closes; what the application does meanwhile keeps nobody from hearing of the failure.
                    let deadline = Instant::now() + LAST_PATIENCE;
                    while self.roll.wait_for_all(LOOK) > 0 && Instant::now() < deadline {
                        is_stopped();
                    }
                    return Err(error);
                }
                Ok(Ok(common)) => {
                    let _ = self.common.set(common);
                    return Ok(());
                }
                Err(RecvTimeoutError::Timeout) if !is_stopped() => {}
                Err(RecvTimeoutError::Timeout) => return Err(LifespanError::Stopped),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(LifespanError::Failed("the event loop's thread has died".to_owned()));
                }
            }
        }
    }

    fn spawn(&self, name: &str, body: impl FnOnce() + Send + 'static) {
        self.roll.spawn(name.to_owned(), body).expect("the system has threads to give");
    }

    /// Hands a request to the application.
    pub fn submit(&self, request: Request) -> Waiting {
        Desk::submit(request, &self.helm)
    }

    /// No more requests will come: ends the loop when those that run have ended, and tells the application. Returns how many
    /// threads still run after `patience`.
    pub fn stop(&self, patience: Duration) -> usize {
        self.helm.post(Notice::Stop);
        self.roll.wait_for_all(patience)
    }

    /// Cancels what still runs; returns how many threads still run after `patience`.
    pub fn cut(&self, patience: Duration) -> usize {
        self.helm.post(Notice::Cut);
        self.roll.wait_for_all(patience)
    }

    /// Waits for the threads; returns how many still run after `patience`.
    pub fn wait(&self, patience: Duration) -> usize {
        self.roll.wait_for_all(patience)
    }
}

/// A loop of the kind that applications run on, without a server: for comparing it with asyncio's own.
///
/// # Errors
/// Python's, and the system's when it has no threads or descriptors left.
pub fn standalone(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let helm = Arc::new(Helm::new(TokioReactor::new(runtime()?)));
    let (event_loop, selector) = Waiter::on_selector(py, &helm)?;
    let helper = Arc::clone(&helm);
    thread::Builder::new().name("ironbridge-helper".to_owned()).spawn(move || helper.help())?;
    selector.get().call_at_end(Box::new(move || helm.finish()));
    Ok(event_loop)
}

/// Ends the helper with the loop, whatever ends that.
struct Finish<'a>(&'a Helm);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.finish();
    }
}

type Started = mpsc::Sender<Result<Arc<Common>, LifespanError>>;

fn run(py: Python<'_>, helm: &Arc<Helm>, setup: Setup, ready: &Started) {
    let _finish = Finish(helm);
    let made = match Made::new(py, helm, &setup) {
        Ok(made) => made,
        Err(error) => return drop(ready.send(Err(error))),
    };
    match made.prepare(py, helm, setup) {
        Ok((lifespan, common)) => {
            let _ = ready.send(Ok(Arc::clone(&common)));
            serve(&made.event_loop, &common);
            if let Some(lifespan) = lifespan {
                common.shuts_down(lifespan.task().clone_ref(py));
                lifespan.stop(&made.event_loop);
            }
            made.close(py);
        }
        Err(error) => {
            let _ = ready.send(Err(error));
            made.close(py);
        }
    }
}

/// Runs the loop until the server stops. What ends it before is the application's, and other requests have no part in it.
fn serve(event_loop: &Bound<'_, PyAny>, common: &Common) {
    let py = event_loop.py();
    loop {
        let ended = event_loop.call_method0("run_forever");
        if fork::is_child() {
            fork::end(py, ended.as_ref().err());
        }
        match ended {
            Ok(_) if common.is_stopping() => return,
            Ok(_) => tracing::warn!("the application stopped the event loop; it goes on"),
            // SystemExit and KeyboardInterrupt come here; the task that raised them has ended with them.
            Err(error) => {
                tracing::error!("a task raised out of the event loop\n{}", traceback(py, &error));
                let is_closed = event_loop.call_method0("is_closed").and_then(|closed| closed.is_truthy());
                if is_closed.unwrap_or(true) {
                    return;
                }
            }
        }
    }
}

/// A loop that has been made, and has to be closed.
struct Made<'py> {
    event_loop: Bound<'py, PyAny>,
    waiter: Waiter<'py>,
    signals: Bound<'py, SignalHandlers>,
}

impl<'py> Made<'py> {
    fn new(py: Python<'py>, helm: &Arc<Helm>, setup: &Setup) -> Result<Self, LifespanError> {
        let (event_loop, waiter) = Waiter::make(py, helm, &setup.options.r#loop)?;
        let signals = SignalHandlers::install(&event_loop, Arc::clone(&setup.chores))?;
        Ok(Self { event_loop, waiter, signals })
    }

    /// Starts the application on it, and opens the gate for requests.
    fn prepare(
        &self,
        py: Python<'py>,
        helm: &Arc<Helm>,
        setup: Setup,
    ) -> Result<(Option<Lifespan>, Arc<Common>), LifespanError> {
        let Setup { application, style, options, chores: _ } = setup;
        let event_loop = &self.event_loop;
        py.import("asyncio")?.call_method1("set_event_loop", (event_loop,))?;
        let state = PyDict::new(py);
        watch_stalls(py, helm, options.stall_warning)?;
        let limits = (options.lifespan, options.lifespan_timeout);
        let lifespan = Lifespan::start(event_loop, &application, style, &state, limits)?;
        let shared = lifespan.is_some().then(|| state.unbind());
        let scopes = ScopeMaker::new(py, &options.root_path, &options.asgi_spec_version, shared);
        // Versions are known ones, of one form.
        let rules = Rules {
            cancels: options.cancel_on_disconnect,
            raises: options.asgi_spec_version.as_str() >= "2.4",
        };
        let has_clocks = Policy::new(&options).is_some();
        let common = Common::new(event_loop, Arc::clone(helm), rules, has_clocks)?;
        self.waiter.open(Gateway::new(py, application, style, Arc::clone(&common), scopes)?);
        Ok((lifespan, common))
    }

    fn close(&self, py: Python<'py>) {
        if let Err(error) = self.signals.get().remove_all(py) {
            tracing::debug!(%error, "handlers of signals stay");
        }
        if let Err(error) = self.waiter.leave(&self.event_loop).and_then(|()| close(&self.event_loop)) {
            tracing::warn!(%error, "the event loop did not close cleanly");
        }
    }
}

/// Has the log show what the loop's thread, which is this one, is busy with when it blocks the loop for so many seconds.
fn watch_stalls(py: Python<'_>, helm: &Arc<Helm>, seconds: f64) -> PyResult<()> {
    if seconds <= 0.0 {
        return Ok(());
    }
    let me: u64 = py.import("threading")?.call_method0("get_ident")?.extract()?;
    let (patience, watched) = (Duration::from_secs_f64(seconds), Arc::downgrade(helm));
    helm.watch_stalls(
        patience,
        Box::new(move || {
            let watched = Weak::clone(&watched);
            // Whoever reports drives I/O and cannot wait for the interpreter.
            let report = move || {
                let text = Python::attach(|py| stack(py, me)).unwrap_or_else(|error| error.to_string());
                let is_over = watched.upgrade().is_none_or(|helm| !helm.is_stalled());
                let shown =
                    if is_over { "it goes on now; its stack was not caught" } else { text.trim_end() };
                tracing::warn!("the event loop has been blocked for {seconds} s\n{shown}");
            };
            if let Err(error) = thread::Builder::new().name("ironbridge-stall".to_owned()).spawn(report) {
                tracing::warn!(%error, "the event loop has been blocked for {seconds} s");
            }
        }),
    );
    Ok(())
}

/// What a thread runs now, as Python prints it.
pub fn stack(py: Python<'_>, thread: u64) -> PyResult<String> {
    let frame = py.import("sys")?.call_method0("_current_frames")?.get_item(thread)?;
    let lines = py.import("traceback")?.call_method1("format_stack", (frame,))?;
    pyo3::types::PyString::new(py, "").call_method1("join", (lines,))?.extract()
}

/// As `asyncio.run()` ends: what is left is cancelled, and generators and the default executor are closed.
fn close(event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = event_loop.py();
    let asyncio = py.import("asyncio")?;
    let left: Vec<Py<PyAny>> = asyncio
        .call_method1("all_tasks", (event_loop,))?
        .try_iter()?
        .map(|task| task.map(Bound::unbind))
        .collect::<PyResult<_>>()?;
    if !left.is_empty() {
        for task in &left {
            task.call_method0(py, "cancel")?;
        }
        let keywords = PyDict::new(py);
        keywords.set_item("return_exceptions", true)?;
        let tasks = pyo3::types::PyTuple::new(py, &left)?;
        // gather() needs the loop to be the current one, which it is within a coroutine only on 3.10 and 3.11.
        let all = asyncio.call_method("gather", tasks, Some(&keywords))?;
        event_loop.call_method1("run_until_complete", (all,))?;
    }
    let generators = event_loop.call_method0("shutdown_asyncgens")?;
    event_loop.call_method1("run_until_complete", (generators,))?;
    let executor = event_loop.call_method0("shutdown_default_executor")?;
    event_loop.call_method1("run_until_complete", (executor,))?;
    event_loop.call_method0("close").map(drop)
}

/// For a loop to close whose application has failed to start.
const LAST_PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks whether an application that starts is still wanted.
const LOOK: Duration = Duration::from_millis(50);
