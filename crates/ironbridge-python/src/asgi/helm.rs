//! Who drives the reactor where an event loop runs: the loop's own thread while it waits, a helper while it is busy.
//!
//! The event loop's thread comes here whenever it would sleep. While it runs Python for longer than [`PATIENCE`], the helper,
//! one plain thread that never touches Python, drives in its place, so that I/O goes on whatever the application does.
//!
//! A loop of another kind (uvloop's) waits elsewhere and never comes here. Then the helper always drives, and a [`Bell`], which
//! the loop watches as one of its files, tells the loop once for each batch of notices.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

use super::{bell::Bell, desk::Notice};
use crate::engine::{
    moment::Moment,
    parker::Parker,
    reactor::{Reactor, TokioReactor},
    wakes::Wakes,
};

/// The reactor, who drives it, and what waits for the event loop.
pub struct Helm {
    /// What is driven.
    pub reactor: TokioReactor,
    wakes: Wakes,
    /// The event loop sees to a batch of notices, and will tell the helper of all that it wakes at once.
    in_batch: AtomicBool,
    inbox: Mutex<Inbox>,
    bell: OnceLock<Bell>,
    lead: Mutex<Lead>,
    changed: Condvar,
    /// Somebody drives. Set under the lock of `lead`.
    is_led: AtomicBool,
    /// The event loop waits for the helper to leave the reactor.
    wanted: AtomicBool,
    departures: AtomicU64,
    helper: Parker,
    helper_sleeps: AtomicBool,
    stalls: OnceLock<Stalls>,
}

/// What waits for the event loop.
#[derive(Default)]
struct Inbox {
    notices: VecDeque<Notice>,
    /// Since when notices wait, where a bell tells of them.
    since: Option<Moment>,
}

/// What happens when the event loop is busy for long.
struct Stalls {
    patience: Duration,
    report: Box<dyn Fn() + Send + Sync>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lead {
    Vacant {
        since: Moment,
    },
    Loop,
    Helper,
    /// The event loop has ended, and so does the helper.
    Over,
}

impl Helm {
    /// Takes a reactor over; nobody drives it yet.
    pub fn new(reactor: TokioReactor) -> Self {
        Self {
            reactor,
            wakes: Wakes::default(),
            in_batch: AtomicBool::new(false),
            inbox: Mutex::default(),
            bell: OnceLock::new(),
            lead: Mutex::new(Lead::Vacant { since: Moment::now() }),
            changed: Condvar::new(),
            is_led: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            departures: AtomicU64::new(0),
            helper: Parker::default(),
            helper_sleeps: AtomicBool::new(false),
            stalls: OnceLock::new(),
        }
    }

    /// Leaves a notice for the event loop.
    pub fn post(&self, notice: Notice) {
        let bell = self.bell.get();
        let first = {
            let mut inbox = self.inbox();
            inbox.notices.push_back(notice);
            let first = inbox.notices.len() == 1;
            if first && bell.is_some() {
                inbox.since = Some(Moment::now());
            }
            first
        };
        match bell {
            _ if !first => {}
            Some(bell) => bell.ring(),
            // Whoever comes to drive looks at the inbox first.
            None if self.is_led.load(Ordering::SeqCst) => self.reactor.nudge(),
            None => {}
        }
    }

    /// The oldest notice.
    pub fn take_notice(&self) -> Option<Notice> {
        let mut inbox = self.inbox();
        let notice = inbox.notices.pop_front();
        if inbox.notices.is_empty() {
            inbox.since = None;
        }
        notice
    }

    /// Whether notices wait.
    pub fn has_notices(&self) -> bool {
        !self.inbox().notices.is_empty()
    }

    /// From now on the loop is told of notices by the bell, which it has to watch; the helper drives.
    ///
    /// # Errors
    /// The system's, when it has no descriptors left.
    pub fn hang_bell(&self) -> io::Result<&Bell> {
        let bell = Bell::new()?;
        Ok(self.bell.get_or_init(|| bell))
    }

    /// The bell, where there is one.
    pub fn bell(&self) -> Option<&Bell> {
        self.bell.get()
    }

    /// Wakes a task of the reactor; from the event loop's thread this is free of system calls.
    pub fn wake(&self, waker: Waker) {
        if self.wakes.push(waker)
            && !self.in_batch.load(Ordering::SeqCst)
            && self.is_led.load(Ordering::SeqCst)
        {
            self.reactor.nudge();
        }
    }

