//! The pool of Python threads and the lock around the [`Scheduler`]: everything that moves.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use super::{
    parker::Parker,
    reactor::Reactor,
    roll::Roll,
    scheduler::{Order, Policy, Scheduler, Summons, ThreadId, Turn, WaitBy},
    stopwatch::Stopwatch,
    sync::{Mutex, MutexGuard},
    sys::CpuClock,
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
    wakes: Mutex<Wakes>,
    idle_timeout: Duration,
    roll: Arc<Roll>,
}

/// One pool thread's place.
#[derive(Default)]
struct Berth {
    parker: Parker,
    clock: Mutex<Option<CpuClock>>,
}

/// Connection tasks that are to be woken from inside the reactor.
#[derive(Default)]
struct Wakes {
    waiting: Vec<Waker>,
    spare: Vec<Waker>,
}

impl<I: Interpreter, R: Reactor> Pool<I, R> {
    pub(crate) fn new(interpreter: I, reactor: R, policy: Policy, idle_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            interpreter,
            reactor,
            books: Mutex::new(Scheduler::new(policy, Instant::now())),
            berths: (0..policy.threads).map(|_| Berth::default()).collect(),
            watchdog: watchdog::Post::default(),
            wakes: Mutex::default(),
            idle_timeout,
            roll: Arc::default(),
        })
    }

    pub(crate) fn start(self: &Arc<Self>) {
        let summons = self.books().start();
        self.follow(summons);
        let pool = Arc::clone(self);
        self.roll.spawn("ironbridge-watchdog".to_owned(), move || watchdog::run(&pool));
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

    /// Takes jobs that `expired` says so out of the queue.
    pub(crate) fn sweep(&self, mut expired: impl FnMut(&I::Job) -> bool) -> Vec<I::Job> {
        let mut books = self.books();
        let jobs = books.jobs_mut();
        let mut out = Vec::new();
        // The queue is in order of age: the first that has not expired ends the search.
        while jobs.front().is_some_and(&mut expired) {
            out.extend(jobs.pop_front());
        }
        out
    }

    /// Wakes a connection's task; from a thread that is about to lead, this is free of system calls.
    pub(crate) fn wake(&self, waker: Waker) {
        let first = {
            let mut wakes = self.wakes.lock().expect("no code panics under this lock");
            wakes.waiting.push(waker);
            wakes.waiting.len() == 1
        };
        // Whoever becomes leader empties the list before anything else; a leader that is there already must be told.
        if first && self.books().is_led() {
            self.reactor.nudge();
        }
    }

    /// Waits on a pool thread that runs a job and is detached, driving the reactor if nobody else does.
    pub(crate) fn wait<T>(
        self: &Arc<Self>,
        me: ThreadId,
        mut done: impl FnMut(&mut Context<'_>, WaitBy) -> Poll<T>,
    ) -> T {
        let (by, summons) = self.books().begin_wait(me);
        self.follow(summons);
        let value = match by {
            WaitBy::Leading => self.reactor.drive(|cx| {
                self.empty_wakes();
                let (_, summons) = self.books().turn(Instant::now());
                self.follow(summons);
                done(cx, WaitBy::Leading)
            }),
            WaitBy::Parking => Self::park_until(done),
        };
        self.books().end_wait(me, Instant::now());
        value
    }

    /// Ends the pool; jobs that wait are handed back. [`Pool::join`] waits for those that run.
    pub(crate) fn stop(self: &Arc<Self>) -> Vec<I::Job> {
        let (jobs, summons) = self.books().stop();
        self.watchdog.stop();
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
    pub(crate) fn lead(self: &Arc<Self>) -> Order<I::Job> {
        let order = self.reactor.drive(|_| {
            self.empty_wakes();
            let (turn, summons) = self.books().turn(Instant::now());
            self.follow(summons);
            match turn {
                Turn::Stay => Poll::Pending,
                Turn::Leave(order) => Poll::Ready(order),
            }
        });
        if matches!(order, Order::Run(_)) {
            self.watchdog.on_departure();
        }
        order
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
                self.roll.spawn(format!("ironbridge-{id}"), move || pool.thread_main(id));
            }
        }
    }

    fn empty_wakes(&self) {
        let mut batch = {
            let mut wakes = self.wakes.lock().expect("no code panics under this lock");
            if wakes.waiting.is_empty() {
                return;
            }
            let spare = std::mem::take(&mut wakes.spare);
            std::mem::replace(&mut wakes.waiting, spare)
        };
        batch.drain(..).for_each(Waker::wake);
        self.wakes.lock().expect("no code panics under this lock").spare = batch;
    }

    fn thread_main(self: Arc<Self>, me: ThreadId) {
        *self.berths[me].clock.lock().expect("no code panics under this lock") = CpuClock::of_this_thread();
        self.interpreter.live(|| {
            let mut watch = Stopwatch::new();
            let mut order = self.books().report(me);
            loop {
                order = match order {
                    Order::Lead => self.lead(),
                    Order::Run(job) => self.work(me, &mut watch, Some(job)),
                    Order::Attach => self.work(me, &mut watch, None),
                    Order::Park => self.park(me),
                    Order::Exit => break,
                };
            }
        });
    }

    /// Attaches, and runs jobs until there is something else to do. Without a first job, one is asked for once attached.
    fn work(self: &Arc<Self>, me: ThreadId, watch: &mut Stopwatch, first: Option<I::Job>) -> Order<I::Job> {
        self.interpreter.attach(me, |run| {
            let mut order = match first {
                Some(job) => Order::Run(job),
                None => self.ask(|books| books.attached(me)),
            };
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
