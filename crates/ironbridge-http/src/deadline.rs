//! Deadlines of all connections, kept by one coarse timer instead of one timer a request.
//!
//! A connection notes until when it is willing to wait as a number of ticks. The ticker wakes those that are late; each
//! then finds out for itself, when it is polled, what it was waiting for. Everything here is as exact as one [`TICK`].

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use crate::date;

/// How long connections may take; zero ticks stand for "no limit".
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a whole head, from its first byte.
    pub head: Duration,
    /// Between requests. Zero: close after each response.
    pub keep_alive: Duration,
    /// Window in which a body must keep to `body_min_rate`.
    pub body: Duration,
    /// Bytes per second.
    pub body_min_rate: u64,
    /// For a client to take at least one byte.
    pub write: Duration,
}

/// Every connection's deadlines.
#[derive(Debug)]
pub struct Deadlines {
    now: AtomicU32,
    draining: AtomicBool,
    hurried: AtomicBool,
    timeouts: Timeouts,
    table: Mutex<Table>,
    /// Connections that are idle and do not sleep yet. Changed only by whoever drives the reactor.
    idle: AtomicUsize,
}

#[derive(Debug, Default)]
struct Table {
    slots: Vec<Option<Arc<Slot>>>,
    free: Vec<usize>,
}

#[derive(Debug, Default)]
struct Slot {
    waker: OnceLock<Waker>,
    read_due: AtomicU32,
    write_due: AtomicU32,
    /// The tick at which the connection became idle; 0: it is not, or it sleeps already.
    idle_since: AtomicU32,
    /// The tick at which it came or last became idle, whatever has become of it since.
    quiet_since: AtomicU32,
}

/// What a connection waits for when it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadWait {
    /// The first byte of a request.
    KeepAlive,
    /// The rest of a head.
    Head,
    /// More of a body, of which so much has come.
    Body {
        /// Bytes of this body so far.
        received: u64,
    },
    /// The client's own close, after ours.
    Linger,
}

/// One connection's place in the table; leaves it when dropped.
#[derive(Debug)]
pub struct Ticket {
    deadlines: Arc<Deadlines>,
    slot: Arc<Slot>,
    index: usize,
    reading: Option<ReadWait>,
    /// What the kernel held when the present write deadline began.
    unsent: Option<u64>,
}

impl Deadlines {
    /// An empty table.
    pub fn new(timeouts: Timeouts) -> Arc<Self> {
        Arc::new(Self {
            now: AtomicU32::new(1),
            draining: AtomicBool::new(false),
            hurried: AtomicBool::new(false),
            timeouts,
            table: Mutex::default(),
            idle: AtomicUsize::new(0),
        })
    }