    /// Runs `body`, which wakes tasks, on the thread of a loop that the bell tells; the helper hears of all of them at once.
    pub fn batch<R>(&self, body: impl FnOnce() -> R) -> R {
        self.in_batch.store(true, Ordering::SeqCst);
        let result = body();
        self.in_batch.store(false, Ordering::SeqCst);
        self.reactor.nudge();
        result
    }

    /// Drives the reactor on the event loop's thread until `done` is ready. The caller is detached from Python.
    pub fn drive<R>(&self, mut done: impl FnMut(&mut Context<'_>) -> Poll<R>) -> R {
        self.begin();
        let value = self.reactor.drive(|cx| {
            self.wakes.wake_all();
            done(cx)
        });
        self.end();
        value
    }

    /// From now on `report` is called, once each time, when the event loop has been busy for `patience`.
    pub fn watch_stalls(&self, patience: Duration, report: Box<dyn Fn() + Send + Sync>) {
        let _ = self.stalls.set(Stalls { patience, report });
        // The helper may drive already.
        self.reactor.nudge();
    }

    /// Whether the event loop is busy and somebody else drives.
    pub fn is_stalled(&self) -> bool {
        match self.bell() {
            Some(_) => self.has_notices(),
            None => *self.lead() == Lead::Helper,
        }
    }

    /// The event loop has ended.
    pub fn finish(&self) {
        *self.recall() = Lead::Over;
        self.helper.unpark();
    }

    /// The helper's life.
    pub fn help(&self) {
        let mut nap = SHORTEST_NAP;
        let mut seen = self.departures.load(Ordering::SeqCst);
        let mut quiet = 0;
        loop {
            match self.look() {
                Look::Over => return,
                Look::Drive => {
                    self.stand_in();
                    nap = SHORTEST_NAP;
                }
                Look::Fine => {
                    let departures = self.departures.load(Ordering::SeqCst);
                    quiet = if departures == seen { quiet + 1 } else { 0 };
                    seen = departures;
                    if quiet >= LOOKS_BEFORE_SLEEP && self.sleep(departures) {
                        quiet = 0;
                        nap = SHORTEST_NAP;
                        continue;
                    }
                    self.helper.park(Some(nap));
                    nap = (nap * 2).min(LONGEST_NAP);
                }
            }
        }
    }

    fn begin(&self) {
        *self.recall() = Lead::Loop;
        self.is_led.store(true, Ordering::SeqCst);
    }

    /// Sees to it that the helper does not drive; as long as the lock is held it does not begin to.
    fn recall(&self) -> MutexGuard<'_, Lead> {
        let mut lead = self.lead();
        if *lead == Lead::Helper {
            // Until the event loop has its turn, the helper takes none, however long that is in waking up.
            self.wanted.store(true, Ordering::SeqCst);
            self.reactor.nudge();
            while *lead == Lead::Helper {
                lead = self.changed.wait(lead).unwrap_or_else(PoisonError::into_inner);
            }
            self.wanted.store(false, Ordering::SeqCst);
        }
        lead
    }

    fn end(&self) {
        let mut lead = self.lead();
        *lead = Lead::Vacant { since: Moment::now() };
        self.is_led.store(false, Ordering::SeqCst);
        drop(lead);
        self.departures.fetch_add(1, Ordering::SeqCst);
        if self.helper_sleeps.load(Ordering::SeqCst) && self.helper_sleeps.swap(false, Ordering::SeqCst) {
            self.helper.unpark();
        }
    }

    fn look(&self) -> Look {
        let mut lead = self.lead();
        match *lead {
            Lead::Over => Look::Over,
            Lead::Vacant { .. } if self.wanted.load(Ordering::SeqCst) => Look::Fine,
            Lead::Vacant { since } if Moment::now().duration_since(since) >= PATIENCE => {
                *lead = Lead::Helper;
                self.is_led.store(true, Ordering::SeqCst);
                Look::Drive
            }
            Lead::Vacant { .. } | Lead::Loop | Lead::Helper => Look::Fine,
        }
    }

