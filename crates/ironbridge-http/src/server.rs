//! Accepts connections on every listener and gives each its task, until told to drain.

use std::{
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use ironbridge_exchange::{Handler, Peer, kept::Kept, peer::Address};
use tokio::sync::{Notify, watch};

use crate::{
    config::HttpConfig,
    connection::{self, Front},
    counters::OpenConnection,
    date,
    deadline::Deadlines,
    journal::Journal,
    listener::AsyncListener,
    stack::stack,
    stream::Stream,
};

/// Tells a server to drain. Clones tell the same server.
#[derive(Debug, Clone)]
pub struct Drain {
    pace: watch::Sender<Pace>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pace {
    Serving,
    Leaving,
    Draining,
    Hurried,
}

impl Drain {
    /// A drain that has not begun.
    pub fn new() -> Self {
        Self { pace: watch::Sender::new(Pace::Serving) }
    }

    /// Serve on, but be found unhealthy: the drain will begin soon.
    pub fn announce(&self) {
        self.reach(Pace::Leaving);
    }

    /// Whether the server is about to drain, or drains.
    pub fn is_announced(&self) -> bool {
        *self.pace.borrow() >= Pace::Leaving
    }

    /// Accept nothing new, finish what is in flight. May be called from any thread, and more than once.
    pub fn begin(&self) {
        self.reach(Pace::Draining);
    }

    /// As [`Self::begin`], without patience for idle clients that may be about to ask again.
    pub fn hurry(&self) {
        self.reach(Pace::Hurried);
    }

    fn reach(&self, wanted: Pace) {
        self.pace.send_if_modified(|pace| {
            let is_new = *pace < wanted;
            *pace = (*pace).max(wanted);
            is_new
        });
    }

    async fn wait(&self, wanted: Pace) {
        // The sender lives as long as `self`: the only error cannot happen.
        let _ = self.pace.subscribe().wait_for(|pace| *pace >= wanted).await;
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

/// The connections of one server, counted.
#[derive(Debug, Default)]
struct Census {
    open: AtomicUsize,
    numbers: AtomicU64,
    left: Notify,
}

/// Serves `application` on `listeners` until `drain` begins and the last connection has closed.
///
/// Has to run inside a tokio runtime; connections become tasks of it.
pub async fn serve<H: Handler>(
    listeners: Vec<AsyncListener>,
    config: HttpConfig,
    journal: Arc<Journal>,
    application: H,
    drain: Drain,
) {
    let deadlines = Deadlines::new(config.timeouts);
    // Another server may have stopped the clock when it ended.
    date::tick();
    let ticker = tokio::spawn(Arc::clone(&deadlines).run());
    let handler = stack(application, &config, &drain);
    let front = Arc::new(Front { config, deadlines: Arc::clone(&deadlines), journal });
    let census = Arc::new(Census::default());
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let entrance =
                Entrance { front: Arc::clone(&front), handler: handler.clone(), census: Arc::clone(&census) };
            tokio::spawn(entrance.accept_until_drain(listener, drain.clone()))
        })
        .collect();
    for task in accepting {
        // A panic in an accept loop has been reported by the panic hook.
        let _ = task.await;
    }
    deadlines.drain();
    let hurry = async {
        drain.wait(Pace::Hurried).await;
        deadlines.hurry();
        std::future::pending().await
    };
    tokio::select! {
        () = census.wait_until(|open| open == 0) => {}
        () = hurry => {}
    }
    ticker.abort();
}

/// More connections than any kernel's accept queue holds.
const LONGEST_QUEUE: usize = 65_536;

/// How often a drain finds a listener's queue empty before it believes it.
const LAST_LOOKS: usize = 3;

/// One listener's accept loop.
struct Entrance<H> {
    front: Arc<Front>,
    handler: H,
    census: Arc<Census>,
}

impl<H: Handler> Entrance<H> {
    async fn accept_until_drain(self, listener: AsyncListener, drain: Drain) {
        tokio::select! {
            () = drain.wait(Pace::Draining) => {}
            () = self.accept_forever(&listener) => {}
        }
        // What the kernel has accepted for us already was promised an answer. What comes meanwhile must not go on for ever.
        let mut looks = 0;
        for _ in 0..LONGEST_QUEUE {
            match accept_now(&listener).await {
                Some(Ok((stream, remote))) => self.admit(stream, remote, listener.local().clone()),
                Some(Err(_)) => return,
                None if looks == LAST_LOOKS => return,
                // The reactor may not have seen it yet, or wants other tasks to have their turn.
                None => {
                    looks += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    async fn accept_forever(&self, listener: &AsyncListener) {
        let most = self.front.config.max_connections;
        loop {
            self.census.wait_until(|open| open < most).await;
            match poll_fn(|cx| listener.poll_accept(cx)).await {
                Ok((stream, remote)) => self.admit(stream, remote, listener.local().clone()),
                Err(error) => pause_after(&error).await,
            }
        }
    }

    fn admit(&self, stream: Stream, remote: Address, local: Address) {
        let peer = Peer {
            connection: self.census.numbers.fetch_add(1, Ordering::Relaxed) + 1,
            remote,
            local,
            secure: false,
            kept: Kept::default(),
        };
        self.census.open.fetch_add(1, Ordering::AcqRel);
        let seat = Seat { _open: self.front.journal.counters.connection(), census: Arc::clone(&self.census) };
        let serving = connection::serve(stream, peer, Arc::clone(&self.front), self.handler.clone());
        tokio::spawn(async move {
            let _seat = seat;
            serving.await;
        });
    }
}

/// Counts a connection out when dropped, also by a panic.
struct Seat {
    _open: OpenConnection,
    census: Arc<Census>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.census.open.fetch_sub(1, Ordering::AcqRel);
        self.census.left.notify_waiters();
    }
}

impl Census {
    async fn wait_until(&self, enough: impl Fn(usize) -> bool) {
        loop {
            let left = self.left.notified();
            if enough(self.open.load(Ordering::Acquire)) {
                return;
            }
            left.await;
        }
    }
}

/// A connection that is there already, without waiting.
async fn accept_now(listener: &AsyncListener) -> Option<io::Result<(Stream, Address)>> {
    poll_fn(|cx| {
        Poll::Ready(match listener.poll_accept(cx) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        })
    })
    .await
}

/// Says what went wrong, and keeps a lasting error (too many open files) from turning into a busy loop.
async fn pause_after(error: &io::Error) {
    let client_left = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    );
    if client_left {
        tracing::debug!(%error, "a client left before it was accepted");
        return;
    }
    tracing::error!(%error, "cannot accept connections; trying again in 100 ms");
    tokio::time::sleep(Duration::from_millis(100)).await;
}
