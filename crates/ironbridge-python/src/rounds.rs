//! What the threads of the pool run at the moment, for those who watch over requests that take too long.

use std::{
    cell::Cell,
    ffi::c_ulong,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use ironbridge_exchange::RequestHead;
use pyo3::{Python, prelude::*, type_object::PyTypeInfo};

use crate::{
    asgi::event_loop::stack,
    engine::scheduler::ThreadId,
    interpreter::PythonPool,
    overtime::{Clock, Errand, Policy, RequestTimeout, Runner, Step},
    plain,
    ticket::Ticket,
    wsgi::ffi::set_exception,
};

/// A place for each pool thread.
pub struct Rounds {
    places: Arc<Vec<Mutex<Option<Running>>>>,
}

/// A request that a thread runs.
struct Running {
    ticket: Arc<Ticket>,
    head: Arc<RequestHead>,
    /// Python's number of the thread (`threading.get_ident`).
    ident: c_ulong,
    clock: Clock,
    /// `RequestTimeout` may still be on its way.
    is_raised: bool,
    number: u64,
}

/// A request that begins to run; its end is to be told.
pub struct Round<'a> {
    place: &'a Mutex<Option<Running>>,
}

impl Rounds {
    /// For so many threads.
    pub fn new(threads: usize) -> Self {
        Self { places: Arc::new((0..threads).map(|_| Mutex::new(None)).collect()) }
    }

    /// Thread `me`, which is the calling one, runs a request.
    pub fn begin(
        &self,
        py: Python<'_>,
        me: ThreadId,
        ticket: &Arc<Ticket>,
        head: &Arc<RequestHead>,
    ) -> Round<'_> {
        let place = &self.places[me];
        let mut running = lock(place);
        *running = Some(Running {
            ticket: Arc::clone(ticket),
            head: Arc::clone(head),
            ident: ident(py),
            clock: Clock::start(),
            is_raised: false,
            number: NEXT.with(|next| next.replace(next.get() + 1)),
        });
        Round { place }
    }
}

impl Round<'_> {
    /// The application has ended. The calling thread is attached, so no exception can be sent to it meanwhile.
    pub fn end(self, py: Python<'_>) {
        let ended = lock(self.place).take();
        if let Some(ended) = ended.filter(|ended| ended.is_raised) {
            // It may not have been raised yet, and must not be in the next request.
            set_exception(py, ended.ident, None);
        }
    }
}

impl Runner for PythonPool {
    fn climb(&self, policy: &Policy, now: Instant) -> Vec<Errand> {
        let Some(rounds) = &self.interpreter.rounds else { return Vec::new() };
        let mut errands = Vec::new();
        for (thread, place) in rounds.places.iter().enumerate() {
            let mut running = lock(place);
            let Some(running) = running.as_mut() else { continue };
            let Running { ticket, head, clock, number, .. } = running;
            let Some(step) = clock.step(policy, &head.target, ticket.is_answered(), now) else { continue };
            let call = Call { places: Arc::clone(&rounds.places), thread, number: *number };
            errands.push(match step {
                Step::Warn(age) => Errand::Python(Box::new(move |py| call.warn(py, age.as_secs_f64()))),
                Step::TimeOut(age) => {
                    if let Some(connection) = ticket.answer(plain::timed_out()) {
                        connection.wake();
                    }
                    Errand::Python(Box::new(move |py| call.time_out(py, age.as_secs_f64())))
                }
                Step::GiveUp(age) => Errand::GiveUp(format!(
                    "{head} has been running for {:.1} s, and RequestTimeout did not end it",
                    age.as_secs_f64()
                )),
            });
        }
        errands
    }
}

/// A request that ran on a thread when somebody looked.
struct Call {
    places: Arc<Vec<Mutex<Option<Running>>>>,
    thread: ThreadId,
    number: u64,
}

impl Call {
    fn warn(&self, py: Python<'_>, seconds: f64) {
        if let Some((head, stack)) = self.look(py) {
            tracing::warn!("{head} has been running for {seconds:.1} s; it is here:\n{stack}");
        }
    }

    fn time_out(&self, py: Python<'_>, seconds: f64) {
        let Some((head, stack)) = self.look(py) else { return };
        tracing::error!("{head} has timed out after {seconds:.1} s; it was here:\n{stack}");
        // Its thread runs no Python now, and cannot end the request before this is done: both need the interpreter.
        let mut running = lock(&self.places[self.thread]);
        if let Some(running) = running.as_mut().filter(|running| running.number == self.number) {
            running.is_raised = true;
            set_exception(py, running.ident, Some(RequestTimeout::type_object(py).as_any()));
        }
    }

    /// The request's first line and its thread's stack, if it still runs.
    fn look(&self, py: Python<'_>) -> Option<(Arc<RequestHead>, String)> {
        let find = || {
            let running = lock(&self.places[self.thread]);
            let running = running.as_ref().filter(|running| running.number == self.number)?;
            Some((Arc::clone(&running.head), running.ident))
        };
        let (head, ident) = find()?;
        let text = stack(py, ident).unwrap_or_else(|error| error.to_string());
        // Formatting a stack runs Python, and lets others run.
        find().map(|_| (head, text.trim_end().to_owned()))
    }
}

/// Python's number of the calling thread.
fn ident(py: Python<'_>) -> c_ulong {
    thread_local! {
        static IDENT: Cell<c_ulong> = const { Cell::new(0) };
    }
    if IDENT.get() == 0 {
        let ident =
            py.import("threading").and_then(|threading| threading.call_method0("get_ident")?.extract());
        IDENT.set(ident.unwrap_or(0));
    }
    IDENT.get()
}

fn lock(place: &Mutex<Option<Running>>) -> MutexGuard<'_, Option<Running>> {
    // Nothing that can panic runs under this lock.
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// Numbers the requests of a thread.
    static NEXT: Cell<u64> = const { Cell::new(0) };
}
