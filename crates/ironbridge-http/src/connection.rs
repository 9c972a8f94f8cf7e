//! One connection: the gate, hyper, and the handler, in one task.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{HttpService, service_fn},
};
use ironbridge_exchange::{Handler, Peer, Request, RequestBody, Response, ResponseBody, Version};

use crate::{
    config::HttpConfig,
    deadline::{Bell, Deadlines},
    gate::{
        io::GateIo,
        lane::{Arrival, FileStretch, Lane, Outgoing},
        refusal::Refusal,
        transport::Transport,
    },
    inbound::{Pump, Unread, read_ahead},
    journal::{Entry, Journal},
    outbound::{Outbound, Source},
    plain,
};

/// What all connections of a worker share.
#[derive(Debug)]
pub struct Front {
    /// What the front end was told.
    pub config: HttpConfig,
    /// Everybody's deadlines.
    pub deadlines: Arc<Deadlines>,
    /// Where requests are written down.
    pub journal: Arc<Journal>,
}

/// What all requests of a connection share.
struct Line<H> {
    front: Arc<Front>,
    lane: Arc<Lane>,
    peer: Arc<Peer>,
    handler: H,
}

/// Serves one connection until it closes.
///
/// hyper is there only while there is something to do: an idle connection gives hyper's state and buffers back, and waits
/// for its next request as little more than a socket.
pub async fn serve<T: Transport, H: Handler>(transport: T, peer: Peer, front: Arc<Front>, handler: H) {
    let lane = Arc::new(Lane::default());
    let ticket = front.deadlines.enter();
    let bell = ticket.bell();
    let config = &front.config;
    let mut io = GateIo::new(transport, Arc::clone(&lane), config.limits, config.signature, ticket);
    let line =
        Arc::new(Line { lane: Arc::clone(&lane), peer: Arc::new(peer), handler, front: Arc::clone(&front) });
    let watch = Watch { bell, lane, front };
    loop {
        let line = Arc::clone(&line);
        let service = service_fn(move |request| answer(Arc::clone(&line), request));
        let mut builder = http1::Builder::new();
        builder.auto_date_header(false).header_read_timeout(None).max_buf_size(HYPER_BUFFER);
        let mut connection = Box::new(builder.serve_connection(io, service));
        match poll_fn(|cx| watch.poll_busy(&mut connection, cx)).await {
            Busy::Over => return,
            Busy::Idle => io = connection.into_parts().io,
        }
        io.shrink();
        watch.bell.fell_asleep();
        if !poll_fn(|cx| watch.poll_asleep(&mut io, cx)).await {
            // Closing waits for what is still being written, and for nothing else.
            let _ = poll_fn(|cx| hyper::rt::Write::poll_shutdown(Pin::new(&mut io), cx)).await;
            return;
        }
    }
}

/// What a connection's task keeps an eye on.
struct Watch {
    bell: Bell,
    lane: Arc<Lane>,
    front: Arc<Front>,
}

/// How a stretch of work with hyper ended.
enum Busy {
    /// The connection is closed.
    Over,
    /// It has been idle for a while.
    Idle,
}