    /// Drives until the event loop wants to.
    fn stand_in(&self) {
        let mut alarm: Option<Pin<Box<Sleep>>> = None;
        let mut is_reported = false;
        self.reactor.drive(|cx| {
            self.wakes.wake_all();
            if self.wanted.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            let Some(stalls) = self.stalls.get() else { return Poll::Pending };
            let alarm = alarm.get_or_insert_with(|| Box::pin(sleep(stalls.patience)));
            while alarm.as_mut().poll(cx).is_ready() {
                let is_stalled = self.is_stalled_for(stalls.patience);
                if is_stalled && !is_reported {
                    (stalls.report)();
                }
                is_reported = is_stalled;
                alarm.as_mut().reset(Instant::now() + stalls.patience);
            }
            Poll::Pending
        });
        let mut lead = self.lead();
        *lead = Lead::Vacant { since: Moment::now() };
        self.is_led.store(false, Ordering::SeqCst);
        drop(lead);
        self.changed.notify_all();
    }

    /// Whether the event loop has been busy for so long, as far as the helper, which drives, can tell.
    fn is_stalled_for(&self, patience: Duration) -> bool {
        match self.bell() {
            Some(_) => {
                self.inbox().since.is_some_and(|since| Moment::now().duration_since(since) >= patience / 2)
            }
            None => true,
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Nothing that can panic runs under this lock.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until the event loop leaves the reactor. `false`: it has just done so.
    fn sleep(&self, departures: u64) -> bool {
        self.helper_sleeps.store(true, Ordering::SeqCst);
        let is_quiet = self.departures.load(Ordering::SeqCst) == departures && *self.lead() == Lead::Loop;
        if !is_quiet {
            self.helper_sleeps.store(false, Ordering::SeqCst);
            return false;
        }
        self.helper.park(None);
        self.helper_sleeps.store(false, Ordering::SeqCst);
        true
    }

    fn lead(&self) -> MutexGuard<'_, Lead> {
        // Nothing that can panic runs under this lock.
        self.lead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the helper finds.
enum Look {
    /// Nothing to do.
    Fine,
    /// The event loop has been busy for long.
    Drive,
    /// It has ended.
    Over,
}

/// How long the event loop may be busy before somebody else sees to I/O: longer than it sees to requests at a stretch.
const PATIENCE: Duration = Duration::from_millis(2);
/// Between two looks of the helper: at first, and at most.
const SHORTEST_NAP: Duration = Duration::from_micros(500);
const LONGEST_NAP: Duration = Duration::from_millis(4);
/// Looks in a row that find the event loop asleep, until the helper sleeps as well.
const LOOKS_BEFORE_SLEEP: u32 = 8;

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    fn helm() -> Arc<Helm> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Arc::new(Helm::new(TokioReactor::new(runtime)))
    }

    fn with_helper(helm: &Arc<Helm>, test: impl FnOnce()) {
        let helper = thread::spawn({
            let helm = Arc::clone(helm);
            move || helm.help()
        });
        test();
        helm.finish();
        helper.join().unwrap();
    }

    /// Is done as soon as it is polled in the reactor.
    fn turn(helm: &Helm) {
        helm.drive(|_| Poll::Ready(()));
    }

    #[test]
    fn the_reactor_is_driven_while_the_loop_is_busy() {
        let helm = helm();
        let (done, came) = std::sync::mpsc::channel();
        with_helper(&helm, || {
            turn(&helm);
            helm.reactor.spawn(async move {
                sleep(Duration::from_millis(5)).await;
                done.send(()).unwrap();
            });
            // This thread does nothing for the reactor meanwhile.
            came.recv_timeout(Duration::from_secs(10)).unwrap();
            turn(&helm);
        });
    }

    #[test]
    fn the_loop_always_gets_its_turn_however_long_it_is_busy() {
        let helm = helm();
        with_helper(&helm, || {
            for round in 0..300 {
                turn(&helm);
                // Around the helper's patience, so that it has begun, begins, or is about to.
                thread::sleep(Duration::from_micros(1700 + 10 * (round % 80)));
            }
        });
    }

    #[test]
    fn tasks_woken_while_nobody_drives_are_woken_by_whoever_does_next() {
        let helm = helm();
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<Waker>();
        helm.reactor.spawn(async move {
            let mut first = true;
            std::future::poll_fn(|cx| {
                if std::mem::take(&mut first) {
                    sender.send(cx.waker().clone()).unwrap();
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
            drop(sender);
        });
        let waker = helm.drive(|cx| receiver.poll_recv(cx)).unwrap();
        helm.wake(waker);
        assert!(helm.drive(|cx| receiver.poll_recv(cx)).is_none(), "the task has ended");
    }
}
