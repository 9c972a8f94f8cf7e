//! Who leads the reactor, who runs which job, who sleeps: the engine's decisions, as one plain state machine.
//!
//! No clock, lock, thread or interpreter in here. Callers hold the engine's lock, pass the time in, and carry out
//! what they are told: [`Order`]s for themselves, [`Summons`] for others.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::regime::{JobTimes, Regime};

/// Numbers a pool thread within its engine, from 0.
pub type ThreadId = usize;

/// What a pool thread does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Order<J> {
    /// Drive the reactor; leadership is already entered in the books.
    Lead,
    /// Attach to the interpreter, then ask [`Scheduler::attached`].
    Attach,
    /// Run this job; the interpreter is attached, or is to be attached now by the leader that left.
    Run(J),
    /// Sleep until summoned.
    Park,
    /// End the thread.
    Exit,
}

/// Whom the caller has to wake, after releasing the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summons {
    /// Unpark this sleeping thread.
    Wake(ThreadId),
    /// Start this thread.
    Spawn(ThreadId),
    /// Nudge whoever is inside the reactor, so that its turn is taken again.
    Leader,
    /// Unpark the watchdog: it has to lead.
    Watchdog,
}

/// What the leader does after looking at the books from inside the reactor.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn<J> {
    /// Go on driving I/O.
    Stay,
    /// Leave the reactor and follow the order.
    Leave(Order<J>),
}

/// How a thread that must wait for its client does so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitBy {
    /// Drive the reactor meanwhile.
    Leading,
    /// Sleep; somebody else drives.
    Parking,
}

/// What the watchdog is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Fine,
    /// This thread left the reactor a while ago: look at its CPU clock.
    Suspect {
        /// The thread that left.
        thread: ThreadId,
        /// Numbers jobs; two looks with the same number see the same job.
        job: u64,
        /// Since when nobody drives the reactor.
        since: Instant,
    },
    /// Drive the reactor yourself (I/O only).
    Lead,
    /// Somebody has been found to lead; summon it.
    Summon(Summons),
}

/// How a suspect spends its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It computes, and has done so for less than the patience for computing.
    Computing,
    /// It computes and the patience is over.
    ComputingLong,
    /// It sleeps in the kernel.
    Blocked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leader {
    /// A pool thread that may leave to run jobs.
    Thread(ThreadId),
    /// A pool thread that waits for its client; it can only pass jobs on.
    Waiting(ThreadId),
    Watchdog,
    Vacant { left_by: ThreadId, since: Instant },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Absent,
    Parked,
    /// Summoned to attach, or attaching.
    Attaching,
    Leading,
    Running { blocked: bool, job: u64 },
    /// Woken to lead.
    Called,
}

/// Limits and policy; see [`Scheduler::new`].
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Most pool threads.
    pub threads: usize,
    /// Most jobs that wait.
    pub queue: usize,
    /// Whether one thread at a time holds the interpreter (a GIL).
    pub exclusive: bool,
    /// How long a leader runs jobs before it looks at I/O again.
    pub slice: Duration,
}

/// The books. `J` is whatever stands for a request that is ready to run.
#[derive(Debug)]
pub struct Scheduler<J> {
    policy: Policy,
    leader: Leader,
    phases: Vec<Phase>,
    orders: Vec<Option<Assignment>>,
    idle: Vec<ThreadId>,
    jobs: VecDeque<J>,
    attaching: usize,
    running: usize,
    blocked: usize,
    job_count: u64,
    regime: Regime,
    stopping: bool,
}

#[derive(Debug, Clone, Copy)]
enum Assignment {
    Lead,
    Attach,
    Exit,
}

impl<J> Scheduler<J> {
    /// Empty books. The first thread is started by [`Scheduler::start`].
    pub fn new(policy: Policy, now: Instant) -> Self {
        assert!(policy.threads > 0, "a pool has at least one thread");
        Self {
            policy,
            leader: Leader::Vacant { left_by: 0, since: now },
            phases: vec![Phase::Absent; policy.threads],
            orders: vec![None; policy.threads],
            idle: Vec::with_capacity(policy.threads),
            jobs: VecDeque::new(),
            attaching: 0,
            running: 0,
            blocked: 0,
            job_count: 0,
            regime: Regime::default(),
            stopping: false,
        }
    }

    /// Appoints the first leader.
    pub fn start(&mut self) -> Option<Summons> {
        self.call_leader()
    }

    /// Takes a job in. `Ok(true)`: the leader has to look at the books ([`Scheduler::turn`]).
    ///
    /// # Errors
    /// Gives the job back when the queue is full or the engine stops.
    pub fn push(&mut self, job: J) -> Result<bool, J> {
        if self.jobs.len() >= self.policy.queue || self.stopping {
            return Err(job);
        }
        self.jobs.push_back(job);
        Ok(self.jobs.len() == 1)
    }

    /// The jobs that wait, oldest first.
    pub fn jobs_mut(&mut self) -> &mut VecDeque<J> {
        &mut self.jobs
    }

