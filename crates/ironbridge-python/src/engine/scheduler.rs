//! Who leads the reactor, who runs which job, who sleeps: the engine's decisions, as one plain state machine.
//!
//! No clock, lock, thread or interpreter in here. Callers hold the engine's lock, pass the time in, and carry out
//! what they are told: [`Order`]s for themselves, [`Summons`] for others.
//!
//! A leader leaves in two steps: [`Scheduler::turn`], asked from inside the reactor, tells it to; once it is out,
//! [`Scheduler::leave`] says what for and vacates the lead. So whoever finds the lead vacant finds the reactor empty.

use std::{collections::VecDeque, time::Duration};

mod crew;
mod orders;

#[cfg(test)]
mod invariants;
#[cfg(test)]
mod tests;

use crew::{Assignment, Crew, Phase};
pub use orders::{Finding, Order, Policy, Summons, Suspect, ThreadId, Turn, Verdict, WaitBy};

use super::{
    moment::Moment,
    regime::{JobTimes, Regime},
};

/// The books. `J` is whatever stands for a request that is ready to run.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Scheduler<J> {
    policy: Policy,
    leader: Leader,
    /// The leader has not looked at I/O since it became leader.
    fresh: bool,
    departures: u64,
    /// The job that keeps others waiting and that the watchdog was told to look at.
    asked_about: Option<u64>,
    /// A point in time before everything else.
    origin: Moment,
    crew: Crew,
    jobs: VecDeque<J>,
    regime: Regime,
    stopping: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leader {
    /// A pool thread that may leave to run jobs.
    Thread(ThreadId),
    /// A pool thread that waits for its client; it can only pass jobs, or the lead, on.
    Waiting(ThreadId),
    Watchdog,
    Vacant {
        left_by: ThreadId,
        since: Moment,
    },
}

/// What becomes of the jobs that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// There are none, or somebody is on the way to them.
    Nothing,
    /// The leader leaves the reactor and runs them: nobody else wants the interpreter.
    RunInline,
    SummonHelper,
    /// Every thread has its job: the leader takes one too, and the watchdog leads.
    WorkToo,
}

