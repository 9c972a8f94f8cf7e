//! One request's trip from its connection to a Python thread and back.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use ironbridge_exchange::{Request, Response, hints::EarlyHints};

use crate::{engine::scheduler::ThreadId, interpreter::PythonPool};

/// What the connection and the Python thread share.
pub struct Ticket {
    /// The pool that runs the request.
    pub pool: Arc<PythonPool>,
    thread: AtomicUsize,
    desk: Mutex<Desk>,
    /// A response was handed over. Set under the desk's lock.
    answered: AtomicBool,
    /// The connection does not wait any more: its client has gone. Set under the desk's lock.
    abandoned: AtomicBool,
    /// Whether the request's method is HEAD.
    pub is_head: bool,
    /// Where early hints go.
    pub hints: Option<EarlyHints>,
    /// Times that the request was found waiting.
    found_waiting: AtomicU32,
}

#[derive(Debug)]
struct Desk {
    request: Option<Request>,
    response: Option<Response>,
    connection: Option<Waker>,
}

impl Ticket {
    /// A ticket for `request`, and the future that ends with its response.
    pub fn new(request: Request, pool: &Arc<PythonPool>) -> (Arc<Self>, Waiting) {
        let ticket = Self::filled(request, pool);
        (Arc::clone(&ticket), Waiting { ticket: Some(ticket) })
    }

    /// A ticket from this thread's stock, or a new one.
    fn filled(mut request: Request, pool: &Arc<PythonPool>) -> Arc<Self> {
        let (is_head, hints) = (&request.head.method[..] == b"HEAD", request.early_hints.take());
        let used = STOCK.try_with(|stock| stock.borrow_mut().pop()).ok().flatten();
        if let Some(mut used) = used
            && let Some(ticket) = Arc::get_mut(&mut used)
            && Arc::ptr_eq(&ticket.pool, pool)
        {
            *ticket.answered.get_mut() = false;
            *ticket.abandoned.get_mut() = false;
            *ticket.found_waiting.get_mut() = 0;
            ticket.is_head = is_head;
            ticket.hints = hints;
            ticket.desk().request = Some(request);
            return used;
        }
        Arc::new(Self {
            pool: Arc::clone(pool),
            thread: AtomicUsize::new(usize::MAX),
            answered: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            is_head,
            hints,
            found_waiting: AtomicU32::new(0),
            desk: Mutex::new(Desk { request: Some(request), response: None, connection: None }),
        })
    }

    /// Keeps a ticket for the next request, if nobody else holds it.
    fn put_back(mut used: Arc<Self>) {
        let Some(ticket) = Arc::get_mut(&mut used) else { return };
        ticket.hints = None;
        *ticket.desk() = Desk { request: None, response: None, connection: None };
        // A thread that ends has no stock any more.
        let _ = STOCK.try_with(|stock| {
            let mut stock = stock.borrow_mut();
            if stock.len() < MOST_KEPT {
                stock.push(used);
            }
        });
    }

    /// Takes the request out, unless its client has gone or it was answered without being run.
    pub fn take_request(&self) -> Option<Request> {
        let mut desk = self.desk();
        if self.is_abandoned() || self.is_answered() { None } else { desk.request.take() }
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

    /// The request is found waiting once more; returns how often it was before.
    pub fn find_waiting(&self) -> u32 {
        self.found_waiting.fetch_add(1, Ordering::Relaxed)
    }

    /// Hands the response over; the first one counts. Returns whom to wake.
    pub fn answer(&self, response: Response) -> Option<Waker> {
        let mut desk = self.desk();
        if self.is_answered() {
            return None;
        }
        self.answered.store(true, Ordering::Release);
        if self.is_abandoned() {
            drop(desk);
            // Nobody will ever read it: whoever streams it has to learn that.
            drop(response);
            return None;
        }
        desk.response = Some(response);
        desk.connection.take()
    }

    /// Whether a response was handed over.
    pub fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Acquire)
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
    /// None once the response is there.
    ticket: Option<Arc<Ticket>>,
}

impl Future for Waiting {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ticket = self.ticket.as_ref().expect("a future is not polled after it was ready");
        let mut desk = ticket.desk();
        let Some(response) = desk.response.take() else {
            match &mut desk.connection {
                Some(waker) => waker.clone_from(cx.waker()),
                None => desk.connection = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        };
        drop(desk);
        if let Some(ticket) = self.ticket.take() {
            Ticket::put_back(ticket);
        }
        Poll::Ready(Ok(response))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(ticket) = &self.ticket else { return };
        let mut desk = ticket.desk();
        ticket.abandoned.store(true, Ordering::Relaxed);
        // The ticket may stay in the queue or with its thread for a while. What was read of its request is not needed any
        // more; and an application that streams its response must not wait for a reader that never comes.
        let left = (desk.request.take(), desk.response.take());
        drop(desk);
        drop(left);
    }
}

thread_local! {
    /// Tickets of requests that are over.
    static STOCK: RefCell<Vec<Arc<Ticket>>> = const { RefCell::new(Vec::new()) };
}

/// A thread keeps no more used tickets than this.
const MOST_KEPT: usize = 128;
