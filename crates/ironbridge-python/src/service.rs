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
    asgi::{desk, event_loop::EventLoop},
    interpreter::PythonPool,
    plain,
    ticket::{Ticket, Waiting},
    wsgi::mount::Mount,
};

/// Hands requests to Python.
#[derive(Clone)]
pub enum PythonService {
    /// To the pool of threads.
    Wsgi {
        /// The pool.
        pool: Arc<PythonPool>,
        /// Where the application is mounted.
        mount: Arc<Mount>,
    },
    /// To the event loop.
    Asgi(Arc<EventLoop>),
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
        match self {
            Self::Wsgi { pool, mount } => {
                if !mount.covers(&request.head) {
                    return Answer::Now(Some(plain::not_found()));
                }
                let (ticket, waiting) = Ticket::new(request, pool);
                match pool.submit(ticket) {
                    Ok(()) => Answer::Thread(waiting),
                    Err(_refused) => Answer::Now(Some(plain::overloaded())),
                }
            }
            Self::Asgi(event_loop) => Answer::Task(event_loop.submit(request)),
        }
    }
}

/// The future of [`PythonService`].
pub enum Answer {
    /// Answered without Python; taken by the first poll.
    Now(Option<Response>),
    /// A Python thread will answer.
    Thread(Waiting),
    /// A task of the event loop will answer.
    Task(desk::Waiting),
}

impl Future for Answer {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Now(response) => {
                Poll::Ready(Ok(response.take().expect("a future is not polled after it was ready")))
            }
            Self::Thread(waiting) => Pin::new(waiting).poll(cx),
            Self::Task(waiting) => Pin::new(waiting).poll(cx),
        }
    }
}