impl<J> Scheduler<J> {
    /// Empty books. The first thread is started by [`Scheduler::start`].
    pub fn new(policy: Policy, now: Moment) -> Self {
        assert!(policy.threads > 0, "a pool has at least one thread");
        Self {
            policy,
            leader: Leader::Vacant { left_by: 0, since: now },
            fresh: false,
            asked_about: None,
            origin: now,
            departures: 0,
            crew: Crew::new(policy.threads),
            jobs: VecDeque::new(),
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
        self.crew.hope_for_threads();
        // Behind an older job no look is needed: whoever is on the way to that one sees to the next.
        Ok(self.jobs.len() == 1 || !self.policy.exclusive)
    }

    /// The jobs that wait, oldest first.
    pub fn jobs_mut(&mut self) -> &mut VecDeque<J> {
        &mut self.jobs
    }

    /// The leader looks at the books from inside the reactor, again and again while it is to summon threads.
    pub fn turn(&mut self) -> (Turn, Option<Summons>) {
        let has_to_act = self.is_over() || !self.jobs.is_empty();
        if std::mem::take(&mut self.fresh) && has_to_act {
            // One look at I/O first: finished answers leave, and no backlog of jobs keeps the reactor waiting.
            return (Turn::Stay, Some(Summons::Leader));
        }
        match (self.leader, self.plan()) {
            (Leader::Thread(_) | Leader::Watchdog, _) if self.is_over() => (Turn::Leave, None),
            (Leader::Watchdog, _) if self.wants_thread_to_lead() => (Turn::Leave, None),
            (Leader::Thread(_), Plan::RunInline | Plan::WorkToo) => (Turn::Leave, None),
            // Waiting for a client may take long; somebody else leads, and runs jobs the cheap way.
            (Leader::Waiting(_), Plan::RunInline) if self.crew.has_spare() => (Turn::Leave, None),
            (Leader::Watchdog, Plan::RunInline) | (_, Plan::SummonHelper) => {
                (Turn::Stay, self.summon(Assignment::Attach))
            }
            _ => (Turn::Stay, self.ask_about_holder()),
        }
    }

    /// Pool thread `me`, the leader, was told to leave the reactor and has done so.
    pub fn leave(&mut self, me: ThreadId, now: Moment) -> (Order<J>, Option<Summons>) {
        debug_assert_eq!(self.leader, Leader::Thread(me));
        if self.is_over() {
            self.vacate(me, now);
            self.crew.depart(me);
            return (Order::Exit, Some(Summons::Watchdog));
        }
        match self.plan() {
            Plan::RunInline => {
                self.vacate(me, now);
                self.crew.begin_attaching(me);
                (Order::Attach, None)
            }
            Plan::WorkToo => {
                self.leader = Leader::Watchdog;
                self.crew.begin_attaching(me);
                (Order::Attach, Some(Summons::Watchdog))
            }
            Plan::SummonHelper | Plan::Nothing => (Order::Lead, None),
        }
    }

    /// The watchdog, which led, was told to leave the reactor and has done so.
    pub fn watchdog_left(&mut self, now: Moment) -> Option<Summons> {
        debug_assert_eq!(self.leader, Leader::Watchdog);
        if self.is_over() {
            self.leader = Leader::Vacant { left_by: 0, since: now };
            return None;
        }
        self.wants_thread_to_lead().then(|| self.call_leader()).flatten()
    }

    /// Thread `me`, which leads while it waits for its client, has left the reactor to hand the lead over.
    pub fn hand_over(&mut self, me: ThreadId) -> (WaitBy, Option<Summons>) {
        debug_assert_eq!(self.leader, Leader::Waiting(me));
        match self.call_leader() {
            Some(summons) => (WaitBy::Parking, Some(summons)),
            None => (WaitBy::Leading, None),
        }
    }

    /// A summoned or newly started thread asks what it was summoned for.
    pub fn report(&mut self, me: ThreadId) -> Order<J> {
        match self.crew.take_assignment(me) {
            Some(Assignment::Lead) => {
                self.crew.lead(me);
                Order::Lead
            }
            Some(Assignment::Attach) => Order::Attach,
            Some(Assignment::Exit) => {
                self.crew.depart(me);
                Order::Exit
            }
            None => Order::Park,
        }
    }

    /// The system would not start a thread that was summoned.
    pub fn spawn_failed(&mut self, id: ThreadId) -> Option<Summons> {
        match self.crew.spawn_failed(id) {
            Some(Assignment::Lead) => self.call_leader().or_else(|| {
                self.leader = Leader::Watchdog;
                Some(Summons::Watchdog)
            }),
            Some(Assignment::Attach) => self.pass_on(),
            Some(Assignment::Exit) | None => None,
        }
    }

    /// A thread has just attached to the interpreter and wants its job.
    pub fn attached(&mut self, me: ThreadId) -> (Order<J>, Option<Summons>) {
        self.crew.end_attaching();
        let Some(job) = self.jobs.pop_front() else { return self.rest(me) };
        self.crew.begin_job(me);
        // Inline, the leader runs the others as well, unless the watchdog finds it blocked.
        let inline = self.is_vacated_by(me);
        (Order::Run(job), if inline { None } else { self.pass_on() })
    }

    /// A thread has finished a job and is still attached.
    pub fn finished(&mut self, me: ThreadId, times: JobTimes, now: Moment) -> (Order<J>, Option<Summons>) {
        let waited = self.crew.end_job(me);
        let was_fast = self.regime.is_fast();
        // Where another thread wants the interpreter, waiting for it looks like blocking.
        if !(self.is_contended() && self.regime.is_fast()) {
            // That a client is slow says nothing about the application.
            self.regime.observe(JobTimes { blocked: times.blocked.saturating_sub(waited) });
        }
        if let Leader::Vacant { left_by, since } = self.leader
            && left_by == me
            && (now.duration_since(since) >= self.policy.slice || !self.regime.is_fast())
        {
            return (self.lead(me), None);
        }
        if self.leaves_jobs_to_leader() {
            return self.rest(me);
        }
        match self.jobs.pop_front() {
            Some(job) => {
                self.crew.begin_job(me);
                // Jobs that waited for their turn in the fast regime need not wait any more.
                let turned_slow = was_fast && !self.regime.is_fast();
                (Order::Run(job), if turned_slow { self.pass_on() } else { None })
            }
            None => self.rest(me),
        }
    }

    /// Whether a thread runs, or waits for the interpreter, that is not known to sleep.
    fn is_contended(&self) -> bool {
        self.policy.exclusive && (self.crew.attaching() > 0 || self.crew.holds_interpreter())
    }

    /// In the fast regime jobs are the leader's: a second thread that goes on taking them only keeps the interpreter from
    /// whoever runs or waits for it.
    fn leaves_jobs_to_leader(&self) -> bool {
        self.policy.exclusive && self.regime.is_fast() && matches!(self.leader, Leader::Thread(_))
    }

    /// A running thread has to wait for its client. It is detached from the interpreter.
    pub fn begin_wait(&mut self, me: ThreadId, now: Moment) -> (WaitBy, Option<Summons>) {
        self.crew.begin_wait(me, now);
        if self.is_led() {
            // Jobs may have waited for this thread to finish; now it does not hold the interpreter any more.
            return (WaitBy::Parking, self.pass_on());
        }
        self.leader = Leader::Waiting(me);
        (WaitBy::Leading, None)
    }

    /// The wait that [`Scheduler::begin_wait`] began is over. `true`: the reactor has lost its driver.
    pub fn end_wait(&mut self, me: ThreadId, now: Moment) -> bool {
        self.crew.end_wait(me, now);
        let led = self.leader == Leader::Waiting(me);
        if led {
            self.vacate(me, now);
        }
        led
    }

    /// A parked thread's patience is over. `true`: it may end; `false`: it was summoned meanwhile.
    pub fn retire(&mut self, me: ThreadId) -> bool {
        self.crew.retire(me)
    }

    /// The watchdog looks. It asks again with what it found about a [`Verdict::Suspect`].
    pub fn inspect(&self, now: Moment, patience: Duration) -> Verdict {
        match self.leader {
            Leader::Watchdog => Verdict::Lead,
            Leader::Thread(_) => match self.waited_for() {
                Some((thread, job)) => {
                    Verdict::Suspect(Suspect { thread, job: Some(job), since: self.origin })
                }
                None => Verdict::Fine,
            },
            Leader::Vacant { .. } if self.is_over() => Verdict::Over,
            Leader::Vacant { left_by, since } if now.duration_since(since) >= patience => {
                let suspect = |job| Verdict::Suspect(Suspect { thread: left_by, job, since });
                match self.crew.phase(left_by) {
                    Phase::Running(stint) => suspect(Some(stint.job)),
                    Phase::Attaching => suspect(None),
                    _ => Verdict::Fine,
                }
            }
            _ => Verdict::Fine,
        }
    }

    /// What to do about a suspect, if it is still at the same job and nobody leads yet.
    pub fn judge(&mut self, suspect: Suspect, finding: Finding) -> Verdict {
        // An inspection without patience names whoever is suspect now.
        let still = self.inspect(suspect.since, Duration::ZERO) == Verdict::Suspect(suspect);
        if !still || finding == Finding::Computing {
            return Verdict::Fine;
        }
        // One that waits for the interpreter is blocked too, but not by what the application does.
        if finding == Finding::Blocked && suspect.job.is_some() {
            self.crew.set_blocked(suspect.thread, true);
            // Unless another thread has or wants the interpreter: then it may be that which it waits for.
            if !self.is_contended() {
                self.regime.observe(JobTimes::blocked_so_far());
            }
        }
        if finding == Finding::ComputingLong {
            self.crew.set_long(suspect.thread);
        }
        if self.is_led() {
            return Verdict::Summon(Summons::Leader);
        }
        match self.call_leader() {
            Some(summons) => Verdict::Summon(summons),
            None => {
                self.leader = Leader::Watchdog;
                self.fresh = true;
                Verdict::Lead
            }
        }
    }

    /// Stops: parked threads end, running ones end after their job, jobs that wait are handed back. I/O is driven until
    /// the last job has ended.
    pub fn stop(&mut self) -> (Vec<J>, Vec<Summons>) {
        self.stopping = true;
        self.fresh = true;
        let jobs = self.jobs.drain(..).collect();
        let mut summons = vec![Summons::Leader, Summons::Watchdog];
        while let Some(next) = self.crew.dismiss_one() {
            summons.push(next);
        }
        (jobs, summons)
    }

    /// Whether somebody drives the reactor, or has been told to.
    pub fn is_led(&self) -> bool {
        !matches!(self.leader, Leader::Vacant { .. })
    }

    /// How often the reactor has been left without a driver.
    pub fn departures(&self) -> u64 {
        self.departures
    }

    /// Threads that exist, or are being started.
    pub fn alive(&self) -> usize {
        self.crew.alive()
    }

    /// Threads that run a job.
    pub fn running(&self) -> usize {
        self.crew.running()
    }

    fn plan(&self) -> Plan {
        let enough = if self.policy.exclusive { 1 } else { self.jobs.len() };
        if self.jobs.is_empty() {
            Plan::Nothing
        } else if self.may_run_inline() {
            Plan::RunInline
        } else if self.crew.attaching() >= enough || self.waited_for().is_some() {
            Plan::Nothing
        } else if self.crew.has_spare() {
            Plan::SummonHelper
        } else if self.crew.attaching() == 0 {
            Plan::WorkToo
        } else {
            Plan::Nothing
        }
    }

    fn may_run_inline(&self) -> bool {
        self.policy.exclusive
            && self.regime.is_fast()
            && self.crew.attaching() == 0
            && !self.crew.holds_interpreter()
    }

    /// The watchdog leads as well as anybody while jobs go to other threads anyway.
    fn wants_thread_to_lead(&self) -> bool {
        self.policy.exclusive && self.regime.is_fast() && self.crew.has_idle()
    }

    /// A job was taken; sees to those behind it.
    fn pass_on(&mut self) -> Option<Summons> {
        match (self.plan(), self.leader) {
            (Plan::SummonHelper, _) => self.summon(Assignment::Attach),
            (Plan::RunInline | Plan::WorkToo, Leader::Thread(_)) => Some(Summons::Leader),
            _ => self.ask_about_holder(),
        }
    }

    /// The thread, and its job, that jobs in the queue wait for. In the fast regime a second thread would only fight it for the
    /// interpreter; the leader goes on when it has finished, unless the watchdog finds that it sleeps or takes long.
    fn waited_for(&self) -> Option<(ThreadId, u64)> {
        let waits = self.leaves_jobs_to_leader() && self.crew.attaching() == 0 && !self.jobs.is_empty();
        if waits { self.crew.holder(self.asked_about) } else { None }
    }

    /// Has the watchdog look at the thread that jobs wait for, once for each of its jobs.
    fn ask_about_holder(&mut self) -> Option<Summons> {
        let (_, job) = self.waited_for()?;
        (self.asked_about.replace(job) != Some(job)).then_some(Summons::Watchdog)
    }

    fn summon(&mut self, assignment: Assignment) -> Option<Summons> {
        self.crew.summon(assignment).map(|(_, summons)| summons)
    }

    fn call_leader(&mut self) -> Option<Summons> {
        let (id, summons) = self.crew.summon(Assignment::Lead)?;
        self.leader = Leader::Thread(id);
        self.fresh = true;
        Some(summons)
    }

    fn lead(&mut self, me: ThreadId) -> Order<J> {
        self.leader = Leader::Thread(me);
        self.fresh = true;
        self.crew.lead(me);
        Order::Lead
    }

    fn vacate(&mut self, me: ThreadId, now: Moment) {
        self.leader = Leader::Vacant { left_by: me, since: now };
        self.departures += 1;
    }

    fn is_vacated_by(&self, me: ThreadId) -> bool {
        matches!(self.leader, Leader::Vacant { left_by, .. } if left_by == me)
    }

    /// `me` has nothing to run: lead if nobody does, else sleep.
    fn rest(&mut self, me: ThreadId) -> (Order<J>, Option<Summons>) {
        if !self.is_led() {
            return (self.lead(me), None);
        }
        if self.stopping {
            self.crew.depart(me);
            self.fresh = true;
            return (Order::Exit, Some(Summons::Leader));
        }
        self.crew.park(me);
        let take_over = self.leader == Leader::Watchdog && self.wants_thread_to_lead();
        let jobs_are_free = self.leaves_jobs_to_leader() && self.plan() != Plan::Nothing;
        if take_over || jobs_are_free {
            return (Order::Park, Some(Summons::Leader));
        }
        (Order::Park, self.ask_about_holder())
    }

    /// Stopped, and every job has ended.
    fn is_over(&self) -> bool {
        self.stopping && self.crew.is_at_rest()
    }
}
