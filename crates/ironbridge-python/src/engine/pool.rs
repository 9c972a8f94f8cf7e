//! The pool of Python threads and the lock around the [`Scheduler`]: everything that moves.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use super::{
    parker::Parker,
    reactor::Reactor,
    roll::Roll,
    scheduler::{Order, Policy, Scheduler, Summons, ThreadId, Turn, WaitBy},
    stopwatch::Stopwatch,
    sync::{Mutex, MutexGuard, now},
    sys::CpuClock,
    wakes::Wakes,
    watchdog,
};

/// What runs jobs: Python, or a model of it.
pub trait Interpreter: Send + Sync + 'static {
    /// A request that is ready to run.
    type Job: Send + 'static;

    /// Wraps a pool thread's whole life, so that it keeps its interpreter state; the body runs detached.
    fn live(&self, body: impl FnOnce() + Send);

    /// Attaches pool thread `me` while `body` runs, and gives it what runs one job. Jobs never unwind.
    fn attach<R>(&self, me: ThreadId, body: impl FnOnce(&mut dyn FnMut(Self::Job)) -> R) -> R;
}

/// The engine's shared part.
pub struct Pool<I: Interpreter, R: Reactor> {
    pub(crate) interpreter: I,
    pub(crate) reactor: R,
    books: Mutex<Scheduler<I::Job>>,
    berths: Vec<Berth>,
    pub(crate) watchdog: watchdog::Post,
    wakes: Wakes,
    idle_timeout: Duration,
    roll: Arc<Roll>,
}

/// One pool thread's place.
#[derive(Default)]
struct Berth {
    parker: Parker,
    clock: Mutex<Option<CpuClock>>,
}

