//! One request between its connection and the event loop. Nothing of Python is in here: connections are dropped anywhere.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use ironbridge_exchange::{Request, Response};

use super::helm::Helm;

/// What the event loop is told.
#[derive(Debug)]
pub enum Notice {
    /// A request has come.
    Request(Arc<Desk>),
    /// Something that it waits for may have happened.
    Changed(Arc<Desk>),
    /// No more requests will come: end when those that run have ended.
    Stop,
    /// Cancel what still runs.
    Cut,
    /// A request has taken this long: say where it is, and cancel it where it has timed out.
    Overtime {
        /// Its number.
        id: u64,
        /// For how long it has been running.
        age: Duration,
        /// It is to end.
        is_over: bool,
    },
}

/// What the connection and the event loop share.
pub struct Desk {
    /// Numbers requests within this process.
    pub id: u64,
    /// Whether the request's method is HEAD.
    pub is_head: bool,
    helm: Arc<Helm>,
    papers: Mutex<Papers>,
    /// The connection does not wait any more. Set under the lock.
    abandoned: AtomicBool,
    /// A response was handed over. Set under the lock.
    answered: AtomicBool,
    /// A notice of a change waits already.
    noticed: AtomicBool,
}

#[derive(Debug, Default)]
struct Papers {
    request: Option<Request>,
    response: Option<Response>,
    connection: Option<Waker>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Desk {
    /// Hands a request to the event loop; the future ends with its response.
    pub fn submit(request: Request, helm: &Arc<Helm>) -> Waiting {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let desk = Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            is_head: &request.head.method[..] == b"HEAD",
            helm: Arc::clone(helm),
            papers: Mutex::new(Papers { request: Some(request), ..Papers::default() }),
            abandoned: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            noticed: AtomicBool::new(false),
        });
        helm.post(Notice::Request(Arc::clone(&desk)));
        Waiting { desk: Some(desk) }
    }

    /// Takes the request out, unless its client has gone.
    pub fn take_request(&self) -> Option<Request> {
        self.papers().request.take()
    }

    /// Whether a response was handed over.
    pub fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Hands the response over; the first one counts.
    pub fn answer(&self, response: Response) {
        let mut papers = self.papers();
        if self.is_abandoned() || self.answered.swap(true, Ordering::Relaxed) {
            drop(papers);
            // Nobody will ever read it.
            drop(response);
            return;
        }
        papers.response = Some(response);
        let connection = papers.connection.take();
        drop(papers);
        if let Some(connection) = connection {
            self.helm.wake(connection);
        }
    }

    /// Has the connection polled.
    pub fn wake_connection(&self) {
        let connection = self.papers().connection.clone();
        self.wake(connection);
    }

    /// Wakes a task of the reactor.
    pub fn wake(&self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            self.helm.wake(waker);
        }
    }

    /// Whether the client left before it got a response.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// From now on another change is worth another notice.
    pub fn begin_look(&self) {
        self.noticed.store(false, Ordering::SeqCst);
    }

    fn papers(&self) -> MutexGuard<'_, Papers> {
        // Nothing that can panic runs under this lock.
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever waits on the event loop is told of a change.
impl Wake for Desk {
    fn wake(self: Arc<Self>) {
        if !self.noticed.swap(true, Ordering::SeqCst) {
            let helm = Arc::clone(&self.helm);
            helm.post(Notice::Changed(self));
        }
    }
}

/// The connection's side: ready with the response. Dropped early, the client has gone.
pub struct Waiting {
    /// None once the response is there.
    desk: Option<Arc<Desk>>,
}

impl Future for Waiting {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let desk = self.desk.as_ref().expect("a future is not polled after it was ready");
        let mut papers = desk.papers();
        let Some(response) = papers.response.take() else {
            match &mut papers.connection {
                Some(waker) => waker.clone_from(cx.waker()),
                None => papers.connection = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        };
        drop(papers);
        self.desk = None;
        Poll::Ready(Ok(response))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(desk) = self.desk.take() else { return };
        let mut papers = desk.papers();
        desk.abandoned.store(true, Ordering::Release);
        let left = (papers.request.take(), papers.response.take());
        drop(papers);
        drop(left);
        Wake::wake(desk);
    }
}
