//! Random but legal histories of an engine, with what must hold after every step.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_breaks_the_rules_or_loses_a_job(
        threads in 1_usize..=8,
        exclusive: bool,
        regime in prop_oneof![Just(None), Just(Some(true)), Just(Some(false))],
        unlucky in 1_usize..8,
        choices in proptest::collection::vec(any::<u16>(), 0..300),
    ) {
        let mut world = World::new(threads, exclusive, regime, unlucky);
        for choice in choices {
            world.step(choice);
        }
        world.finish();
    }
}

/// A pool, its reactor and its watchdog, as they would carry out what the books say.
struct World {
    books: Scheduler<u32>,
    /// What the application is taken for, whatever it does.
    regime: Option<Regime>,
    exclusive: bool,
    now: Moment,
    threads: Vec<Thread>,
    watchdog: Watchdog,
    /// Somebody nudged the reactor: its driver will take its turn.
    look: bool,
    pushed: u32,
    done: BTreeMap<u32, &'static str>,
    stopped: bool,
    may_disturb: bool,
    /// The system never starts this thread at the first attempt.
    unlucky: ThreadId,
    /// A thread that is none of the pool's holds the interpreter.
    foreign: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thread {
    None,
    /// Started, or woken, and will report.
    Summoned,
    Parked,
    Driving,
    Leaving,
    Attaching,
    Running {
        job: u32,
        asleep: bool,
    },
    WaitLeading {
        job: u32,
    },
    WaitLeaving {
        job: u32,
    },
    WaitParked {
        job: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watchdog {
    Resting,
    Suspicious(Suspect),
    Driving,
    Leaving,
    Ended,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Push,
    Sweep,
    Foreign,
    Stop,
    Time,
    Turn,
    Inspect,
    Judge(Finding),
    WatchdogLeft,
    Report(ThreadId),
    Retire(ThreadId),
    Leave(ThreadId),
    Attached(ThreadId),
    Finished(ThreadId, bool),
    FallAsleep(ThreadId),
    WakeUp(ThreadId),
    BeginWait(ThreadId),
    EndWait(ThreadId),
    HandOver(ThreadId),
}

impl World {
    fn new(threads: usize, exclusive: bool, regime: Option<bool>, unlucky: ThreadId) -> Self {
        let now = Moment::now();
        let policy = Policy { threads, queue: 5, exclusive, slice: Duration::from_millis(1) };
        let mut world = Self {
            books: Scheduler::new(policy, now),
            regime: regime.map(regime_that_is),
            exclusive,
            now,
            threads: vec![Thread::None; threads],
            watchdog: Watchdog::Resting,
            look: false,
            pushed: 0,
            done: BTreeMap::new(),
            stopped: false,
            may_disturb: true,
            unlucky,
            foreign: false,
        };
        let summons = world.books.start();
        world.follow(summons);
        world.check();
        world
    }

    fn step(&mut self, choice: u16) {
        let events = self.possible();
        if !events.is_empty() {
            self.books.regime = self.regime.unwrap_or(self.books.regime);
            self.apply(events[usize::from(choice) % events.len()], choice);
            self.check();
        }
    }

    /// Lets all that has begun come to its end, without anything new, then stops.
    fn finish(&mut self) {
        self.may_disturb = false;
        self.foreign = false;
        self.run_dry();
        let answered = |world: &Self| world.done.len() as u32 == world.pushed;
        assert!(answered(self), "jobs {:?} are lost: {:?}", self.books.jobs, self.books);
        if !self.stopped {
            self.apply(Event::Stop, 0);
            self.run_dry();
        }
        assert!(self.threads.iter().all(|thread| *thread == Thread::None), "{:?}", self.threads);
        assert_eq!(self.watchdog, Watchdog::Ended);
    }

    fn run_dry(&mut self) {
        let mut idle_rounds = 0;
        for choice in (0..3_000_u16).map(|step| step.wrapping_mul(40_503)) {
            let before = format!("{:?}{:?}{:?}", self.threads, self.watchdog, self.done.len());
            self.step(choice);
            let after = format!("{:?}{:?}{:?}", self.threads, self.watchdog, self.done.len());
            idle_rounds = if before == after { idle_rounds + 1 } else { 0 };
            if idle_rounds > 200 {
                return;
            }
        }
    }

    fn possible(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let driving = self.driver_is_inside();
        if self.may_disturb {
            events.extend([Event::Sweep, Event::Foreign]);
            if !self.stopped {
                events.push(Event::Stop);
            }
            if driving {
                events.extend([Event::Push; 6]);
            }
        }
        events.push(Event::Time);
        if driving && self.look {
            events.extend([Event::Turn; 4]);
        }
        match self.watchdog {
            Watchdog::Resting => events.push(Event::Inspect),
            Watchdog::Suspicious(_) => events
                .extend([Finding::Computing, Finding::Blocked, Finding::ComputingLong].map(Event::Judge)),
            Watchdog::Leaving => events.push(Event::WatchdogLeft),
            Watchdog::Driving | Watchdog::Ended => {}
        }
        for id in 0..self.threads.len() {
            self.possible_for(id, &mut events);
        }
        events
    }

    fn possible_for(&self, id: ThreadId, events: &mut Vec<Event>) {
        let free = !self.exclusive
            || !self.foreign
                && !self.threads.iter().any(|thread| matches!(thread, Thread::Running { asleep: false, .. }));
        match self.threads[id] {
            Thread::Summoned => events.push(Event::Report(id)),
            Thread::Parked if self.may_disturb => events.push(Event::Retire(id)),
            Thread::Leaving => events.push(Event::Leave(id)),
            Thread::Attaching if free => events.push(Event::Attached(id)),
            Thread::Running { asleep: false, .. } => {
                events.extend([Event::Finished(id, false), Event::Finished(id, true)]);
                if self.may_disturb {
                    events.extend([Event::FallAsleep(id), Event::BeginWait(id)]);
                }
            }
            Thread::Running { asleep: true, .. } if free => events.push(Event::WakeUp(id)),
            Thread::WaitLeading { .. } | Thread::WaitParked { .. } if free => events.push(Event::EndWait(id)),
            Thread::WaitLeaving { .. } => events.push(Event::HandOver(id)),
            _ => {}
        }
    }

    fn apply(&mut self, event: Event, choice: u16) {
        match event {
            Event::Push => self.push(),
            Event::Sweep => {
                if choice.is_multiple_of(4)
                    && let Some(job) = self.books.jobs_mut().pop_front()
                {
                    self.settle(job, "swept");
                }
            }
            Event::Foreign => self.foreign = self.exclusive && !self.foreign && choice.is_multiple_of(2),
            // Early stops leave little to see.
            Event::Stop if self.may_disturb && !choice.is_multiple_of(8) => {}
            Event::Stop => self.stop(),
            Event::Time => self.now += Duration::from_micros(300),
            Event::Turn => self.turn(),
            Event::Inspect => self.inspect(),
            Event::Judge(finding) => self.judge(finding),
            Event::WatchdogLeft => {
                self.watchdog = Watchdog::Resting;
                let summons = self.books.watchdog_left(self.now);
                self.follow(summons);
            }
            Event::Report(id) => {
                let order = self.books.report(id);
                self.obey(id, (order, None));
            }
            Event::Retire(id) => {
                if self.books.retire(id) {
                    self.threads[id] = Thread::None;
                }
            }
            Event::Leave(id) => {
                let answer = self.books.leave(id, self.now);
                self.obey(id, answer);
            }
            Event::Attached(id) => {
                let answer = self.books.attached(id);
                self.obey(id, answer);
            }
            Event::Finished(id, blocked) => self.finished(id, blocked),
            Event::FallAsleep(id) => self.set_asleep(id, true),
            Event::WakeUp(id) => self.set_asleep(id, false),
            Event::BeginWait(id) => self.begin_wait(id),
            Event::EndWait(id) => self.end_wait(id),
            Event::HandOver(id) => self.hand_over(id),
        }
    }

    fn push(&mut self) {
        match self.books.push(self.pushed) {
            Ok(look) => self.look |= look,
            Err(job) => self.settle(job, "refused"),
        }
        self.pushed += 1;
    }

    fn stop(&mut self) {
        self.stopped = true;
        let (jobs, summons) = self.books.stop();
        jobs.into_iter().for_each(|job| self.settle(job, "handed back"));
        summons.into_iter().for_each(|summons| self.follow(Some(summons)));
    }

    fn turn(&mut self) {
        self.look = false;
        let turn = loop {
            let (turn, summons) = self.books.turn();
            self.follow(summons);
            if turn == Turn::Leave || !matches!(summons, Some(Summons::Wake(_) | Summons::Spawn(_))) {
                break turn;
            }
        };
        if turn == Turn::Leave {
            for thread in &mut self.threads {
                match *thread {
                    Thread::Driving => *thread = Thread::Leaving,
                    Thread::WaitLeading { job } => *thread = Thread::WaitLeaving { job },
                    _ => {}
                }
            }
            if self.watchdog == Watchdog::Driving {
                self.watchdog = Watchdog::Leaving;
            }
        }
    }

    fn inspect(&mut self) {
        match self.books.inspect(self.now, Duration::from_micros(500)) {
            Verdict::Fine => {}
            Verdict::Lead => self.watchdog_drives(),
            Verdict::Suspect(suspect) => self.watchdog = Watchdog::Suspicious(suspect),
            Verdict::Over => self.watchdog = Watchdog::Ended,
            Verdict::Summon(_) => panic!("an inspection summons nobody"),
        }
    }

    fn judge(&mut self, finding: Finding) {
        let Watchdog::Suspicious(suspect) = self.watchdog else { return };
        self.watchdog = Watchdog::Resting;
        match self.books.judge(suspect, finding) {
            Verdict::Fine => {}
            Verdict::Lead => self.watchdog_drives(),
            Verdict::Summon(summons) => self.follow(Some(summons)),
            Verdict::Suspect(_) | Verdict::Over => panic!("a judgement ends the matter"),
        }
    }

    fn watchdog_drives(&mut self) {
        self.watchdog = Watchdog::Driving;
        self.look = true;
    }

    fn finished(&mut self, id: ThreadId, blocked: bool) {
        let Thread::Running { job, .. } = self.threads[id] else { return };
        self.settle(job, "run");
        let times = if blocked { JobTimes::blocked_so_far() } else { JobTimes::INSTANT };
        let answer = self.books.finished(id, times, self.now);
        self.obey(id, answer);
    }

    fn set_asleep(&mut self, id: ThreadId, now_asleep: bool) {
        if let Thread::Running { asleep, .. } = &mut self.threads[id] {
            *asleep = now_asleep;
        }
    }

    fn begin_wait(&mut self, id: ThreadId) {
        let Thread::Running { job, .. } = self.threads[id] else { return };
        let (by, summons) = self.books.begin_wait(id, self.now);
        self.threads[id] = match by {
            WaitBy::Leading => {
                self.look = true;
                Thread::WaitLeading { job }
            }
            WaitBy::Parking => Thread::WaitParked { job },
        };
        self.follow(summons);
    }

    fn end_wait(&mut self, id: ThreadId) {
        if let Thread::WaitLeading { job } | Thread::WaitParked { job } = self.threads[id] {
            self.books.end_wait(id, self.now);
            self.threads[id] = Thread::Running { job, asleep: false };
        }
    }

    fn hand_over(&mut self, id: ThreadId) {
        let Thread::WaitLeaving { job } = self.threads[id] else { return };
        let (by, summons) = self.books.hand_over(id);
        self.threads[id] = match by {
            WaitBy::Parking => Thread::WaitParked { job },
            WaitBy::Leading => Thread::WaitLeading { job },
        };
        self.look |= by == WaitBy::Leading;
        self.follow(summons);
    }

    fn obey(&mut self, id: ThreadId, (order, summons): (Order<u32>, Option<Summons>)) {
        self.threads[id] = match order {
            Order::Lead => {
                self.look = true;
                Thread::Driving
            }
            Order::Attach => Thread::Attaching,
            Order::Run(job) => Thread::Running { job, asleep: false },
            Order::Park => Thread::Parked,
            Order::Exit => Thread::None,
        };
        self.follow(summons);
    }

    fn follow(&mut self, summons: Option<Summons>) {
        match summons {
            None | Some(Summons::Watchdog) => {}
            Some(Summons::Leader) => self.look = true,
            Some(Summons::Wake(id)) => {
                assert_eq!(self.threads[id], Thread::Parked);
                self.threads[id] = Thread::Summoned;
            }
            Some(Summons::Spawn(id)) if id == self.unlucky && self.may_disturb => {
                let summons = self.books.spawn_failed(id);
                self.follow(summons);
            }
            Some(Summons::Spawn(id)) => {
                assert_eq!(self.threads[id], Thread::None, "two threads have number {id}");
                self.threads[id] = Thread::Summoned;
            }
        }
    }

    fn settle(&mut self, job: u32, how: &'static str) {
        let before = self.done.insert(job, how);
        assert_eq!(before, None, "job {job} was settled twice");
    }

    fn drivers(&self) -> usize {
        let inside = |thread: &&Thread| {
            matches!(
                thread,
                Thread::Driving | Thread::Leaving | Thread::WaitLeading { .. } | Thread::WaitLeaving { .. }
            )
        };
        self.threads.iter().filter(inside).count()
            + usize::from(matches!(self.watchdog, Watchdog::Driving | Watchdog::Leaving))
    }

    fn driver_is_inside(&self) -> bool {
        self.watchdog == Watchdog::Driving
            || self
                .threads
                .iter()
                .any(|thread| matches!(thread, Thread::Driving | Thread::WaitLeading { .. }))
    }

    fn check(&self) {
        self.books.crew.check();
        assert!(self.drivers() <= 1, "two drive: {:?} {:?}", self.threads, self.watchdog);
        let attaching = self.threads.iter().filter(|thread| **thread == Thread::Attaching).count();
        assert!(!self.exclusive || attaching <= 1, "{attaching} threads wait for the interpreter");
        self.check_parked();
        self.check_vacancy();
        self.check_attention();
    }

    fn check_parked(&self) {
        for (id, thread) in self.threads.iter().enumerate() {
            let idle = self.books.crew.phase(id) == Phase::Parked;
            assert_eq!(idle, *thread == Thread::Parked, "thread {id} is {thread:?}");
        }
    }

    /// A reactor without a driver was left by a thread that works, and on which the watchdog has an eye.
    fn check_vacancy(&self) {
        if let Leader::Vacant { left_by, .. } = self.books.leader
            && !self.books.is_over()
        {
            let phase = self.books.crew.phase(left_by);
            assert!(
                matches!(phase, Phase::Attaching | Phase::Running(_)),
                "left by a thread that is {phase:?}"
            );
        }
    }

    /// A driver that will not look at the books would find nothing to do there; so no job waits unseen.
    fn check_attention(&self) {
        if self.driver_is_inside() && !self.look {
            let mut books = self.books.clone();
            assert_eq!(books.turn(), (Turn::Stay, None), "nobody sees to it: {:?}", self.books);
        }
        let jobs: BTreeSet<_> = self.books.jobs.iter().collect();
        assert!(jobs.iter().all(|job| !self.done.contains_key(job)), "a settled job waits");
    }
}

fn regime_that_is(fast: bool) -> Regime {
    let mut regime = Regime::default();
    for _ in 0..if fast { 0 } else { 100 } {
        regime.observe(JobTimes::blocked_so_far());
    }
    regime
}
