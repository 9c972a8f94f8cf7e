//! From a request that hyper delivers to the response that the gate writes: the service of one connection.

use std::{
    convert::Infallible,
    future::{Future, poll_fn, ready},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, service::Service};
use ironbridge_exchange::{
    Handler, Peer, Request, RequestBody, Response, ResponseBody, Version, websocket::Offer,
};

use crate::{
    connection::Front,
    gate::{
        lane::{Arrival, Lane, Outgoing, OutgoingBody, TurnedAway},
        refusal::Refusal,
        streamed::Source,
        whole::Payload,
    },
    inbound::{Pump, Unread, read_ahead},
    journal::Entry,
    plain,
    websocket::{driver::Upgrade, handshake::Handshake},
};

/// Answers the requests of one connection. Clones are the same line.
#[derive(Debug)]
pub struct Line<H> {
    shared: Arc<Shared<H>>,
}

#[derive(Debug)]
struct Shared<H> {
    front: Arc<Front>,
    lane: Arc<Lane>,
    peer: Arc<Peer>,
    handler: H,
}

/// One request whose answer is being made.
#[derive(Debug)]
pub struct Exchange<H> {
    line: Line<H>,
    entry: Entry,
    version: Version,
    head_only: bool,
    handshake: Option<Box<Handshake>>,
}

/// The body of every response, as far as hyper knows.
#[derive(Debug)]
pub struct Nothing;

impl Body for Nothing {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}

/// What hyper is given.
type Answer = Result<hyper::Response<Nothing>, io::Error>;

impl<H> Clone for Line<H> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<H: Handler> Service<hyper::Request<Incoming>> for Line<H> {
    type Response = hyper::Response<Nothing>;
    type Error = io::Error;
    type Future = Answering<H>;

    /// The request's real head waits in the lane.
    fn call(&self, request: hyper::Request<Incoming>) -> Answering<H> {
        let (number, arrival) = match self.shared.lane.take_request() {
            Some((number, Ok(arrival))) => (number, arrival),
            Some((_, Err(request))) => return Answering::with(ready(Ok(self.turn_away(request)))),
            None => {
                let error = "hyper delivered a request that the gate never passed";
                return Answering::with(ready(Err(io::Error::other(error))));
            }
        };
        let mut exchange = self.open(&arrival);
        let mut offer = None;
        if let Some(config) = self.shared.front.config.websocket.as_ref().filter(|_| arrival.websocket) {
            match Handshake::read(&arrival.head, config.window_bits) {
                Ok(handshake) => {
                    exchange.handshake = Some(Box::new(handshake));
                    offer = Some(Offer { queue: config.queue });
                }
                Err(error) => {
                    tracing::debug!(peer = ?self.shared.peer.remote, %error, "a WebSocket was refused");
                    return Answering::with(ready(Ok(exchange.end(error.response(), None))));
                }
            }
        }
        let incoming = request.into_body();
        if incoming.is_end_stream() {
            let future = self.hand_on(number, arrival, RequestBody::Empty, offer);
            return Answering::Running { future, exchange: Some(exchange) };
        }
        Answering::with(self.clone().answer_with_body(number, arrival, incoming, exchange))
    }
}

impl<H> Line<H> {
    /// Whether a response whose head is yet to be sent is its connection's last one.
    fn is_draining(&self) -> bool {
        self.shared.front.deadlines.is_draining()
    }
}

impl<H: Handler> Line<H> {
    /// The line of a connection with `peer`.
    pub fn new(front: Arc<Front>, lane: Arc<Lane>, peer: Peer, handler: H) -> Self {
        Self { shared: Arc::new(Shared { front, lane, peer: Arc::new(peer), handler }) }
    }

    fn open(&self, arrival: &Arrival) -> Exchange<H> {
        Exchange {
            line: self.clone(),
            entry: self.shared.front.journal.open(&arrival.head, &self.shared.peer),
            version: arrival.head.version,
            head_only: &arrival.head.method[..] == b"HEAD",
            handshake: None,
        }
    }

    fn hand_on(
        &self,
        number: u32,
        arrival: Arrival,
        body: RequestBody,
        websocket: Option<Offer>,
    ) -> H::Future {
        let Shared { lane, peer, handler, .. } = &*self.shared;
        let early_hints = (arrival.head.version != Version::Http10).then(|| lane.hints.for_request(number));
        let request = Request { head: arrival.head, body, peer: Arc::clone(peer), early_hints, websocket };
        handler.clone().call(request)
    }

    async fn answer_with_body(
        self,
        number: u32,
        arrival: Arrival,
        incoming: Incoming,
        exchange: Exchange<H>,
    ) -> Answer {
        let Shared { front, lane, .. } = &*self.shared;
        let read = read_ahead(incoming, lane, front.config.buffering, arrival.expect_continue).await;
        let (body, pump) = match read {
            Ok(body) => body,
            Err(Unread::Refused(refusal)) => return Ok(self.blame(refusal, exchange)),
            Err(Unread::SpoolFailed) => return Ok(exchange.end(plain::response(503, &[]), None)),
            Err(Unread::ClientGone) => return Err(io::ErrorKind::ConnectionReset.into()),
        };
        let (response, pump) = run(self.hand_on(number, arrival, body, None), pump).await;
        let is_streamed = matches!(response.body, ResponseBody::Stream(_));
        // What the application has left of its request stands before the next one.
        let breaks_off = !is_streamed && pump.as_ref().is_some_and(|pump| !pump.is_all_here());
        let fault = lane.body_fault();
        match fault {
            // An application that failed because its request's body broke a rule did not fail: the client did.
            Some(fault) if response.head.status >= 500 => return Ok(self.blame(fault, exchange)),
            Some(fault) => front.journal.refused(fault),
            None => {}
        }
        let version = exchange.version;
        let answer = exchange.end(response, pump);
        Ok(if fault.is_some() || breaks_off { closing(answer, version) } else { answer })
    }

