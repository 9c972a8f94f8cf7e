//! One connection: the gate, hyper, and the handler, in one task.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::{body::Incoming, server::conn::http1, service::HttpService};
use ironbridge_exchange::{Handler, Peer};

use crate::{
    answer::{Line, Nothing},
    config::HttpConfig,
    deadline::{Bell, Deadlines},
    gate::{io::GateIo, lane::Lane, transport::Transport},
    journal::Journal,
    websocket,
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
    let line = Line::new(Arc::clone(&front), Arc::clone(&lane), peer, handler);
    let watch = Watch { bell, lane, front };
    loop {
        let service = line.clone();
        let mut builder = http1::Builder::new();
        builder.auto_date_header(false).header_read_timeout(None).max_buf_size(HYPER_BUFFER);
        let mut connection = Box::new(builder.serve_connection(io, service));
        match poll_fn(|cx| watch.poll_busy(&mut connection, cx)).await {
            Busy::Over => {
                let upgrade = watch.lane.take_upgrade();
                let config = watch.front.config.websocket.as_ref();
                if let (Some(upgrade), Some(config)) = (upgrade, config) {
                    let io = connection.into_parts().io;
                    let deadlines = &watch.front.deadlines;
                    Box::pin(websocket::driver::drive(io, upgrade, config, || deadlines.is_draining())).await;
                }
                return;
            }
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
        S: HttpService<Incoming, ResBody = Nothing> + Unpin,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.bell.register(cx.waker());
        // As long as a request waits for the end of its response, it is the response's head that says whether it is the last.
        if self.bell.may_go() && self.lane.is_idle() && !self.lane.is_partial() {
            Pin::new(&mut *connection).graceful_shutdown();
        }
        match Pin::new(connection).poll(cx) {
            Poll::Ready(result) => {
                if let Err(error) = result {
                    if is_timeout(&error) {
                        self.front.journal.counters.timeout();
                    }
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
            Poll::Pending if self.bell.may_go() => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Whether the client took too long to take its response.
fn is_timeout(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// Bytes that hyper may hold of a body in either direction; by itself it would grow to 400 KB a connection.
const HYPER_BUFFER: usize = 32 * 1024;
