//! One request's trip from its connection to a Python thread and back.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Instant,
};

use ironbridge_exchange::{Request, Response, hints::EarlyHints};

use crate::{engine::scheduler::ThreadId, interpreter::PythonPool};

/// What the connection and the Python thread share.
pub struct Ticket {
    /// The pool that runs the request.
    pub pool: Arc<PythonPool>,
    thread: AtomicUsize,
    desk: Mutex<Desk>,
    /// The connection does not wait any more: its client has gone.
    abandoned: AtomicBool,
    /// Whether the request's method is HEAD.
    pub is_head: bool,
    /// When the request became ready to run.
    pub arrived: Instant,
}

#[derive(Debug)]
struct Desk {
    request: Option<Request>,
    response: Option<Response>,
    connection: Option<Waker>,
    answered: bool,
    hints: Option<EarlyHints>,
}

impl Ticket {
    /// A ticket for `request`, and the future that ends with its response.
    pub fn new(request: Request, pool: &Arc<PythonPool>) -> (Arc<Self>, Waiting) {
        let is_head = &request.head.method[..] == b"HEAD";
        let desk =
            Desk { request: Some(request), response: None, connection: None, answered: false, hints: None };
        let ticket = Arc::new(Self {
            pool: Arc::clone(pool),
            thread: AtomicUsize::new(usize::MAX),
            desk: Mutex::new(desk),
            abandoned: AtomicBool::new(false),
            is_head,
            arrived: Instant::now(),
        });
        (Arc::clone(&ticket), Waiting { ticket })
    }

    /// Takes the request out, unless its client has gone or it was answered without being run.
    pub fn take_request(&self) -> Option<Request> {
        if self.is_abandoned() {
            return None;
        }
        let mut desk = self.desk();
        if desk.answered { None } else { desk.request.take() }
    }

    /// Notes which pool thread runs the request.
    pub fn set_thread(&self, me: ThreadId) {
        self.thread.store(me, Ordering::Relaxed);
    }

    /// The pool thread that runs the request.
    pub fn thread(&self) -> ThreadId {
        self.thread.load(Ordering::Relaxed)
    }

    /// Whether nobody waits for the response.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Hands the response over; the first one counts. Returns whom to wake.
    pub fn answer(&self, response: Response) -> Option<Waker> {
        let mut desk = self.desk();
        if desk.answered {
            return None;
        }
        desk.answered = true;
        desk.response = Some(response);
        desk.connection.take()
    }

    /// Whether a response was handed over.
    pub fn is_answered(&self) -> bool {
        self.desk().answered
    }

    /// Notes where early hints go.
    pub fn set_hints(&self, hints: Option<EarlyHints>) {
        self.desk().hints = hints;
    }

    /// Where early hints go.
    pub fn hints(&self) -> Option<EarlyHints> {
        self.desk().hints.clone()
    }

    /// Whom to wake so that the connection is polled.
    pub fn connection(&self) -> Option<Waker> {
        self.desk().connection.clone()
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Nothing that can panic runs under this lock.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection's side: ready with the response. Dropped early, the request is abandoned.
pub struct Waiting {
    ticket: Arc<Ticket>,
}

impl Future for Waiting {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut desk = self.ticket.desk();
        match desk.response.take() {
            Some(response) => Poll::Ready(Ok(response)),
            None => {
                match &mut desk.connection {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => desk.connection = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.ticket.abandoned.store(true, Ordering::Relaxed);
        // The ticket may stay in the queue for a while; what was read of its request is not needed any more.
        let request = self.ticket.desk().request.take();
        drop(request);
    }
}
