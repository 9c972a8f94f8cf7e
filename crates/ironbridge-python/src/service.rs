//! The application as a handler: what the front end calls.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use ironbridge_exchange::{Request, Response};
use tower::Service;

use crate::{
    interpreter::PythonPool,
    plain,
    ticket::{Ticket, Waiting},
    wsgi::mount::Mount,
};

/// Hands requests to the pool of Python threads.
#[derive(Clone)]
pub struct PythonService {
    pool: Arc<PythonPool>,
    mount: Arc<Mount>,
}

impl PythonService {
    pub(crate) fn new(pool: Arc<PythonPool>, mount: Arc<Mount>) -> Self {
        Self { pool, mount }
    }
}

impl Service<Request> for PythonService {
    type Response = Response;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A full queue answers 503 at once; it does not hold the connection back.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Answer {
        if !self.mount.covers(&request.head) {
            return Answer::Now(Some(plain::not_found()));
        }
        let (ticket, waiting) = Ticket::new(request, &self.pool);
        match self.pool.submit(ticket) {
            Ok(()) => Answer::Later(waiting),
            Err(_refused) => Answer::Now(Some(plain::overloaded())),
        }
    }
}

/// The future of [`PythonService`].
pub enum Answer {
    /// Answered without Python; taken by the first poll.
    Now(Option<Response>),
    /// A Python thread will answer.
    Later(Waiting),
}

impl Future for Answer {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Now(response) => {
                Poll::Ready(Ok(response.take().expect("a future is not polled after it was ready")))
            }
            Self::Later(waiting) => Pin::new(waiting).poll(cx),
        }
    }
}