    /// The leader looks at the books from inside the reactor.
    pub fn turn(&mut self, now: Instant) -> (Turn<J>, Option<Summons>) {
        match self.leader {
            Leader::Thread(me) => self.turn_of_thread(me, now),
            Leader::Waiting(_) => (Turn::Stay, self.summon_helper()),
            Leader::Watchdog => self.turn_of_watchdog(now),
            Leader::Vacant { .. } => unreachable!("only a leader takes a turn"),
        }
    }

    fn turn_of_thread(&mut self, me: ThreadId, now: Instant) -> (Turn<J>, Option<Summons>) {
        if self.stopping {
            self.leader = Leader::Vacant { left_by: me, since: now };
            self.phases[me] = Phase::Absent;
            return (Turn::Leave(Order::Exit), self.dismiss_one());
        }
        if self.jobs.is_empty() {
            return (Turn::Stay, None);
        }
        if self.may_run_inline() {
            return (Turn::Leave(self.leave_to_run(me, now)), None);
        }
        match self.summon_helper() {
            Some(summons) => (Turn::Stay, Some(summons)),
            None if self.attaching == 0 => self.leave_to_watchdog(me),
            None => (Turn::Stay, None),
        }
    }

    fn turn_of_watchdog(&mut self, now: Instant) -> (Turn<J>, Option<Summons>) {
        if self.stopping || !self.idle.is_empty() {
            self.leader = Leader::Vacant { left_by: 0, since: now };
            let summons = if self.stopping { self.dismiss_one() } else { self.call_leader() };
            return (Turn::Leave(Order::Park), summons);
        }
        (Turn::Stay, self.summon_helper())
    }

    /// Every thread is busy: the leader works too, and the watchdog leads.
    fn leave_to_watchdog(&mut self, me: ThreadId) -> (Turn<J>, Option<Summons>) {
        self.leader = Leader::Watchdog;
        self.phases[me] = Phase::Attaching;
        self.attaching += 1;
        (Turn::Leave(Order::Attach), Some(Summons::Watchdog))
    }

    fn leave_to_run(&mut self, me: ThreadId, now: Instant) -> Order<J> {
        self.leader = Leader::Vacant { left_by: me, since: now };
        let job = self.jobs.pop_front().expect("the caller saw a job");
        self.begin_job(me);
        Order::Run(job)
    }

    /// A summoned or newly started thread asks what it was summoned for.
    pub fn report(&mut self, me: ThreadId) -> Order<J> {
        match self.orders[me].take() {
            Some(Assignment::Lead) => {
                self.phases[me] = Phase::Leading;
                Order::Lead
            }
            Some(Assignment::Attach) => Order::Attach,
            Some(Assignment::Exit) => Order::Exit,
            None => Order::Park,
        }
    }

    /// A thread has just attached to the interpreter and wants its job.
    pub fn attached(&mut self, me: ThreadId) -> (Order<J>, Option<Summons>) {
        self.attaching -= 1;
        match self.jobs.pop_front() {
            Some(job) => {
                self.begin_job(me);
                (Order::Run(job), self.summon_helper())
            }
            None => self.rest(me),
        }
    }

    /// A thread has finished a job and is still attached.
    pub fn finished(&mut self, me: ThreadId, times: JobTimes, now: Instant) -> (Order<J>, Option<Summons>) {
        self.end_job(me);
        self.regime.observe(times);
        if let Leader::Vacant { left_by, since } = self.leader {
            let mine = left_by == me;
            if mine && (now.duration_since(since) >= self.policy.slice || !self.regime.is_fast()) {
                return (self.lead(me), None);
            }
        }
        match self.jobs.pop_front() {
            Some(job) => {
                self.begin_job(me);
                (Order::Run(job), None)
            }
            None => self.rest(me),
        }
    }

    /// A running thread has to wait for its client. It is detached from the interpreter.
    pub fn begin_wait(&mut self, me: ThreadId) -> (WaitBy, Option<Summons>) {
        self.set_blocked(me, true);
        match self.leader {
            Leader::Vacant { .. } => {
                self.leader = Leader::Waiting(me);
                (WaitBy::Leading, self.summon_helper())
            }
            _ => (WaitBy::Parking, None),
        }
    }

    /// The wait that [`Scheduler::begin_wait`] began is over.
    pub fn end_wait(&mut self, me: ThreadId, now: Instant) {
        self.set_blocked(me, false);
        if self.leader == Leader::Waiting(me) {
            self.leader = Leader::Vacant { left_by: me, since: now };
        }
    }

    /// A parked thread's patience is over. `true`: it may end; `false`: it was summoned meanwhile.
    pub fn retire(&mut self, me: ThreadId) -> bool {
        let Some(place) = self.idle.iter().position(|&id| id == me) else { return false };
        self.idle.remove(place);
        self.phases[me] = Phase::Absent;
        true
    }

    /// The watchdog looks. It asks again with what it found about a [`Verdict::Suspect`].
    pub fn inspect(&mut self, now: Instant, patience: Duration) -> Verdict {
        match self.leader {
            Leader::Watchdog => Verdict::Lead,
            Leader::Vacant { left_by, since } if now.duration_since(since) >= patience => {
                match self.phases[left_by] {
                    Phase::Running { job, .. } => Verdict::Suspect { thread: left_by, job, since },
                    _ => Verdict::Fine,
                }
            }
            _ => Verdict::Fine,
        }
    }

