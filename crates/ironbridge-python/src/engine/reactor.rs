//! The worker's reactor, as the engine sees it: something that one thread at a time drives.

use std::{
    future::{Future, poll_fn},
    task::{Context, Poll, Waker},
};

use tokio::runtime::Runtime;

/// What the leader drives.
pub trait Reactor: Send + Sync + 'static {
    /// Drives I/O on the calling thread until `done` is ready. `done` is polled first of all, and again after every
    /// [`Reactor::nudge`] and every wake of the context's waker. One thread at a time is in here.
    fn drive<R>(&self, done: impl FnMut(&mut Context<'_>) -> Poll<R>) -> R;

    /// Has `done` polled again. Free of system calls when called from inside [`Reactor::drive`].
    fn nudge(&self);
}

/// tokio's current-thread runtime.
pub struct TokioReactor {
    runtime: Runtime,
    nudge: Waker,
}

impl TokioReactor {
    /// Takes a current-thread runtime over.
    pub fn new(runtime: Runtime) -> Self {
        // All `block_on` calls of one current-thread runtime share one waker.
        let nudge = runtime.block_on(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
        Self { runtime, nudge }
    }

    /// Starts a task that lives on the reactor.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// For what has to be made inside the runtime's context, such as sockets.
    pub fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.runtime.enter()
    }
}

impl Reactor for TokioReactor {
    fn drive<R>(&self, done: impl FnMut(&mut Context<'_>) -> Poll<R>) -> R {
        self.runtime.block_on(poll_fn(done))
    }

    fn nudge(&self) {
        self.nudge.wake_by_ref();
    }
}
