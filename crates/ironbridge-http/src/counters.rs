//! What the front end counts. Counting is a relaxed atomic addition; reading is for metrics and tests.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The running counts of a worker.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    closed: AtomicU64,
    requests: AtomicU64,
    /// By class: 1xx to 5xx, then every other status.
    responses: [AtomicU64; CLASSES],
    refusals: Labelled,
    timeouts: AtomicU64,
    aborted: AtomicU64,
}

/// All counts at about one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Connections accepted since the start.
    pub connections_accepted: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Requests whose head was read.
    pub requests: u64,
    /// Responses by the first digit of their status, from 1 to 5; the last entry counts all other statuses.
    pub responses: [u64; CLASSES],
    /// Requests refused, by reason, in the order in which the reasons first came up.
    pub refusals: Vec<(&'static str, u64)>,
    /// Connections or requests that ran out of time.
    pub timeouts: u64,
    /// Responses that were cut off.
    pub aborted: u64,
}

/// Keeps a connection counted as open until it is dropped.
#[derive(Debug)]
pub struct OpenConnection {
    counters: Arc<Counters>,
}

impl Counters {
    /// Counts a connection as accepted, and as open while the returned value lives.
    pub fn connection(self: &Arc<Self>) -> OpenConnection {
        self.accepted.fetch_add(1, Relaxed);
        OpenConnection { counters: Arc::clone(self) }
    }

    /// Counts a request.
    pub fn request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// Counts a response by its status.
    pub fn response(&self, status: u16) {
        let class = usize::from(status / 100);
        let index = if (1..CLASSES).contains(&class) { class - 1 } else { CLASSES - 1 };
        self.responses[index].fetch_add(1, Relaxed);
    }

    /// Counts a refused request under its reason, one snake_case word such as `Refusal::label` gives.
    pub fn refusal(&self, label: &'static str) {
        self.refusals.count(label);
    }

    /// Counts a connection or request that ran out of time.
    pub fn timeout(&self) {
        self.timeouts.fetch_add(1, Relaxed);
    }

    /// Counts a response that was cut off.
    pub fn aborted(&self) {
        self.aborted.fetch_add(1, Relaxed);
    }

    /// Requests so far whose head was read.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Connections open now.
    pub fn connections_open(&self) -> u64 {
        // Relaxed counts of other threads may be seen in any order, hence `saturating`.
        let closed = self.closed.load(Relaxed);
        self.accepted.load(Relaxed).saturating_sub(closed)
    }

    /// Reads all counts.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            connections_open: self.connections_open(),
            connections_accepted: self.accepted.load(Relaxed),
            requests: self.requests.load(Relaxed),
            responses: self.responses.each_ref().map(|count| count.load(Relaxed)),
            refusals: self.refusals.read(),
            timeouts: self.timeouts.load(Relaxed),
            aborted: self.aborted.load(Relaxed),
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.counters.closed.fetch_add(1, Relaxed);
    }
}

/// A small table of counts by label, filled in the order of first use, without locks.
#[derive(Debug)]
struct Labelled {
    slots: [(OnceLock<&'static str>, AtomicU64); SLOTS],
    /// What comes when the table is full.
    other: AtomicU64,
}

impl Default for Labelled {
    fn default() -> Self {
        Self { slots: std::array::from_fn(|_| Default::default()), other: AtomicU64::new(0) }
    }
}

impl Labelled {
    fn count(&self, label: &'static str) {
        // Whoever wins a free slot, the loser reads the winner's label and goes on if it is not its own.
        let slot = self.slots.iter().find(|(name, _)| *name.get_or_init(|| label) == label);
        slot.map_or(&self.other, |(_, count)| count).fetch_add(1, Relaxed);
    }

    fn read(&self) -> Vec<(&'static str, u64)> {
        let known = self.slots.iter().map_while(|(name, count)| Some((*name.get()?, count.load(Relaxed))));
        let other = Some(("other", self.other.load(Relaxed))).filter(|(_, count)| *count > 0);
        known.chain(other).collect()
    }
}

/// 1xx to 5xx, and the rest.
const CLASSES: usize = 6;
/// More than there are reasons for refusing.
const SLOTS: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_connection_is_open_until_it_is_dropped() {
        let counters = Arc::new(Counters::default());
        let first = counters.connection();
        let second = counters.connection();
        drop(first);
        let snapshot = counters.snapshot();
        assert_eq!((snapshot.connections_accepted, snapshot.connections_open), (2, 1));
        drop(second);
        assert_eq!(counters.connections_open(), 0);
    }

    #[test]
    fn every_event_has_its_count() {
        let counters = Counters::default();
        counters.request();
        counters.timeout();
        counters.timeout();
        counters.aborted();
        let snapshot = counters.snapshot();
        assert_eq!((snapshot.requests, snapshot.timeouts, snapshot.aborted), (1, 2, 1));
    }

    #[test]
    fn responses_are_counted_by_class() {
        let counters = Counters::default();
        for status in [0, 99, 100, 199, 200, 304, 404, 499, 500, 599, 600, 999, u16::MAX] {
            counters.response(status);
        }
        assert_eq!(counters.snapshot().responses, [2, 1, 1, 2, 2, 5]);
    }

    #[test]
    fn labels_beyond_the_table_are_counted_together() {
        let counters = Counters::default();
        let labels = (0..SLOTS + 2).map(|number| &*format!("label_{number}").leak());
        labels.for_each(|label| counters.refusal(label));
        let refusals = counters.snapshot().refusals;
        assert_eq!(refusals.len(), SLOTS + 1);
        assert_eq!(refusals.last(), Some(&("other", 2)));
    }

    #[test]
    fn threads_that_meet_on_a_new_label_share_its_count() {
        const LABELS: [&str; 4] = ["a", "b", "c", "d"];
        let counters = Counters::default();
        let start = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for shift in 0..4 {
                let (counters, start) = (&counters, &start);
                scope.spawn(move || {
                    start.wait();
                    (0..4000).for_each(|turn| counters.refusal(LABELS[(turn + shift) % 4]));
                });
            }
        });
        let mut refusals = counters.snapshot().refusals;
        refusals.sort_unstable();
        assert_eq!(refusals, LABELS.map(|label| (label, 4000)));
    }

    proptest! {
        #[test]
        fn labels_are_counted_as_a_map_would(picks in prop::collection::vec(0usize..5, 0..100)) {
            const LABELS: [&str; 5] = ["bad_host", "bare_lf", "connect", "queue_full", "bad_chunk"];
            let counters = Counters::default();
            let mut model: HashMap<&str, u64> = HashMap::new();
            for pick in picks {
                counters.refusal(LABELS[pick]);
                *model.entry(LABELS[pick]).or_default() += 1;
            }
            prop_assert_eq!(counters.snapshot().refusals.into_iter().collect::<HashMap<_, _>>(), model);
        }
    }
}
