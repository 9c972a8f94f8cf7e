//! What is written down about each request: counters always, a line in the access log where there is one.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use ironbridge_exchange::{Peer, RequestHead, ResponseHead, Version};

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
    /// Unknown where the gate turned the request away.
    head: Option<Arc<RequestHead>>,
    line: Option<Box<Line>>,
    status: u16,
    bytes: u64,
    complete: bool,
}

/// What only the access log needs.
#[derive(Debug)]
struct Line {
    peer: Arc<Peer>,
    time: SystemTime,
    begun: Instant,
    /// The response's headers that the log shows.
    shown: Vec<(String, Vec<u8>)>,
}

impl Journal {
    /// Opens the entry of a request that has just arrived.
    pub fn open(self: &Arc<Self>, head: &Arc<RequestHead>, peer: &Arc<Peer>) -> Entry {
        self.counters.request();
        self.entry(Some(Arc::clone(head)), peer)
    }

    /// Opens the entry of a request that the gate turned away; little is known of it.
    pub fn open_refused(self: &Arc<Self>, refusal: Refusal, peer: &Arc<Peer>) -> Entry {
        self.refused(refusal);
        self.entry(None, peer)
    }

    /// A request was refused, whole or in its body.
    pub fn refused(&self, refusal: Refusal) {
        self.counters.refusal(refusal.label());
        if matches!(refusal, Refusal::HeadTimeout | Refusal::BodyTimeout) {
            self.counters.timeout();
        }
    }

    fn entry(self: &Arc<Self>, head: Option<Arc<RequestHead>>, peer: &Arc<Peer>) -> Entry {
        let line = self.access_log.is_some().then(|| {
            Box::new(Line {
                peer: Arc::clone(peer),
                time: SystemTime::now(),
                begun: Instant::now(),
                shown: Vec::new(),
            })
        });
        Entry { journal: Arc::clone(self), head, line, status: CLIENT_LEFT, bytes: 0, complete: false }
    }
}

impl Entry {
    /// The response has begun with this head.
    pub fn begin(&mut self, head: &ResponseHead) {
        self.status = head.status;
        if let (Some(log), Some(line)) = (&self.journal.access_log, &mut self.line) {
            for name in log.response_headers() {
                let mut lines = head.lines.iter();
                if let Some((_, value)) = lines.find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
                {
                    line.shown.push((name.to_owned(), value.to_vec()));
                }
            }
        }
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
        self.head.as_ref().map_or(&b"-"[..], |head| &head.target).escape_ascii()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.journal.counters.response(self.status);
        if !self.complete {
            self.journal.counters.aborted();
        }
        let (Some(log), Some(line)) = (&self.journal.access_log, &self.line) else { return };
        let head = self.head.as_deref();
        let field = |name| head.and_then(|head| head.fields.get(name));
        let user = field("authorization").and_then(basic_user);
        log.write(&Record {
            peer: &line.peer.remote,
            time: line.time,
            method: head.map_or(b"-", |head| &head.method),
            target: head.map_or(b"-", |head| &head.target),
            version: head.map_or(Version::Http11, |head| head.version),
            status: self.status,
            bytes: self.bytes,
            referer: field("referer"),
            user_agent: field("user-agent"),
            user: user.as_deref(),
            fields: head.map(|head| &head.fields),
            shown: &line.shown,
            duration: line.begun.elapsed(),
            outcome: if self.complete { Outcome::Complete } else { Outcome::Aborted },
        });
    }
}

/// The status that stands in the log for a client that left before its response began.
pub const CLIENT_LEFT: u16 = 499;
