//! The one plain thread that sees to it that the reactor is never without a driver for long.

use std::{sync::Arc, time::Duration};

use super::{
    moment::Moment,
    parker::Parker,
    pool::{Interpreter, Pool},
    reactor::Reactor,
    scheduler::{Finding, Suspect, ThreadId, Verdict},
    sync::{AtomicBool, Ordering, guess_cpu_time, now},
    sys::CpuClock,
};

/// Where the watchdog sleeps, and how it is called.
#[derive(Debug, Default)]
pub(crate) struct Post {
    parker: Parker,
    asleep: AtomicBool,
}

impl Post {
    /// Wakes the watchdog: it has to lead, or to end.
    pub(crate) fn call(&self) {
        self.parker.unpark();
    }

    /// The reactor was left without a driver, as the books say already: somebody has to watch.
    pub(crate) fn on_departure(&self) {
        if self.asleep.load(Ordering::SeqCst) {
            self.parker.unpark();
        }
    }

    fn nap(&self, nap: Duration) {
        self.parker.park(Some(nap));
    }

    /// Sleeps until called, unless `must_watch` after all.
    fn sleep_unless(&self, must_watch: impl FnOnce() -> bool) {
        self.asleep.store(true, Ordering::SeqCst);
        // Who leaves the reactor enters that in the books first and looks at the flag then; here it is the other way
        // round. So one of the two sees the other.
        if !must_watch() {
            self.parker.park(None);
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// The watchdog's life.
pub(crate) fn run<I: Interpreter, R: Reactor>(pool: &Arc<Pool<I, R>>) {
    let mut watch = Watch { nap: SHORTEST_NAP, alert: 0, departures: 0, seen: None };
    loop {
        let verdict = pool.books().inspect(now(), PATIENCE);
        match verdict {
            Verdict::Over => return,
            Verdict::Lead => lead(pool),
            Verdict::Fine => watch.all_is_well(pool),
            Verdict::Suspect(suspect) => watch.suspect(pool, suspect),
            Verdict::Summon(_) => unreachable!("an inspection finds, it does not summon"),
        }
    }
}

fn lead<I: Interpreter, R: Reactor>(pool: &Arc<Pool<I, R>>) {
    pool.lead();
    let summons = pool.books().watchdog_left(now());
    pool.follow(summons);
}

/// What the watchdog remembers between two looks.
struct Watch {
    nap: Duration,
    /// Looks for which it goes on napping shortly, because threads have blocked lately.
    alert: u32,
    departures: u64,
    seen: Option<Look>,
}

#[derive(Clone, Copy)]
struct Look {
    suspect: Suspect,
    at: Moment,
    cpu: Duration,
    /// CPU time at the first look at the same job, if this is not the first.
    cpu_at_first: Option<Duration>,
}

impl Watch {
    fn all_is_well<I: Interpreter, R: Reactor>(&mut self, pool: &Pool<I, R>) {
        let (led, departures) = {
            let books = pool.books();
            (books.is_led(), books.departures())
        };
        let quiet = led && departures == self.departures;
        self.departures = departures;
        if !quiet {
            return self.nap(pool);
        }
        self.seen = None;
        self.nap = SHORTEST_NAP;
        pool.watchdog.sleep_unless(|| {
            let books = pool.books();
            !books.is_led() || books.departures() != departures
        });
    }

    fn suspect<I: Interpreter, R: Reactor>(&mut self, pool: &Arc<Pool<I, R>>, suspect: Suspect) {
        let mut look = Look { suspect, at: now(), cpu: cpu_of(pool, suspect.thread), cpu_at_first: None };
        look.cpu_at_first = match self.seen {
            Some(before) if before.suspect == suspect => before.cpu_at_first.or(Some(before.cpu)),
            _ => None,
        };
        let finding = self.seen.replace(look).and_then(|before| before.compare(&look));
        let Some(mut finding) = finding else { return pool.watchdog.nap(SECOND_LOOK) };
        if finding == Finding::Blocked && is_kept_from_running(pool, suspect.thread) {
            finding = Finding::Computing;
        }
        if finding == Finding::Blocked {
            self.alert = ALERT_FOR;
            self.nap = SHORTEST_NAP;
        }
        let verdict = pool.books().judge(suspect, finding);
        match verdict {
            Verdict::Summon(summons) => pool.follow(Some(summons)),
            Verdict::Lead => lead(pool),
            Verdict::Fine | Verdict::Suspect(_) | Verdict::Over => self.nap(pool),
        }
    }

    /// Each look costs a context switch: the longer all is well, the fewer.
    fn nap<I: Interpreter, R: Reactor>(&mut self, pool: &Pool<I, R>) {
        pool.watchdog.nap(self.nap);
        self.alert = self.alert.saturating_sub(1);
        if self.alert == 0 {
            self.nap = (self.nap * 2).min(LONGEST_NAP);
        }
    }
}

impl Look {
    /// CPU time that the suspect's present job has used since it was first looked at. Wall time would count what other
    /// processes took from it.
    fn computed(&self) -> Duration {
        self.cpu_at_first.map_or(Duration::ZERO, |first| self.cpu.saturating_sub(first))
    }

    /// What the suspect of a later look has done since this one; `None`: that takes another look.
    fn compare(&self, later: &Self) -> Option<Finding> {
        if self.suspect.thread != later.suspect.thread {
            return None;
        }
        let wall = later.at.duration_since(self.at);
        let cpu = later.cpu.saturating_sub(self.cpu);
        if self.suspect == later.suspect && cpu * 4 < wall {
            Some(Finding::Blocked)
        } else if self.suspect != later.suspect && wall.saturating_sub(cpu) >= SECOND_LOOK {
            // It was off its processor at times, but perhaps before what it does now.
            None
        } else if later.computed() > PATIENCE_FOR_COMPUTING {
            Some(Finding::ComputingLong)
        } else {
            Some(Finding::Computing)
        }
    }
}

fn cpu_of<I: Interpreter, R: Reactor>(pool: &Pool<I, R>, thread: ThreadId) -> Duration {
    guess_cpu_time().or_else(|| pool.clock_of(thread).and_then(CpuClock::read)).unwrap_or_default()
}

/// Whether a thread that uses little CPU time would use more if the machine were less busy.
fn is_kept_from_running<I: Interpreter, R: Reactor>(pool: &Pool<I, R>, thread: ThreadId) -> bool {
    guess_cpu_time().is_none() && pool.clock_of(thread).and_then(CpuClock::is_runnable).unwrap_or(false)
}

/// How long the reactor may be without a driver before the watchdog asks why.
const PATIENCE: Duration = Duration::from_micros(500);
/// Between the two looks that tell blocked from computing.
const SECOND_LOOK: Duration = Duration::from_micros(250);
/// How long a job may compute before somebody else drives the reactor.
const PATIENCE_FOR_COMPUTING: Duration = Duration::from_millis(5);
/// Between two looks while threads have blocked lately.
const SHORTEST_NAP: Duration = Duration::from_micros(500);
/// Between two looks while jobs run and none has blocked for long.
const LONGEST_NAP: Duration = Duration::from_millis(4);
/// Some 100 milliseconds.
const ALERT_FOR: u32 = 200;
