//! Starts a task for each request, and hears of its end.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ironbridge_exchange::RequestHead;
use pyo3::{Bound, Py, PyAny, PyErr, PyResult, Python, prelude::*, types::PyDict};

use super::{
    awaitable::Awaitable,
    conversation::{Conversation, Ended},
    desk::{Desk, Notice},
    exchange::{Exchange, takes_trailers},
    helm::Helm,
    names::Names,
    scope::ScopeMaker,
    starter::Starter,
    values::{ClientDisconnected, disconnected},
    websocket::WebSocket,
    whereabouts::whereabouts,
};
use crate::{
    engine::moment::Moment,
    overtime::{Clock, Errand, Policy, Step},
    plain,
    wsgi::application::traceback,
};

/// What all requests of one event loop share.
pub struct Common {
    /// Strings.
    pub names: Names,
    /// What happens when a client leaves.
    pub rules: Rules,
    /// An awaitable that is complete, with None.
    pub nothing: Py<Awaitable>,
    /// `loop.create_future`
    pub create_future: Py<PyAny>,
    /// Requests whose application has not ended, by number.
    live: Mutex<HashMap<u64, Live, foldhash::fast::RandomState>>,
    /// HTTP requests that may take too long, from before their application's first step; `None`: nobody watches.
    clocks: Option<Mutex<HashMap<u64, Timed>>>,
    event_loop: Py<PyAny>,
    helm: Arc<Helm>,
    /// No more requests will come.
    stopping: AtomicBool,
    running: AtomicUsize,
    /// The application's task for its start and stop, while it shuts down.
    shutdown: Mutex<Option<Py<PyAny>>>,
}

/// What happens when a client leaves.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The task of its HTTP request is cancelled.
    pub cancels: bool,
    /// `send()` raises (since version 2.4 of the specification).
    pub raises: bool,
}

struct Live {
    conversation: Conversation,
    /// asyncio itself holds tasks only weakly.
    task: Py<PyAny>,
}

/// A request that may take too long.
struct Timed {
    desk: Arc<Desk>,
    head: Arc<RequestHead>,
    clock: Clock,
}

/// How the application is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `await application(scope, receive, send)`
    Single,
    /// `await application(scope)(receive, send)`, ASGI 2.
    Double,
}

/// One application on one event loop.
pub struct Gateway {
    application: Py<PyAny>,
    style: Style,
    common: Arc<Common>,
    scopes: ScopeMaker,
    starter: Starter,
    /// Copied for each request.
    context: Py<PyAny>,
}

impl Common {
    /// For one event loop.
    ///
    /// # Errors
    /// Python's.
    pub fn new(
        event_loop: &Bound<'_, PyAny>,
        helm: Arc<Helm>,
        rules: Rules,
        has_clocks: bool,
    ) -> PyResult<Arc<Self>> {
        Ok(Arc::new(Self {
            clocks: has_clocks.then(Mutex::default),
            names: Names::new(event_loop.py()),
            rules,
            nothing: Py::new(event_loop.py(), Awaitable::nothing())?,
            create_future: event_loop.getattr("create_future")?.unbind(),
            live: Mutex::default(),
            event_loop: event_loop.clone().unbind(),
            helm,
            stopping: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            shutdown: Mutex::new(None),
        }))
    }

    /// What comes of a `send()`: an application that was told of a version below 2.4 is not told that its client has left.
    ///
    /// # Errors
    /// All others.
    pub fn settle<T: Default>(&self, py: Python<'_>, sent: PyResult<T>) -> PyResult<T> {
        match sent {
            Err(error) if !self.rules.raises && error.is_instance_of::<ClientDisconnected>(py) => {
                Ok(T::default())
            }
            sent => sent,
        }
    }

