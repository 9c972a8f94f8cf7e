//! What the gate and the service of one connection tell each other, past hyper.
//!
//! hyper handles one request after another and in order, so two queues are enough: heads that the gate has read, in the
//! order in which hyper delivers their requests; and heads of responses, in the order in which hyper writes them.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use ironbridge_exchange::{RequestHead, ResponseHead, hints::HintQueue};

use super::{refusal::Refusal, streamed::Source, whole::Payload};
use crate::{journal::Entry, websocket::driver::Upgrade};

/// The side channel of one connection.
#[derive(Debug, Default)]
pub struct Lane {
    shared: Mutex<Queues>,
    /// Part of a head has arrived.
    partial: AtomicBool,
    /// Requests that were let in and whose response is not over yet.
    in_flight: AtomicU32,
    /// Bytes of data in the present request's body, once all of it has passed the gate; until then [`UNKNOWN`].
    body_total: AtomicU64,
    /// Where 103 responses wait.
    pub hints: HintQueue,
}

#[derive(Debug, Default)]
struct Queues {
    requests: VecDeque<Result<Arrival, TurnedAway>>,
    /// How many of them hyper has delivered.
    delivered: u32,
    responses: VecDeque<Outgoing>,
    body_fault: Option<Refusal>,
    aborted: bool,
    upgrade: Option<Upgrade>,
}

/// A request that the gate has let in.
#[derive(Debug)]
pub struct Arrival {
    /// Its head.
    pub head: Arc<RequestHead>,
    /// Whether the client waits for 100 Continue before it sends the body.
    pub expect_continue: bool,
    /// Whether it asks for a WebSocket.
    pub websocket: bool,
}

/// A request that the gate does not let in.
#[derive(Debug, Clone, Copy)]
pub struct TurnedAway {
    /// Why.
    pub refusal: Refusal,
    /// Whether its method is HEAD, so that the answer must not have a body.
    pub head_only: bool,
}

/// What the gate writes in place of the response that hyper made.
#[derive(Debug)]
pub struct Outgoing {
    /// Status and header lines.
    pub head: ResponseHead,
    /// What follows.
    pub body: OutgoingBody,
}

/// What follows a response's head.
#[derive(Debug)]
pub enum OutgoingBody {
    /// All of it is here.
    Whole {
        /// The bytes.
        payload: Payload,
        /// Ends when they have been sent.
        entry: Entry,
    },
    /// It is still being made.
    Streamed(Source),
    /// Something other than HTTP, for which [`Lane::take_upgrade`] has what is needed.
    Upgrade(Entry),
}

impl Lane {
    /// The gate has read a head, or turned one away.
    #[inline]
    pub fn push_request(&self, request: Result<Arrival, TurnedAway>) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.lock().requests.push_back(request);
    }

    /// The head of the request that hyper has just delivered, and the request's number on its connection.
    #[inline]
    pub fn take_request(&self) -> Option<(u32, Result<Arrival, TurnedAway>)> {
        let mut queues = self.lock();
        let request = queues.requests.pop_front()?;
        let number = queues.delivered;
        queues.delivered = number.wrapping_add(1);
        Some((number, request))
    }

    /// The service is about to hand this response to hyper.
    #[inline]
    pub fn push_response(&self, response: Outgoing) {
        self.lock().responses.push_back(response);
    }

    /// hyper has written a head: this one belongs in its place.
    #[inline]
    pub fn take_response(&self) -> Option<Outgoing> {
        self.lock().responses.pop_front()
    }

    /// So many responses have been written to their end, and the socket has taken all of it.
    pub fn end_responses(&self, count: u32) {
        if count > 0 {
            self.in_flight.fetch_sub(count, Ordering::Relaxed);
        }
    }

    /// Whether no request waits for the end of its response.
    pub fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
    }

    /// A body begins.
    pub fn begin_body(&self) {
        self.body_total.store(UNKNOWN, Ordering::Relaxed);
    }

    /// The last byte of a body with so many bytes of data has passed the gate.
    pub fn end_body(&self, total: u64) {
        self.body_total.store(total, Ordering::Relaxed);
    }

    /// Whether these bytes of data are all that the present body has.
    pub fn is_whole_body(&self, received: u64) -> bool {
        self.body_total.load(Ordering::Relaxed) == received
    }

    /// Whether the last byte of the present body has passed the gate.
    pub fn has_whole_body(&self) -> bool {
        self.body_total.load(Ordering::Relaxed) != UNKNOWN
    }

    /// The body that is being read broke a rule.
    pub fn set_body_fault(&self, fault: Refusal) {
        self.lock().body_fault = Some(fault);
    }

    /// Why reading the body failed, where it was the gate that stopped it.
    pub fn body_fault(&self) -> Option<Refusal> {
        self.lock().body_fault
    }

    /// Notes whether part of a head, but not all of it, has arrived.
    pub fn set_partial(&self, partial: bool) {
        self.partial.store(partial, Ordering::Relaxed);
    }

    /// Whether part of a head, but not all of it, has arrived.
    pub fn is_partial(&self) -> bool {
        self.partial.load(Ordering::Relaxed)
    }

    /// With its next response the connection becomes a WebSocket.
    pub fn set_upgrade(&self, upgrade: Upgrade) {
        self.lock().upgrade = Some(upgrade);
    }

    /// Whether the connection has become a WebSocket, or is about to.
    pub fn is_upgraded(&self) -> bool {
        self.lock().upgrade.is_some()
    }

    /// What the WebSocket needs.
    pub fn take_upgrade(&self) -> Option<Upgrade> {
        self.lock().upgrade.take()
    }

    /// A response broke off: the connection must end so that the client notices.
    pub fn abort(&self) {
        self.lock().aborted = true;
    }

    /// Whether a response broke off.
    pub fn is_aborted(&self) -> bool {
        self.lock().aborted
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // Nothing that can panic runs under this lock.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const UNKNOWN: u64 = u64::MAX;
