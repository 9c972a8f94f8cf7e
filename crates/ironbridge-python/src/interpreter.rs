//! Python, as the engine sees it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use pyo3::Python;

use crate::{
    engine::{
        pool::{Interpreter, Pool},
        reactor::TokioReactor,
        scheduler::ThreadId,
    },
    here::Here,
    plain,
    rounds::Rounds,
    ticket::Ticket,
    wsgi::Application,
};

/// The pool of Python threads.
pub type PythonPool = Pool<Cpython, TokioReactor>;

/// CPython with an application loaded.
pub struct Cpython {
    /// What is called.
    pub application: Application,
    /// What each pool thread runs, if somebody wants to know.
    pub rounds: Option<Rounds>,
}

impl Interpreter for Cpython {
    type Job = Arc<Ticket>;

    fn live(&self, body: impl FnOnce() + Send) {
        // The outer attachment creates the thread's state and keeps it; inside, each attachment is cheap.
        Python::attach(|py| py.detach(body));
    }

    fn attach<R>(&self, me: ThreadId, body: impl FnOnce(&mut dyn FnMut(Arc<Ticket>)) -> R) -> R {
        Python::attach(|py| body(&mut |ticket| self.run(py, me, ticket)))
    }
}

impl Cpython {
    /// Runs one request. Whatever happens costs this request and no more.
    fn run(&self, py: Python<'_>, me: ThreadId, ticket: Arc<Ticket>) {
        let Some(request) = ticket.take_request() else { return };
        ticket.set_thread(me);
        let round = self.rounds.as_ref().map(|rounds| rounds.begin(py, me, &ticket, &request.head));
        let here = Here::new(ticket);
        let run = AssertUnwindSafe(|| self.application.call(py, &here, request));
        if let Err(panic) = catch_unwind(run) {
            tracing::error!(
                message = panic_text(&*panic),
                "the server panicked while it ran a request; please report this"
            );
        }
        if let Some(round) = round {
            round.end(py);
        }
        if !here.is_answered() {
            here.answer(plain::internal_error());
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "unknown",
    }
}