impl Watch {
    fn poll_busy<T: Transport, S>(
        &self,
        connection: &mut http1::Connection<GateIo<T>, S>,
        cx: &mut Context<'_>,
    ) -> Poll<Busy>
    where
        S: HttpService<Incoming, ResBody = Outbound> + Unpin,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.bell.register(cx.waker());
        if self.front.deadlines.is_draining() && !self.lane.is_partial() {
            Pin::new(&mut *connection).graceful_shutdown();
        }
        match Pin::new(connection).poll(cx) {
            Poll::Ready(result) => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended early");
                }
                Poll::Ready(Busy::Over)
            }
            Poll::Pending if self.bell.may_sleep() && self.lane.is_idle() => Poll::Ready(Busy::Idle),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready with whether a request has begun; without, the connection is over.
    fn poll_asleep<T: Transport>(&self, io: &mut GateIo<T>, cx: &mut Context<'_>) -> Poll<bool> {
        self.bell.register(cx.waker());
        match io.poll_wake(cx) {
            Poll::Ready(woken) => Poll::Ready(woken.unwrap_or(false)),
            Poll::Pending if self.front.deadlines.is_draining() => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Answers one request that hyper delivers; its real head waits in the lane.
async fn answer<H: Handler>(
    line: Arc<Line<H>>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Outbound>, io::Error> {
    let arrival = match line.lane.take_request() {
        Some(Ok(arrival)) => arrival,
        Some(Err(refusal)) => return Ok(line.turn_away(refusal)),
        None => return Err(io::Error::other("hyper delivered a request that the gate never passed")),
    };
    let entry = line.front.journal.open(&arrival.head, &line.peer);
    let head_only = &arrival.head.method[..] == b"HEAD";
    let (body, pump) = match read_body(&line, &arrival, request.into_body()).await {
        Ok(body) => body,
        Err(Unread::Refused(refusal)) => {
            line.front.journal.counters.refusal(refusal.label());
            return Ok(line.finish(plain::refused(refusal), head_only, None, entry));
        }
        Err(Unread::SpoolFailed) => {
            return Ok(line.finish(plain::response(503, &[]), head_only, None, entry));
        }
        Err(Unread::ClientGone) => return Err(io::ErrorKind::ConnectionReset.into()),
    };
    let early_hints = (arrival.head.version != Version::Http10).then(|| line.lane.hints.clone());
    let request = Request { head: arrival.head, body, peer: Arc::clone(&line.peer), early_hints };
    let (response, pump) = run(line.handler.clone().call(request), pump).await;
    let response = line.blame_client(response);
    Ok(line.finish(response, head_only, pump, entry))
}

async fn read_body<H>(
    line: &Line<H>,
    arrival: &Arrival,
    incoming: Incoming,
) -> Result<(RequestBody, Option<Pump>), Unread> {
    if http_body::Body::is_end_stream(&incoming) {
        return Ok((RequestBody::Empty, None));
    }
    read_ahead(incoming, &line.lane, line.front.config.buffering, arrival.expect_continue).await
}

/// Waits for the handler, and feeds it the rest of its request meanwhile.
async fn run<F>(future: F, mut pump: Option<Pump>) -> (Response, Option<Pump>)
where
    F: Future<Output = Result<Response, std::convert::Infallible>>,
{
    let mut future = pin!(future);
    let Ok(response) = poll_fn(|cx| {
        if pump.as_mut().is_some_and(|pump| pump.poll(cx).is_ready()) {
            pump = None;
        }
        match future.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(response),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    (response, pump)
}

impl<H> Line<H> {
    /// An application that failed because its request's body broke a rule did not fail: the client did.
    fn blame_client(&self, response: Response) -> Response {
        match self.lane.body_fault() {
            Some(fault) if response.head.status >= 500 => plain::refused(fault),
            _ => response,
        }
    }

    fn turn_away(&self, refusal: Refusal) -> hyper::Response<Outbound> {
        tracing::debug!(peer = ?self.peer.remote, reason = %refusal, "request refused");
        let entry = self.front.journal.open_refused(refusal, &self.peer);
        self.finish(plain::refused(refusal), false, None, entry)
    }

    /// Splits a response into what hyper frames and what the gate writes.
    fn finish(
        &self,
        response: Response,
        head_only: bool,
        pump: Option<Pump>,
        mut entry: Entry,
    ) -> hyper::Response<Outbound> {
        let Response { head, body } = response;
        let has_body = !head_only && !matches!(head.status, 204 | 304);
        entry.begin(head.status);
        let status =
            http::StatusCode::from_u16(head.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        let length = if has_body { head.content_length } else { None };
        let (source, file) = match body {
            _ if !has_body => (Source::Empty, None),
            ResponseBody::Empty => (Source::Empty, None),
            ResponseBody::Bytes(bytes) => (Source::Bytes(bytes), None),
            ResponseBody::Stream(receiver) => (Source::Stream(receiver), None),
            ResponseBody::File { file, offset, len } => {
                (Source::File(len), Some(FileStretch { file, offset }))
            }
        };
        self.lane.push_response(Outgoing { head, has_body, file });
        let outbound = Outbound::new(source, length, pump, Arc::clone(&self.lane), entry);
        let mut response = hyper::Response::new(outbound);
        if self.lane.body_fault().is_some() {
            response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
        }
        *response.status_mut() = status;
        response
    }
}

/// Bytes that hyper may hold of a body in either direction; by itself it would grow to 400 KB a connection.
const HYPER_BUFFER: usize = 64 * 1024;
