//! The one plain thread that sees to it that the reactor is never without a driver for long.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    parker::Parker,
    pool::{Interpreter, Pool},
    reactor::Reactor,
    scheduler::{Finding, Order, ThreadId, Verdict},
    sync::{AtomicBool, Ordering},
};

/// Where the watchdog sleeps, and how it is called.
#[derive(Debug, Default)]
pub(crate) struct Post {
    parker: Parker,
    asleep: AtomicBool,
    stopping: AtomicBool,
}

impl Post {
    /// Wakes the watchdog: it has to lead, or to end.
    pub(crate) fn call(&self) {
        self.parker.unpark();
    }

    /// A leader leaves the reactor: somebody has to watch.
    pub(crate) fn on_departure(&self) {
        if self.asleep.load(Ordering::Relaxed) {
            self.parker.unpark();
        }
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.parker.unpark();
    }

    /// Sleeps `nap`, or until called when nothing has happened for long.
    fn rest(&self, nap: Option<Duration>) {
        if nap.is_none() {
            self.asleep.store(true, Ordering::SeqCst);
        }
        // A departure between the decision to sleep and the flag goes unseen; the long nap bounds what that costs.
        self.parker.park(Some(nap.unwrap_or(LONG_NAP)));
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// The watchdog's life.
pub(crate) fn run<I: Interpreter, R: Reactor>(pool: &Arc<Pool<I, R>>) {
    let mut watch = Watch { nap: SHORT_NAP, quiet_since: Instant::now(), seen: None };
    while !pool.watchdog.stopping.load(Ordering::SeqCst) {
        let verdict = pool.books().inspect(Instant::now(), PATIENCE);
        match verdict {
            Verdict::Fine => watch.all_is_well(pool),
            Verdict::Lead => lead(pool),
            Verdict::Suspect { thread, job, since } => watch.suspect(pool, thread, job, since),
            Verdict::Summon(_) => unreachable!("an inspection finds, it does not summon"),
        }
    }
}

fn lead<I: Interpreter, R: Reactor>(pool: &Arc<Pool<I, R>>) {
    let order = pool.lead();
    debug_assert!(matches!(order, Order::Park), "the watchdog runs no jobs");
}

/// What the watchdog remembers between two looks.
struct Watch {
    nap: Duration,
    quiet_since: Instant,
    seen: Option<Look>,
}

#[derive(Clone, Copy)]
struct Look {
    thread: ThreadId,
    job: u64,
    at: Instant,
    cpu: Duration,
}

impl Watch {
    fn all_is_well<I: Interpreter, R: Reactor>(&mut self, pool: &Pool<I, R>) {
        self.seen = None;
        let quiet = pool.books().is_led() && self.quiet_since.elapsed() > QUIET;
        pool.watchdog.rest((!quiet).then_some(self.nap));
        self.nap = (self.nap * 2).min(LONGEST_WATCH);
        if !pool.books().is_led() {
            self.quiet_since = Instant::now();
        }
    }

    fn suspect<I: Interpreter, R: Reactor>(
        &mut self,
        pool: &Arc<Pool<I, R>>,
        thread: ThreadId,
        job: u64,
        since: Instant,
    ) {
        self.quiet_since = Instant::now();
        let now = Look { thread, job, at: Instant::now(), cpu: cpu_of(pool, thread) };
        let Some(before) = self.seen.filter(|seen| seen.thread == thread && seen.job == job) else {
            self.seen = Some(now);
            return pool.watchdog.rest(Some(SECOND_LOOK));
        };
        let finding = judge(&before, &now, since);
        if finding != Finding::Computing {
            self.seen = None;
            self.nap = SHORT_NAP;
        }
        let verdict = pool.books().judge(thread, job, finding);
        match verdict {
            Verdict::Summon(summons) => pool.follow(Some(summons)),
            Verdict::Lead => lead(pool),
            Verdict::Fine | Verdict::Suspect { .. } => {
                self.nap = (self.nap * 2).min(LONGEST_WATCH);
                pool.watchdog.rest(Some(self.nap));
            }
        }
    }
}

fn judge(before: &Look, now: &Look, since: Instant) -> Finding {
    let wall = now.at.duration_since(before.at);
    let cpu = now.cpu.saturating_sub(before.cpu);
    if cpu * 4 < wall {
        Finding::Blocked
    } else if now.at.duration_since(since) > PATIENCE_FOR_COMPUTING {
        Finding::ComputingLong
    } else {
        Finding::Computing
    }
}

fn cpu_of<I: Interpreter, R: Reactor>(pool: &Pool<I, R>, thread: ThreadId) -> Duration {
    pool.clock_of(thread).and_then(super::sys::CpuClock::read).unwrap_or_default()
}

/// How long the reactor may be without a driver before the watchdog asks why.
const PATIENCE: Duration = Duration::from_micros(500);
/// Between the two looks that tell blocked from computing.
const SECOND_LOOK: Duration = Duration::from_micros(250);
/// How long a job may compute before somebody else drives the reactor.
const PATIENCE_FOR_COMPUTING: Duration = Duration::from_millis(5);
const SHORT_NAP: Duration = Duration::from_micros(500);
/// The longest time between two looks while requests run. Each look costs a context switch.
const LONGEST_WATCH: Duration = Duration::from_millis(4);
/// After this long without a departure the watchdog sleeps until one happens.
const QUIET: Duration = Duration::from_millis(100);
const LONG_NAP: Duration = Duration::from_secs(1);
