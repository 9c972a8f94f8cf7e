//! Answers one path without the application: whoever asks learns that the server itself is alive, and whether it is about to end.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use ironbridge_exchange::{Handler, Request, Response, target::path_and_query};
use tower::{Layer, Service};

use crate::{plain, server::Drain};

/// Puts [`Health`] around a handler.
#[derive(Debug, Clone)]
pub struct HealthLayer {
    probe: Option<Arc<Probe>>,
}

/// What is asked about. Handlers are cloned for each request, so it is in one piece.
#[derive(Debug)]
struct Probe {
    path: Vec<u8>,
    drain: Drain,
}

impl HealthLayer {
    /// Answers `path`, nothing without one, until `drain` is announced.
    pub fn new(path: Option<String>, drain: Drain) -> Self {
        Self { probe: path.map(|path| Arc::new(Probe { path: path.into_bytes(), drain })) }
    }
}

impl<H: Handler> Layer<H> for HealthLayer {
    type Service = Health<H>;

    fn layer(&self, inner: H) -> Health<H> {
        Health { probe: self.probe.clone(), inner }
    }
}

/// Answers its path with 200, or with 503 when the server is about to end, and passes everything else on.
#[derive(Debug, Clone)]
pub struct Health<H> {
    probe: Option<Arc<Probe>>,
    inner: H,
}

impl<H: Handler> Service<Request> for Health<H> {
    type Response = Response;
    type Error = Infallible;
    type Future = Answer<H::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let asked = |path: &[u8]| path_and_query(&request.head.target).0 == path;
        match &self.probe {
            Some(probe) if asked(&probe.path) => {
                let status = if probe.drain.is_announced() { 503 } else { 200 };
                Answer::Own { response: Some(plain::response(status, &[("Cache-Control", "no-store")])) }
            }
            _ => Answer::Application { future: self.inner.call(request) },
        }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Health`]: the server's own answer (taken by the first poll), or the application's.
    #[project = AnswerProjection]
    #[allow(missing_docs)]
    pub enum Answer<F> {
        Own { response: Option<Response> },
        Application { #[pin] future: F },
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Answer<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            AnswerProjection::Own { response } => {
                Poll::Ready(Ok(response.take().expect("a future is not polled after it was ready")))
            }
            AnswerProjection::Application { future } => future.poll(cx),
        }
    }
}
