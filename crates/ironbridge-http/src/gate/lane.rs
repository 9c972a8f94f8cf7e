//! What the gate and the service of one connection tell each other, past hyper.
//!
//! hyper handles one request after another and in order, so two queues are enough: heads that the gate has read, in the
//! order in which hyper delivers their requests; and heads of responses, in the order in which hyper writes them.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use ironbridge_exchange::{ResponseHead, hints::EarlyHints};

use super::{head::ParsedHead, refusal::Refusal};

/// The side channel of one connection.
#[derive(Debug, Default)]
pub struct Lane {
    shared: Mutex<Queues>,
    /// Part of a head has arrived.
    partial: AtomicBool,
    /// Where 103 responses wait.
    pub hints: EarlyHints,
}

#[derive(Debug, Default)]
struct Queues {
    requests: VecDeque<Result<ParsedHead, Refusal>>,
    responses: VecDeque<Outgoing>,
    body_fault: Option<Refusal>,
    aborted: bool,
}

/// What the gate writes in place of the head that hyper made.
#[derive(Debug)]
pub struct Outgoing {
    /// Status and header lines.
    pub head: ResponseHead,
    /// Whether bytes follow the head at all (not for HEAD, 204, 304).
    pub has_body: bool,
    /// What follows, where it is a file for the kernel to send.
    pub file: Option<FileStretch>,
}

/// A stretch of a file on its way to a socket.
#[derive(Debug)]
pub struct FileStretch {
    /// The file; its cursor is not used.
    pub file: std::fs::File,
    /// The next byte to send.
    pub offset: u64,
}

impl Lane {
    /// The gate has read a head, or turned one away.
    pub fn push_request(&self, request: Result<ParsedHead, Refusal>) {
        self.lock().requests.push_back(request);
    }

    /// The head of the request that hyper has just delivered.
    pub fn take_request(&self) -> Option<Result<ParsedHead, Refusal>> {
        self.lock().requests.pop_front()
    }

    /// The service is about to hand this response to hyper.
    pub fn push_response(&self, response: Outgoing) {
        self.lock().responses.push_back(response);
    }

    /// hyper has written a head: this one belongs in its place.
    pub fn take_response(&self) -> Option<Outgoing> {
        self.lock().responses.pop_front()
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