    /// Lets time pass for as long as it is polled.
    pub async fn run(self: Arc<Self>) {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            interval.tick().await;
            date::tick();
            self.tick();
        }
    }

    /// One tick: wakes those that are late.
    pub fn tick(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        let late = |due: &AtomicU32| {
            let due = due.load(Ordering::Relaxed);
            due != 0 && due <= now
        };
        let draining = self.is_draining();
        self.wake_where(|slot| {
            draining || late(&slot.read_due) || late(&slot.write_due) || slot.may_sleep(now)
        });
    }

    /// Takes a connection in.
    pub fn enter(self: &Arc<Self>) -> Ticket {
        let slot = Arc::new(Slot::default());
        slot.quiet_since.store(self.now.load(Ordering::Relaxed), Ordering::Relaxed);
        let mut table = self.table();
        let index = table.free.pop().unwrap_or(table.slots.len());
        if index == table.slots.len() {
            table.slots.push(None);
        }
        table.slots[index] = Some(Arc::clone(&slot));
        drop(table);
        Ticket { deadlines: Arc::clone(self), slot, index, reading: None, unsent: None }
    }

    /// From now on every connection closes after the request it has begun, or that it begins before [`Bell::may_go`].
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.wake_where(|_| true);
    }

    /// After [`Deadlines::drain`]: what is idle closes at once.
    pub fn hurry(&self) {
        self.hurried.store(true, Ordering::SeqCst);
        self.wake_where(|_| true);
    }

    /// Whether [`Deadlines::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Connections in the table.
    pub fn len(&self) -> usize {
        let table = self.table();
        table.slots.len() - table.free.len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn wake_where(&self, which: impl Fn(&Slot) -> bool) {
        for slot in self.table().slots.iter().flatten() {
            if let (true, Some(waker)) = (which(slot), slot.waker.get()) {
                waker.wake_by_ref();
            }
        }
    }

    /// Notes since which tick a connection is idle; 0: it is not, or it sleeps already.
    fn set_idle_since(&self, slot: &Slot, since: u32) {
        let before = slot.idle_since.load(Ordering::Relaxed);
        slot.idle_since.store(since, Ordering::Relaxed);
        let idle = self.idle.load(Ordering::Relaxed);
        match (before, since) {
            (0, 0) | (1.., 1..) => {}
            (0, _) => self.idle.store(idle + 1, Ordering::Relaxed),
            (_, 0) => self.idle.store(idle.saturating_sub(1), Ordering::Relaxed),
        }
    }

    fn due_in(&self, time: Duration) -> u32 {
        if time.is_zero() {
            return 0;
        }
        let ticks = time.as_millis().div_ceil(TICK.as_millis()).min(u128::from(u32::MAX / 2)) as u32;
        self.now.load(Ordering::Relaxed).saturating_add(ticks).saturating_add(1)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing that can panic runs under this lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn may_sleep(&self, now: u32) -> bool {
        let since = self.idle_since.load(Ordering::Relaxed);
        since != 0 && now >= since + SLEEP_AFTER
    }
}

/// Where a connection's task says whom to wake, and learns why it was woken.
#[derive(Debug)]
pub struct Bell {
    slot: Arc<Slot>,
    deadlines: Arc<Deadlines>,
}

impl Bell {
    /// Whom to wake when this connection is late. The first call counts; a task's waker stays the same.
    pub fn register(&self, waker: &Waker) {
        self.slot.waker.get_or_init(|| waker.clone());
    }

    /// Whether the connection should give its memory back: it has been idle for a while, or many others are idle too.
    pub fn may_sleep(&self) -> bool {
        let is_idle = self.slot.idle_since.load(Ordering::Relaxed) != 0;
        let is_crowded = self.deadlines.idle.load(Ordering::Relaxed) > MOST_AWAKE;
        is_idle && is_crowded || self.slot.may_sleep(self.deadlines.now.load(Ordering::Relaxed))
    }

    /// Whether a connection that waits for its next request may close because the server drains. A client that has just had an
    /// answer may be about to send another request, and would meet a closed connection: it has a moment to do so.
    pub fn may_go(&self) -> bool {
        let now = self.deadlines.now.load(Ordering::Relaxed);
        let quiet_since = self.slot.quiet_since.load(Ordering::Relaxed);
        self.deadlines.hurried.load(Ordering::Relaxed)
            || self.deadlines.is_draining() && now >= quiet_since + QUIET_BEFORE_GOING
    }

    /// The connection has done so.
    pub fn fell_asleep(&self) {
        self.deadlines.set_idle_since(&self.slot, 0);
    }
}

impl Ticket {
    /// The bell of this connection, for its task to hold.
    pub fn bell(&self) -> Bell {
        Bell { slot: Arc::clone(&self.slot), deadlines: Arc::clone(&self.deadlines) }
    }

    /// Whether the connection must close after its present request.
    pub fn must_close(&self) -> bool {
        self.deadlines.is_draining() || self.deadlines.timeouts.keep_alive.is_zero()
    }

    /// Nothing has come to read. Whether that has gone on for too long.
    pub fn read_is_late(&mut self, wait: ReadWait) -> bool {
        let same = match (self.reading, wait) {
            (Some(ReadWait::Body { .. }), ReadWait::Body { .. }) => true,
            (before, now) => before == Some(now),
        };
        if !same {
            self.begin_read(wait);
            return false;
        }
        if !self.is_late(&self.slot.read_due) {
            return false;
        }
        if let (Some(ReadWait::Body { received: before }), ReadWait::Body { received }) = (self.reading, wait)
        {
            let timeouts = &self.deadlines.timeouts;
            let least = (timeouts.body_min_rate as f64 * timeouts.body.as_secs_f64()) as u64;
            if received - before >= least.max(1) {
                self.begin_read(wait);
                return false;
            }
        }
        true
    }

    /// Reading does not wait for the client any more.
    pub fn stop_reading(&mut self) {
        self.reading = None;
        self.slot.read_due.store(0, Ordering::Relaxed);
        self.deadlines.set_idle_since(&self.slot, 0);
    }

    /// No more can be written. Whether the client has taken nothing for too long: of the `unsent` bytes that the kernel holds
    /// for it, which may be megabytes, it takes many before there is room again.
    pub fn write_is_late(&mut self, unsent: impl Fn() -> Option<u64>) -> bool {
        let begins = self.slot.write_due.load(Ordering::Relaxed) == 0;
        if !begins && !self.is_late(&self.slot.write_due) {
            return false;
        }
        let now = unsent();
        let has_taken = now.zip(self.unsent).is_some_and(|(now, before)| now < before);
        if begins || has_taken {
            self.unsent = now;
            let due = self.deadlines.due_in(self.deadlines.timeouts.write);
            self.slot.write_due.store(due, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// The client has taken something.
    pub fn stop_writing(&mut self) {
        self.slot.write_due.store(0, Ordering::Relaxed);
    }

    fn begin_read(&mut self, wait: ReadWait) {
        self.reading = Some(wait);
        let idle_since =
            if wait == ReadWait::KeepAlive { self.deadlines.now.load(Ordering::Relaxed) } else { 0 };
        self.deadlines.set_idle_since(&self.slot, idle_since);
        if idle_since != 0 {
            self.slot.quiet_since.store(idle_since, Ordering::Relaxed);
        }
        let timeouts = &self.deadlines.timeouts;
        let time = match wait {
            // Without keep-alive a connection waits for its first request only.
            ReadWait::KeepAlive if timeouts.keep_alive.is_zero() => timeouts.head,
            ReadWait::KeepAlive => timeouts.keep_alive,
            ReadWait::Head => timeouts.head,
            ReadWait::Body { .. } => timeouts.body,
            ReadWait::Linger => LINGER,
        };
        self.slot.read_due.store(self.deadlines.due_in(time), Ordering::Relaxed);
    }

    fn is_late(&self, due: &AtomicU32) -> bool {
        let due = due.load(Ordering::Relaxed);
        due != 0 && due <= self.deadlines.now.load(Ordering::Relaxed)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.deadlines.set_idle_since(&self.slot, 0);
        let mut table = self.deadlines.table();
        table.slots[self.index] = None;
        table.free.push(self.index);
    }
}

/// How exact deadlines are.
pub const TICK: Duration = Duration::from_millis(250);
/// Ticks of idleness after which a connection gives its memory back.
const SLEEP_AFTER: u32 = 2;
/// Ticks of idleness before a connection may close because the server drains.
const QUIET_BEFORE_GOING: u32 = 4;
/// Connections that may be idle without sleeping at once: a burst of new ones shall not take memory that then lies about.
const MOST_AWAKE: usize = 256;
/// How long we go on reading after our close so that the client gets our last response.
const LINGER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn deadlines() -> Arc<Deadlines> {
        Deadlines::new(Timeouts {
            head: Duration::from_secs(1),
            keep_alive: Duration::from_secs(2),
            body: Duration::from_secs(1),
            body_min_rate: 100,
            write: Duration::from_secs(1),
        })
    }

    fn pass(deadlines: &Deadlines, time: Duration) {
        for _ in 0..time.as_millis() / TICK.as_millis() + 1 {
            deadlines.tick();
        }
    }

    #[test]
    fn a_head_has_its_time_from_its_first_byte() {
        let deadlines = deadlines();
        let mut ticket = deadlines.enter();
        assert!(!ticket.read_is_late(ReadWait::KeepAlive));
        pass(&deadlines, Duration::from_millis(1500));
        assert!(!ticket.read_is_late(ReadWait::Head), "the wait for a first byte does not count");
        pass(&deadlines, Duration::from_millis(500));
        assert!(!ticket.read_is_late(ReadWait::Head));
        pass(&deadlines, Duration::from_millis(700));
        assert!(ticket.read_is_late(ReadWait::Head));
    }

    #[test]
    fn a_body_above_the_least_rate_is_never_late() {
        let deadlines = deadlines();
        let mut ticket = deadlines.enter();
        ticket.read_is_late(ReadWait::Body { received: 0 });
        for second in 1..5 {
            pass(&deadlines, Duration::from_millis(1500));
            assert!(!ticket.read_is_late(ReadWait::Body { received: second * 100 }));
        }
        pass(&deadlines, Duration::from_millis(1500));
        assert!(ticket.read_is_late(ReadWait::Body { received: 401 }));
    }

    #[test]
    fn a_client_that_takes_nothing_is_late_and_one_that_takes_a_byte_is_not() {
        let deadlines = deadlines();
        let mut ticket = deadlines.enter();
        assert!(!ticket.write_is_late(|| None));
        pass(&deadlines, Duration::from_millis(1500));
        assert!(ticket.write_is_late(|| None));
        ticket.stop_writing();
        assert!(!ticket.write_is_late(|| None));
    }

    #[test]
    fn a_client_that_takes_what_the_kernel_holds_is_not_late() {
        let deadlines = deadlines();
        let mut ticket = deadlines.enter();
        assert!(!ticket.write_is_late(|| Some(3)));
        for left in [2, 1] {
            pass(&deadlines, Duration::from_millis(1500));
            assert!(!ticket.write_is_late(|| Some(left)));
        }
        pass(&deadlines, Duration::from_millis(1500));
        assert!(ticket.write_is_late(|| Some(1)));
    }

    #[test]
    fn only_an_idle_connection_falls_asleep_and_only_once() {
        let deadlines = deadlines();
        let mut ticket = deadlines.enter();
        let bell = ticket.bell();
        ticket.read_is_late(ReadWait::Head);
        pass(&deadlines, TICK * SLEEP_AFTER);
        assert!(!bell.may_sleep(), "part of a request has arrived");
        ticket.read_is_late(ReadWait::KeepAlive);
        assert!(!bell.may_sleep());
        pass(&deadlines, TICK * SLEEP_AFTER);
        assert!(bell.may_sleep());
        bell.fell_asleep();
        pass(&deadlines, TICK * SLEEP_AFTER);
        assert!(!bell.may_sleep());
    }

    #[test]
    fn among_many_idle_connections_one_falls_asleep_at_once() {
        let deadlines = deadlines();
        let mut tickets: Vec<_> = (0..=MOST_AWAKE).map(|_| deadlines.enter()).collect();
        for ticket in &mut tickets {
            assert!(!ticket.bell().may_sleep());
            ticket.read_is_late(ReadWait::KeepAlive);
        }
        let last = tickets.last_mut().unwrap();
        assert!(last.bell().may_sleep());
        last.stop_reading();
        assert!(!last.bell().may_sleep() && !tickets[0].bell().may_sleep());
        drop(tickets);
        assert_eq!(deadlines.idle.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn places_are_used_again_and_counted() {
        let deadlines = deadlines();
        let first = deadlines.enter();
        let second = deadlines.enter();
        assert_eq!(deadlines.len(), 2);
        drop(first);
        let third = deadlines.enter();
        assert_eq!((third.index, deadlines.len()), (0, 2));
        drop((second, third));
        assert!(deadlines.is_empty());
    }
}
