//! What is written down about each request: counters always, a line in the access log where there is one.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use ironbridge_exchange::{Peer, RequestHead};

use crate::{
    access_log::{AccessLog, Outcome, Record, basic_user::basic_user},
    counters::Counters,
    gate::refusal::Refusal,
};

/// Where requests are written down.
#[derive(Debug)]
pub struct Journal {
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Where lines go.
    pub access_log: Option<AccessLog>,
}

/// One request's entry. It is written when dropped: as complete or as broken off.
#[derive(Debug)]
pub struct Entry {
    journal: Arc<Journal>,
    target: Bytes,
    line: Option<Box<Line>>,
    status: u16,
    bytes: u64,
    complete: bool,
}

/// What only the access log needs.
#[derive(Debug)]
struct Line {
    peer: Arc<Peer>,
    method: Bytes,
    version: ironbridge_exchange::Version,
    referer: Option<Bytes>,
    user_agent: Option<Bytes>,
    authorization: Option<Bytes>,
    time: SystemTime,
    begun: Instant,
}

impl Journal {
    /// Opens the entry of a request that has just arrived.
    pub fn open(self: &Arc<Self>, head: &RequestHead, peer: &Arc<Peer>) -> Entry {
        self.counters.request();
        let line = self.access_log.as_ref().map(|_| {
            let field = |name| head.fields.get(name).map(Bytes::copy_from_slice);
            Box::new(Line {
                peer: Arc::clone(peer),
                method: head.method.clone(),
                version: head.version,
                referer: field("referer"),
                user_agent: field("user-agent"),
                authorization: field("authorization"),
                time: SystemTime::now(),
                begun: Instant::now(),
            })
        });
        self.entry(head.target.clone(), line)
    }

    /// Opens the entry of a request that the gate turned away; little is known of it.
    pub fn open_refused(self: &Arc<Self>, refusal: Refusal, peer: &Arc<Peer>) -> Entry {
        self.counters.refusal(refusal.label());
        let line = self.access_log.as_ref().map(|_| {
            Box::new(Line {
                peer: Arc::clone(peer),
                method: Bytes::from_static(b"-"),
                version: ironbridge_exchange::Version::Http11,
                referer: None,
                user_agent: None,
                authorization: None,
                time: SystemTime::now(),
                begun: Instant::now(),
            })
        });
        self.entry(Bytes::from_static(b"-"), line)
    }

    fn entry(self: &Arc<Self>, target: Bytes, line: Option<Box<Line>>) -> Entry {
        Entry { journal: Arc::clone(self), target, line, status: CLIENT_LEFT, bytes: 0, complete: false }
    }
}

impl Entry {
    /// The response has begun with this status.
    pub fn begin(&mut self, status: u16) {
        self.status = status;
    }

    /// So many more bytes of the body went out.
    pub fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The response is whole.
    pub fn complete(&mut self) {
        self.complete = true;
    }

    /// The request's target, escaped for logs.
    pub fn path(&self) -> impl std::fmt::Display {
        self.target.escape_ascii()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.journal.counters.response(self.status);
        if !self.complete {
            self.journal.counters.aborted();
        }
        let (Some(log), Some(line)) = (&self.journal.access_log, &self.line) else { return };
        let user = line.authorization.as_deref().and_then(basic_user);
        log.write(&Record {
            peer: &line.peer.remote,
            time: line.time,
            method: &line.method,
            target: &self.target,
            version: line.version,
            status: self.status,
            bytes: self.bytes,
            referer: line.referer.as_deref(),
            user_agent: line.user_agent.as_deref(),
            user: user.as_deref(),
            duration: line.begun.elapsed(),
            outcome: if self.complete { Outcome::Complete } else { Outcome::Aborted },
        });
    }
}

/// The status that stands in the log for a client that left before its response began.
pub const CLIENT_LEFT: u16 = 499;