    /// What to do about a suspect, if it still runs job `job` and nobody leads yet.
    pub fn judge(&mut self, thread: ThreadId, job: u64, finding: Finding) -> Verdict {
        let vacant = matches!(self.leader, Leader::Vacant { left_by, .. } if left_by == thread);
        let same_job = matches!(self.phases[thread], Phase::Running { job: now, .. } if now == job);
        if !vacant || !same_job || finding == Finding::Computing {
            return Verdict::Fine;
        }
        if finding == Finding::Blocked {
            self.set_blocked(thread, true);
            self.regime.observe(JobTimes::blocked_so_far());
        }
        match self.call_leader() {
            Some(summons) => Verdict::Summon(summons),
            None => {
                self.leader = Leader::Watchdog;
                Verdict::Lead
            }
        }
    }

    /// Stops: parked threads end, running ones end after their job, jobs that wait are handed back.
    pub fn stop(&mut self) -> (Vec<J>, Vec<Summons>) {
        self.stopping = true;
        let jobs = self.jobs.drain(..).collect();
        let mut summons = vec![Summons::Leader, Summons::Watchdog];
        while let Some(next) = self.dismiss_one() {
            summons.push(next);
        }
        (jobs, summons)
    }

    /// Whether the reactor is driven by somebody.
    pub fn is_led(&self) -> bool {
        !matches!(self.leader, Leader::Vacant { .. })
    }

    /// Whether the watchdog leads.
    pub fn is_led_by_watchdog(&self) -> bool {
        self.leader == Leader::Watchdog
    }

    /// Threads that exist.
    pub fn alive(&self) -> usize {
        self.phases.iter().filter(|&&phase| phase != Phase::Absent).count()
    }

    /// Threads that run a job.
    pub fn running(&self) -> usize {
        self.running
    }

    fn may_run_inline(&self) -> bool {
        self.policy.exclusive && self.regime.is_fast() && self.running == self.blocked && self.attaching == 0
    }

    fn lead(&mut self, me: ThreadId) -> Order<J> {
        self.leader = Leader::Thread(me);
        self.phases[me] = Phase::Leading;
        Order::Lead
    }

    /// `me` has nothing to run: lead if nobody does, else sleep.
    fn rest(&mut self, me: ThreadId) -> (Order<J>, Option<Summons>) {
        if matches!(self.leader, Leader::Vacant { .. }) {
            return (self.lead(me), None);
        }
        if self.stopping {
            self.phases[me] = Phase::Absent;
            return (Order::Exit, None);
        }
        self.phases[me] = Phase::Parked;
        self.idle.push(me);
        (Order::Park, (self.leader == Leader::Watchdog).then_some(Summons::Leader))
    }

    /// Wakes or starts a thread that runs jobs, if jobs wait and nobody is on the way to the interpreter yet.
    fn summon_helper(&mut self) -> Option<Summons> {
        let on_the_way = if self.policy.exclusive { 1 } else { self.jobs.len() };
        if self.jobs.is_empty() || self.attaching >= on_the_way {
            return None;
        }
        let summons = self.summon(Assignment::Attach, Phase::Attaching)?;
        self.attaching += 1;
        Some(summons)
    }

    fn call_leader(&mut self) -> Option<Summons> {
        let summons = self.summon(Assignment::Lead, Phase::Called)?;
        let (Summons::Wake(id) | Summons::Spawn(id)) = summons else { unreachable!("a thread was summoned") };
        self.leader = Leader::Thread(id);
        Some(summons)
    }

    /// The thread that slept last, or a new one.
    fn summon(&mut self, assignment: Assignment, phase: Phase) -> Option<Summons> {
        let (id, summons) = match self.idle.pop() {
            Some(id) => (id, Summons::Wake(id)),
            None => {
                let id = self.phases.iter().position(|&phase| phase == Phase::Absent)?;
                (id, Summons::Spawn(id))
            }
        };
        self.orders[id] = Some(assignment);
        self.phases[id] = phase;
        Some(summons)
    }

    fn dismiss_one(&mut self) -> Option<Summons> {
        let id = self.idle.pop()?;
        self.orders[id] = Some(Assignment::Exit);
        self.phases[id] = Phase::Absent;
        Some(Summons::Wake(id))
    }

    fn begin_job(&mut self, me: ThreadId) {
        self.phases[me] = Phase::Running { blocked: false, job: self.job_count };
        self.running += 1;
        self.job_count += 1;
    }

    fn end_job(&mut self, me: ThreadId) {
        self.set_blocked(me, false);
        self.running -= 1;
    }

    fn set_blocked(&mut self, me: ThreadId, now_blocked: bool) {
        if let Phase::Running { blocked, .. } = &mut self.phases[me] {
            match (*blocked, now_blocked) {
                (false, true) => self.blocked += 1,
                (true, false) => self.blocked -= 1,
                _ => {}
            }
            *blocked = now_blocked;
        }
    }
}