impl<I: Interpreter, R: Reactor> Pool<I, R> {
    pub(crate) fn new(interpreter: I, reactor: R, policy: Policy, idle_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            interpreter,
            reactor,
            books: Mutex::new(Scheduler::new(policy, now())),
            berths: (0..policy.threads).map(|_| Berth::default()).collect(),
            watchdog: watchdog::Post::default(),
            wakes: Wakes::default(),
            idle_timeout,
            roll: Arc::default(),
        })
    }

    /// Starts the first thread and the watchdog.
    ///
    /// # Panics
    /// When the system has no threads to give.
    pub(crate) fn start(self: &Arc<Self>) {
        let summons = self.books().start();
        self.follow(summons);
        let pool = Arc::clone(self);
        let begun = self.roll.spawn("ironbridge-watchdog".to_owned(), move || watchdog::run(&pool));
        assert!(
            begun.is_ok() && self.books().alive() > 0,
            "cannot start threads; see the system's limits on them"
        );
    }

    /// Takes a job in, from inside the reactor.
    ///
    /// # Errors
    /// Gives the job back when the queue is full or the engine stops.
    pub(crate) fn submit(&self, job: I::Job) -> Result<(), I::Job> {
        let look = self.books().push(job)?;
        if look {
            self.reactor.nudge();
        }
        Ok(())
    }

    /// Takes the jobs out of the queue that `expired` names; it is asked once about each.
    pub(crate) fn sweep(&self, mut expired: impl FnMut(&I::Job) -> bool) -> Vec<I::Job> {
        let mut books = self.books();
        let jobs = books.jobs_mut();
        let mut out = Vec::new();
        for _ in 0..jobs.len() {
            match jobs.pop_front() {
                Some(job) if expired(&job) => out.push(job),
                Some(job) => jobs.push_back(job),
                None => break,
            }
        }
        out
    }

    /// Wakes a connection's task; from a thread that is about to lead, this is free of system calls.
    pub(crate) fn wake(&self, waker: Waker) {
        // Whoever becomes leader empties the list before anything else; a leader that is there already must be told.
        if self.wakes.push(waker) && self.books().is_led() {
            self.reactor.nudge();
        }
    }

    /// Waits on a pool thread that runs a job and is detached, driving the reactor if nobody else does.
    pub(crate) fn wait<T>(
        self: &Arc<Self>,
        me: ThreadId,
        mut done: impl FnMut(&mut Context<'_>, WaitBy) -> Poll<T>,
    ) -> T {
        let (mut by, summons) = self.books().begin_wait(me, now());
        self.follow(summons);
        let value = loop {
            match by {
                WaitBy::Parking => break Self::park_until(done),
                WaitBy::Leading => match self.drive_until(&mut done) {
                    Some(value) => break value,
                    None => {
                        let (next, summons) = self.books().hand_over(me);
                        self.follow(summons);
                        by = next;
                    }
                },
            }
        };
        let unled = self.books().end_wait(me, now());
        if unled {
            self.watchdog.on_departure();
        }
        value
    }

    /// Drives the reactor until `done` is ready, or until somebody else is to drive it (`None`).
    fn drive_until<T>(
        self: &Arc<Self>,
        done: &mut impl FnMut(&mut Context<'_>, WaitBy) -> Poll<T>,
    ) -> Option<T> {
        self.reactor.drive(|cx| {
            self.wakes.wake_all();
            match done(cx, WaitBy::Leading) {
                Poll::Ready(value) => Poll::Ready(Some(value)),
                Poll::Pending => self.take_turn().map(|()| None),
            }
        })
    }

    /// Ends the pool; jobs that wait are handed back. [`Pool::join`] waits for those that run.
    pub(crate) fn stop(self: &Arc<Self>) -> Vec<I::Job> {
        let (jobs, summons) = self.books().stop();
        for summons in summons {
            self.dispatch(summons);
        }
        jobs
    }

    /// Waits until every thread has ended, but no longer than `patience`; returns how many have not.
    pub(crate) fn join(&self, patience: Duration) -> usize {
        self.roll.wait_for_all(patience)
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Scheduler<I::Job>> {
        self.books.lock().expect("no code panics under this lock")
    }

    /// The CPU clock of a pool thread, once it has begun.
    pub(crate) fn clock_of(&self, thread: ThreadId) -> Option<CpuClock> {
        *self.berths[thread].clock.lock().expect("no code panics under this lock")
    }

    /// Drives the reactor as its leader until the books say otherwise.
    pub(crate) fn lead(self: &Arc<Self>) {
        self.reactor.drive(|_| {
            self.wakes.wake_all();
            self.take_turn()
        });
    }

    /// Ready: the leader is to leave the reactor.
    fn take_turn(self: &Arc<Self>) -> Poll<()> {
        loop {
            let (turn, summons) = self.books().turn();
            self.follow(summons);
            match (turn, summons) {
                (Turn::Leave, _) => return Poll::Ready(()),
                (Turn::Stay, Some(Summons::Wake(_) | Summons::Spawn(_))) => {}
                (Turn::Stay, _) => return Poll::Pending,
            }
        }
    }

    pub(crate) fn follow(self: &Arc<Self>, summons: Option<Summons>) {
        if let Some(summons) = summons {
            self.dispatch(summons);
        }
    }

    fn dispatch(self: &Arc<Self>, summons: Summons) {
        match summons {
            Summons::Wake(id) => self.berths[id].parker.unpark(),
            Summons::Leader => self.reactor.nudge(),
            Summons::Watchdog => self.watchdog.call(),
            Summons::Spawn(id) => {
                let pool = Arc::clone(self);
                if let Err(error) = self.roll.spawn(format!("ironbridge-{id}"), move || pool.thread_main(id))
                {
                    self.go_without(id, &error);
                }
            }
        }
    }

    /// The system gave no thread: those that there are do the work.
    fn go_without(self: &Arc<Self>, id: ThreadId, error: &std::io::Error) {
        tracing::warn!(%error, "cannot start a Python thread; see the system's limits on processes and tasks");
        let summons = self.books().spawn_failed(id);
        self.follow(summons);
    }

    fn thread_main(self: Arc<Self>, me: ThreadId) {
        *self.berths[me].clock.lock().expect("no code panics under this lock") = CpuClock::of_this_thread();
        // Leading needs no interpreter, and the one that exists may be held by native code: it is for its first job that a thread
        // becomes one of Python's.
        let order = self.books().report(me);
        if self.until_job(me, order) {
            self.interpreter.live(|| self.do_jobs(me));
        }
    }

    /// Does what needs no interpreter until there is a job (`true`), or until the thread is to end.
    fn until_job(self: &Arc<Self>, me: ThreadId, mut order: Order<I::Job>) -> bool {
        loop {
            order = match order {
                Order::Lead => self.lead_and_leave(me),
                Order::Park => self.park(me),
                Order::Attach => return true,
                Order::Exit => return false,
                Order::Run(_) => unreachable!("jobs are given to threads that are attached"),
            };
        }
    }

    fn do_jobs(self: &Arc<Self>, me: ThreadId) {
        let mut watch = Stopwatch::new();
        loop {
            let order = self.work(me, &mut watch);
            if !self.until_job(me, order) {
                return;
            }
        }
    }

    fn lead_and_leave(self: &Arc<Self>, me: ThreadId) -> Order<I::Job> {
        self.lead();
        let order = self.ask(|books| books.leave(me, now()));
        self.watchdog.on_departure();
        order
    }

    /// Attaches, and runs jobs until there is something else to do.
    fn work(self: &Arc<Self>, me: ThreadId, watch: &mut Stopwatch) -> Order<I::Job> {
        self.interpreter.attach(me, |run| {
            let mut order = self.ask(|books| books.attached(me));
            watch.restart();
            while let Order::Run(job) = order {
                run(job);
                let (times, now) = watch.lap();
                order = self.ask(|books| books.finished(me, times, now));
            }
            order
        })
    }

    fn ask(
        self: &Arc<Self>,
        question: impl FnOnce(&mut Scheduler<I::Job>) -> (Order<I::Job>, Option<Summons>),
    ) -> Order<I::Job> {
        let (order, summons) = question(&mut self.books());
        self.follow(summons);
        order
    }

    fn park(&self, me: ThreadId) -> Order<I::Job> {
        loop {
            let called = self.berths[me].parker.park(Some(self.idle_timeout));
            let mut books = self.books();
            if !called && books.retire(me) {
                return Order::Exit;
            }
            match books.report(me) {
                Order::Park => {}
                order => return order,
            }
        }
    }

    /// Waits on a thread that is not the pool's: somebody of the pool drives.
    pub(crate) fn park_until<T>(mut done: impl FnMut(&mut Context<'_>, WaitBy) -> Poll<T>) -> T {
        struct Unpark(Parker);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let place = Arc::new(Unpark(Parker::default()));
        let waker = Waker::from(Arc::clone(&place));
        loop {
            if let Poll::Ready(value) = done(&mut Context::from_waker(&waker), WaitBy::Parking) {
                return value;
            }
            place.0.park(None);
        }
    }
}