    fn blame(&self, fault: Refusal, exchange: Exchange<H>) -> hyper::Response<Nothing> {
        self.shared.front.journal.refused(fault);
        let version = exchange.version;
        closing(exchange.end(plain::refused(fault), None), version)
    }

    fn turn_away(&self, request: TurnedAway) -> hyper::Response<Nothing> {
        let TurnedAway { refusal, head_only } = request;
        let Shared { front, peer, .. } = &*self.shared;
        tracing::debug!(peer = ?peer.remote, reason = %refusal, "request refused");
        let entry = front.journal.open_refused(refusal, peer);
        Exchange { line: self.clone(), entry, version: Version::Http11, head_only, handshake: None }
            .end(plain::refused(refusal), None)
    }
}

impl<H> Exchange<H> {
    /// Hands a response to the gate. What hyper is given in its place says nothing but whether the connection stays.
    fn end(self, response: Response, pump: Option<Pump>) -> hyper::Response<Nothing> {
        let Self { line, mut entry, version, head_only, handshake } = self;
        let Response { mut head, body } = response;
        entry.begin(&head);
        let payload = match body {
            _ if head_only || matches!(head.status, 204 | 304) => Payload::None,
            ResponseBody::Empty => Payload::Bytes(bytes::Bytes::new()),
            ResponseBody::Bytes(bytes) => Payload::Bytes(bytes),
            ResponseBody::File { file, offset, len } => Payload::File { file, offset, len },
            ResponseBody::WebSocket(wire) => {
                let Some(handshake) = handshake else {
                    // Nobody has asked for it.
                    let exchange = Self { line, entry, version, head_only, handshake: None };
                    return exchange.end(plain::response(500, &[]), pump);
                };
                let lane = &line.shared.lane;
                handshake.sign(&mut head.lines);
                lane.set_upgrade(Upgrade { wire, deflate: handshake.deflate });
                lane.push_response(Outgoing { head, body: OutgoingBody::Upgrade(entry) });
                // As far as hyper knows, that was the connection's last response.
                return closing(hyper::Response::new(Nothing), version);
            }
            ResponseBody::Stream(receiver) => {
                let meanwhile = pump.map(|mut pump| Box::pin(poll_fn(move |cx| pump.poll(cx))) as _);
                // Only the end of the connection tells an HTTP/1.0 client where a body of unknown length ends.
                let is_last = version == Version::Http10 && head.content_length.is_none();
                let body = OutgoingBody::Streamed(Source { receiver, meanwhile, entry });
                line.shared.lane.push_response(Outgoing { head, body });
                let response = hyper::Response::new(Nothing);
                return if is_last || line.is_draining() { closing(response, version) } else { response };
            }
        };
        if head.content_length.is_none() {
            head.content_length = payload.len();
        }
        line.shared.lane.push_response(Outgoing { head, body: OutgoingBody::Whole { payload, entry } });
        let response = hyper::Response::new(Nothing);
        if line.is_draining() { closing(response, version) } else { response }
    }
}

/// Makes `response` the last one of its connection, to a client that speaks `version`.
fn closing(mut response: hyper::Response<Nothing>, version: Version) -> hyper::Response<Nothing> {
    response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    if version == Version::Http10 {
        // To such a client that asks for it hyper grants keep-alive, unless the response itself is an HTTP/1.0 one.
        *response.version_mut() = http::Version::HTTP_10;
    }
    response
}

/// Waits for the handler, and feeds it the rest of its request meanwhile.
async fn run<F>(future: F, mut pump: Option<Pump>) -> (Response, Option<Pump>)
where
    F: Future<Output = Result<Response, Infallible>>,
{
    let mut future = pin!(future);
    let Ok(response) = poll_fn(|cx| {
        if let Some(pump) = &mut pump {
            // Also when there is nothing more to move, it knows whether all has been.
            let _ = pump.poll(cx);
        }
        future.as_mut().poll(cx)
    })
    .await;
    (response, pump)
}

pin_project_lite::pin_project! {
    /// The future of [`Line`]. A request without a body, which most are, needs no memory of its own.
    #[project = AnsweringProjection]
    #[allow(missing_docs)]
    pub enum Answering<H: Handler> {
        Running { #[pin] future: H::Future, exchange: Option<Exchange<H>> },
        Boxed { future: Pin<Box<dyn Future<Output = Answer> + Send>> },
    }
}

impl<H: Handler> Answering<H> {
    fn with(future: impl Future<Output = Answer> + Send + 'static) -> Self {
        Self::Boxed { future: Box::pin(future) }
    }
}

impl<H: Handler> Future for Answering<H> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        match self.project() {
            AnsweringProjection::Running { future, exchange } => {
                let Ok(response) = ready!(future.poll(cx));
                let exchange = exchange.take().expect("a future is not polled after it was ready");
                Poll::Ready(Ok(exchange.end(response, None)))
            }
            AnsweringProjection::Boxed { future } => future.as_mut().poll(cx),
        }
    }
}