    /// What a `send()` that waits raises when the client leaves.
    pub fn told_of_disconnect(&self) -> Option<&'static dyn Fn() -> PyErr> {
        if self.rules.raises { Some(&disconnected) } else { None }
    }

    /// Whether the loop ends because it was told to.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The application shuts down, in this task.
    pub fn shuts_down(&self, task: Py<PyAny>) {
        *self.shutdown.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Requests whose application has not ended.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// A task that was waited for has ended.
    pub fn forget(&self, py: Python<'_>, id: u64) {
        let gone = self.live().remove(&id);
        self.stop_clock(id);
        if gone.is_some() {
            self.running.fetch_sub(1, Ordering::Relaxed);
            self.stop_when_idle(py);
        }
    }

    /// Cancels the task of a request, if it still runs.
    ///
    /// # Errors
    /// Python's.
    pub fn cancel(&self, py: Python<'_>, id: u64) -> PyResult<()> {
        let task = self.live().get(&id).map(|live| live.task.clone_ref(py));
        task.map_or(Ok(()), |task| task.call_method0(py, &self.names.cancel).map(drop))
    }

    /// Logs a traceback, with the request that it belongs to.
    pub fn log(&self, py: Python<'_>, head: &RequestHead, error: &PyErr) {
        tracing::error!(
            target: "ironbridge::application",
            "{head} raised an exception\n{}",
            traceback(py, error)
        );
    }

    /// Takes each request one step further on the ladder of [`overtime`](crate::overtime).
    pub fn climb(&self, policy: &Policy, now: Instant) -> Vec<Errand> {
        let mut errands = Vec::new();
        let Some(mut clocks) = self.clocks() else { return errands };
        for (&id, Timed { desk, head, clock }) in clocks.iter_mut() {
            match clock.step(policy, &head.target, desk.is_answered(), now) {
                None => {}
                Some(Step::Warn(age)) => self.helm.post(Notice::Overtime { id, age, is_over: false }),
                Some(Step::TimeOut(age)) => {
                    desk.answer(plain::timed_out());
                    tracing::error!("{head} has timed out after {:.1} s", age.as_secs_f64());
                    self.helm.post(Notice::Overtime { id, age, is_over: true });
                }
                Some(Step::GiveUp(age)) => errands.push(Errand::GiveUp(format!(
                    "{head} has been running for {:.1} s, and cancelling its task did not end it",
                    age.as_secs_f64()
                ))),
            }
        }
        errands
    }

    /// Says where a request is, and cancels it where its time is over.
    fn work_overtime(&self, py: Python<'_>, id: u64, age: Duration, is_over: bool) -> PyResult<()> {
        let found =
            self.live().get(&id).map(|live| (live.conversation.clone_ref(py), live.task.clone_ref(py)));
        let Some((conversation, task)) = found else { return Ok(()) };
        let (name, place, seconds) = (conversation.name(), whereabouts(task.bind(py)), age.as_secs_f64());
        if is_over {
            tracing::error!("{name} is cancelled; it waits here:\n{place}");
            task.call_method0(py, &self.names.cancel)?;
        } else {
            tracing::warn!("{name} has been running for {seconds:.1} s; it waits here:\n{place}");
        }
        Ok(())
    }

    fn clocks(&self) -> Option<MutexGuard<'_, HashMap<u64, Timed>>> {
        self.clocks.as_ref().map(|clocks| clocks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn start_clock(&self, desk: &Arc<Desk>, head: &Arc<RequestHead>) {
        if let Some(mut clocks) = self.clocks() {
            let timed = Timed { desk: Arc::clone(desk), head: Arc::clone(head), clock: Clock::start() };
            clocks.insert(desk.id, timed);
        }
    }

    fn stop_clock(&self, id: u64) {
        if let Some(mut clocks) = self.clocks() {
            clocks.remove(&id);
        }
    }

    fn remember(&self, id: u64, live: Live) {
        self.running.fetch_add(1, Ordering::Relaxed);
        self.live().insert(id, live);
    }

    fn stop_when_idle(&self, py: Python<'_>) {
        if self.is_stopping()
            && self.running() == 0
            && let Err(error) = self.event_loop.call_method0(py, "stop")
        {
            tracing::error!(%error, "the event loop cannot be stopped");
        }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<u64, Live, foldhash::fast::RandomState>> {
        // No Python code runs under this lock.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gateway {
    /// Prepares `application`. `scopes` makes what it is called with.
    ///
    /// # Errors
    /// Python's.
    pub fn new(
        py: Python<'_>,
        application: Py<PyAny>,
        style: Style,
        common: Arc<Common>,
        scopes: ScopeMaker,
    ) -> PyResult<Self> {
        let context = py.import("contextvars")?.call_method0("copy_context")?.unbind();
        let starter = Starter::new(common.event_loop.bind(py))?;
        Ok(Self { application, style, common, scopes, starter, context })
    }

    /// Sees to every notice that waits.
    ///
    /// # Errors
    /// Python's, where not even a task can be made.
    pub fn work(&self, py: Python<'_>) -> PyResult<()> {
        let begin = Moment::now();
        // However many wait, I/O has its turn in between.
        while Moment::now().duration_since(begin) < SLICE {
            match self.common.helm.take_notice() {
                Some(Notice::Request(desk)) => {
                    if let Err(error) = self.start(py, &desk) {
                        tracing::error!(
                            "a request could not be given to the application\n{}",
                            traceback(py, &error)
                        );
                        desk.answer(plain::internal_error());
                    }
                }
                Some(Notice::Changed(desk)) => {
                    let found = self.common.live().get(&desk.id).map(|live| live.conversation.clone_ref(py));
                    match found {
                        Some(conversation) => conversation.look(py)?,
                        None => desk.begin_look(),
                    }
                }
                Some(Notice::Stop) => {
                    self.common.stopping.store(true, Ordering::Relaxed);
                    self.common.stop_when_idle(py);
                }
                Some(Notice::Cut) => self.cancel_all(py)?,
                Some(Notice::Overtime { id, age, is_over }) => {
                    self.common.work_overtime(py, id, age, is_over)?;
                }
                None => break,
            }
        }
        Ok(())
    }

    fn start(&self, py: Python<'_>, desk: &Arc<Desk>) -> PyResult<()> {
        let Some(request) = desk.take_request() else { return Ok(()) };
        let common = Arc::clone(&self.common);
        if let Some(offer) = request.websocket {
            let scope = self.scopes.websocket(py, &common.names, &request)?;
            let websocket = Bound::new(py, WebSocket::new(Arc::clone(desk), common, request, offer))?;
            let conversation = Conversation::WebSocket(websocket.clone().unbind());
            return match self.begin(&scope, &websocket) {
                Ok(task) => self.keep(desk, conversation, &websocket, &task),
                Err(error) => {
                    websocket.get().finish(py, Some(Ended::Raised(error)));
                    Ok(())
                }
            };
        }
        let takes_trailers = takes_trailers(&request.head);
        let scope = self.scopes.http(py, &common.names, &request, takes_trailers)?;
        common.start_clock(desk, &request.head);
        let exchange = Bound::new(py, Exchange::new(Arc::clone(desk), common, request, takes_trailers))?;
        let conversation = Conversation::Http(exchange.clone().unbind());
        match self.begin(&scope, &exchange) {
            Ok(task) => self.keep(desk, conversation, &exchange, &task)?,
            Err(error) => {
                self.common.stop_clock(desk.id);
                exchange.get().finish(py, Some(Ended::Raised(error)));
                return Ok(());
            }
        }
        if self.common.rules.cancels { exchange.get().look_for_the_client(py) } else { Ok(()) }
    }

    /// Keeps a task for as long as it runs; `object` hears of its end.
    fn keep(
        &self,
        desk: &Arc<Desk>,
        conversation: Conversation,
        object: &Bound<'_, PyAny>,
        task: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let names = &self.common.names;
        if task.call_method0(&names.done)?.is_truthy()? {
            self.common.stop_clock(desk.id);
            conversation.finish(task.py(), Ended::of(task, names));
            return Ok(());
        }
        let ended = object.getattr(&names.ended)?;
        self.common.remember(desk.id, Live { conversation, task: task.clone().unbind() });
        task.call_method1(&names.add_done_callback, (ended,)).map(drop)
    }

    /// Calls the application and makes a task of its coroutine. `object` receives and sends.
    fn begin<'py>(
        &self,
        scope: &Bound<'py, PyDict>,
        object: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, names) = (scope.py(), &self.common.names);
        let (receive, send) = (object.getattr(&names.receive)?, object.getattr(&names.send)?);
        let application = self.application.bind(py);
        let coroutine = match self.style {
            Style::Single => application.call1((scope, receive, send))?,
            Style::Double => application.call1((scope,))?.call1((receive, send))?,
        };
        let context = self.context.bind(py).call_method0(&names.copy)?;
        self.starter.start(&coroutine, &context)
    }

    /// The grace period is over: says what has not ended, and cancels it.
    fn cancel_all(&self, py: Python<'_>) -> PyResult<()> {
        let live: Vec<_> = {
            let live = self.common.live();
            live.values().map(|live| (live.conversation.clone_ref(py), live.task.clone_ref(py))).collect()
        };
        for (conversation, task) in live {
            let place = whereabouts(task.bind(py));
            tracing::warn!("{} is cut off; it waits here:\n{place}", conversation.name());
            task.call_method0(py, &self.common.names.cancel)?;
        }
        let shutdown = self.common.shutdown.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = shutdown.filter(|task| !is_done(py, task)) {
            let place = whereabouts(task.bind(py));
            tracing::error!("the application's shutdown is cut off; it waits here:\n{place}");
            task.call_method0(py, &self.common.names.cancel)?;
        }
        Ok(())
    }
}

fn is_done(py: Python<'_>, task: &Py<PyAny>) -> bool {
    task.call_method0(py, "done").and_then(|done| done.is_truthy(py)).unwrap_or(true)
}

/// How long notices are seen to before I/O has its turn again.
const SLICE: Duration = Duration::from_millis(1);
