//! Where a request runs: its thread, its pool, and the connection that waits for it.

use std::{
    cell::RefCell,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use ironbridge_exchange::{HeaderBlock, Response};
use pyo3::Python;

use crate::{engine::scheduler::WaitBy, interpreter::PythonPool, ticket::Ticket};

/// One running request's place. Clones are the same place.
#[derive(Clone)]
pub struct Here {
    ticket: Arc<Ticket>,
}

impl std::fmt::Debug for Here {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Here").field("thread", &self.ticket.thread()).finish_non_exhaustive()
    }
}

impl Here {
    /// The place of a request that a pool thread has taken up.
    pub fn new(ticket: Arc<Ticket>) -> Self {
        Self { ticket }
    }

    /// Hands the response to the connection.
    pub fn answer(&self, response: Response) {
        self.wake(self.ticket.answer(response));
    }

    /// Whether only the head of the response is wanted.
    pub fn is_head(&self) -> bool {
        self.ticket.is_head
    }

    /// Whether 103 responses can be sent ahead of the response.
    pub fn takes_hints(&self) -> bool {
        self.ticket.hints.is_some()
    }

    /// Sends a 103 response ahead of the response, unless that has begun.
    pub fn hint(&self, py: Python<'_>, lines: HeaderBlock) {
        let Some(hints) = &self.ticket.hints else { return };
        if self.is_answered() {
            return;
        }
        hints.push(lines);
        self.wake(self.ticket.connection());
        // Where nobody drives the reactor, one turn of it sends them.
        if !self.is_led() {
            let mut turns = 0;
            self.wait(py, |cx, _| {
                turns += 1;
                if turns > 1 {
                    Poll::Ready(())
                } else {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            });
        }
    }

    /// Whether a response was handed over.
    pub fn is_answered(&self) -> bool {
        self.ticket.is_answered()
    }

    /// Whether the client has gone before it got a response.
    pub fn is_abandoned(&self) -> bool {
        self.ticket.is_abandoned()
    }

    /// Wakes tasks of the reactor, and threads, the cheapest way.
    pub fn wake(&self, wakers: impl IntoIterator<Item = Waker>) {
        for waker in wakers {
            self.pool().wake(waker);
        }
    }

    /// Waits for `done` without holding the interpreter; drives the reactor if nobody else does. `done` is told how it
    /// is waited for.
    pub fn wait<T: Send>(
        &self,
        py: Python<'_>,
        done: impl FnMut(&mut Context<'_>, WaitBy) -> Poll<T> + Send,
    ) -> T {
        py.detach(|| {
            if self.is_current() {
                self.pool().wait(self.ticket.thread(), done)
            } else {
                // A thread of the application's own: it cannot lead, somebody of the pool will.
                PythonPool::park_until(done)
            }
        })
    }

    /// Whether somebody else drives the reactor while this thread runs.
    pub fn is_led(&self) -> bool {
        self.pool().books().is_led()
    }

    /// Makes this the calling thread's current place while `body` runs.
    pub fn enter<R>(&self, body: impl FnOnce() -> R) -> R {
        struct Leave(Option<Here>);
        impl Drop for Leave {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _leave = Leave(CURRENT.replace(Some(self.clone())));
        body()
    }

    /// The calling thread's current place.
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    fn is_current(&self) -> bool {
        CURRENT.with_borrow(|current| {
            current.as_ref().is_some_and(|here| Arc::ptr_eq(&here.ticket, &self.ticket))
        })
    }

    fn pool(&self) -> &Arc<PythonPool> {
        &self.ticket.pool
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Here>> = const { RefCell::new(None) };
}
