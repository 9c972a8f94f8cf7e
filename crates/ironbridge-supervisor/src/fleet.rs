//! Which workers there are, which there should be, and what follows from that.
//!
//! The fleet is told what happened ([`Fleet::started`], [`Fleet::exited`], [`Fleet::reload`] and so on), and [`Fleet::settle`] then
//! compares what there is with what should be. So each rule stands in one place, whatever led to it:
//!
//! * A worker that *stays* counts towards the number that is wanted; one that is *leaving* has done its time, but serves until
//!   enough that stay are ready. A reload makes all workers of earlier generations leave, recycling makes one leave.
//! * A generation that cannot start does not replace anything: its workers are ended, and those that were to leave stay.
//! * A worker that dies is replaced at once, and later and later while its replacements die young.

use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::exit::Exit;

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How many workers; at least 1.
    pub workers: usize,
    /// How a reload replaces them.
    pub strategy: Strategy,
    /// How long a worker may take to end after it was told to; then it is killed.
    pub patience: Duration,
}

/// How a reload replaces workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// All at once: for a moment there are twice as many.
    All,
    /// One after the other: there is never more than one too many.
    Rolling,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Fork a worker, and tell [`Fleet::started`].
    Start {
        /// The generation that it belongs to.
        generation: u32,
    },
    /// Tell a worker to finish what is in flight and end.
    Stop(Pid),
    /// Tell a worker to end at once.
    Quit(Pid),
    /// Kill a worker that did not obey.
    Kill(Pid),
}

/// Something that the operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// As many workers serve as are wanted, for the first time.
    Serving,
    /// A reload is done.
    Reloaded,
    /// A reload has failed; the workers that were there go on.
    ReloadFailed(Exit),
    /// A worker died that nobody had told to end.
    Died {
        /// It.
        pid: Pid,
        /// How.
        exit: Exit,
        /// When it will be replaced, if not at once.
        pause: Duration,
    },
    /// The application does not start, and there has never been a worker that serves.
    Unusable(Exit),
}

/// All workers.
#[derive(Debug)]
pub struct Fleet {
    plan: Plan,
    members: Vec<Member>,
    /// What workers that start now belong to.
    generation: u32,
    /// The newest generation ever begun.
    newest: u32,
    /// Of the reload in progress: the generation before it.
    reloads_from: Option<u32>,
    /// There has been a worker that was ready.
    has_served: bool,
    /// [`Event::Serving`] is out.
    is_announced: bool,
    end: Option<End>,
    /// Deaths in a row of workers that were young.
    young_deaths: u32,
    /// Nothing is started before.
    not_before: Option<Instant>,
    events: Vec<Event>,
}

#[derive(Debug)]
struct Member {
    pid: Pid,
    generation: u32,
    born: Instant,
    state: State,
    fate: Fate,
}

/// Whether a worker that was not told to end is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    /// It goes when it is replaced, because a reload wants it.
    Outdated,
    /// It goes when it is replaced, because it asked.
    Tired,
    /// It goes now: its generation was given up.
    Abandoned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Serving,
    /// It was told to end. At `kill_at` it is killed; none: it was killed.
    Ending {
        kill_at: Option<Instant>,
        quick: bool,
    },
}

/// The end of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    quick: bool,
    code: i32,
}

impl Fleet {
    /// Nobody is there yet.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            members: Vec::new(),
            generation: 1,
            newest: 1,
            reloads_from: None,
            has_served: false,
            is_announced: false,
            end: None,
            young_deaths: 0,
            not_before: None,
            events: Vec::new(),
        }
    }

    /// A worker was forked.
    pub fn started(&mut self, pid: Pid, generation: u32, now: Instant) {
        self.members.push(Member { pid, generation, born: now, state: State::Starting, fate: Fate::Stays });
    }

    /// The system refused to fork: as if the worker had died at once.
    pub fn not_started(&mut self, now: Instant) -> Duration {
        self.pause_after_young_death(now)
    }

    /// A worker serves.
    pub fn ready(&mut self, pid: Pid) {
        let Some(member) = self.find(pid) else { return };
        if member.state == State::Starting {
            member.state = State::Serving;
            self.has_served = true;
        }
    }

    /// A worker asks for a replacement.
    pub fn tired(&mut self, pid: Pid) {
        if let Some(member) = self.find(pid) {
            member.fate = Fate::Tired;
        }
    }

    /// A worker has ended.
    pub fn exited(&mut self, pid: Pid, exit: Exit, now: Instant) {
        let Some(index) = self.members.iter().position(|member| member.pid == pid) else { return };
        let Member { generation, born, state, fate, .. } = self.members.remove(index);
        if self.end.is_some() || fate == Fate::Abandoned || matches!(state, State::Ending { .. }) {
            return;
        }
        let is_new = state == State::Starting && generation == self.generation;
        if is_new && !self.has_served {
            self.end = Some(End { quick: true, code: exit.code() });
            self.events.push(Event::Unusable(exit));
        } else if is_new && self.reloads_from.is_some() {
            self.give_up_reload();
            self.events.push(Event::ReloadFailed(exit));
        } else {
            let young = state == State::Starting || now.duration_since(born) < YOUNG;
            let pause = match young && fate == Fate::Stays {
                true => self.pause_after_young_death(now),
                false => {
                    self.young_deaths = 0;
                    Duration::ZERO
                }
            };
            self.events.push(Event::Died { pid, exit, pause });
        }
    }

    /// Begins to replace all workers, with what is wanted from now on. A reload in progress is given up for this one.
    pub fn reload(&mut self, plan: Plan) {
        if self.reloads_from.is_some() {
            self.give_up_reload();
        }
        self.plan = plan;
        self.reloads_from = Some(self.generation);
        self.newest += 1;
        self.generation = self.newest;
        self.not_before = None;
        self.young_deaths = 0;
    }

    /// One more worker, or one less; the last one stays. Returns how many are wanted now.
    pub fn scale(&mut self, more: bool) -> usize {
        let workers = self.plan.workers;
        self.plan.workers = if more { workers + 1 } else { (workers - 1).max(1) };
        self.plan.workers
    }

    /// Ends all workers: when they have finished what is in flight, or at once.
    pub fn stop(&mut self, quick: bool) {
        let end = self.end.get_or_insert(End { quick, code: 0 });
        end.quick |= quick;
    }

    /// The exit code, once all has ended.
    pub fn outcome(&self) -> Option<i32> {
        self.end.filter(|_| self.members.is_empty()).map(|end| end.code)
    }

    /// Whether all workers are to end.
    pub fn is_stopping(&self) -> bool {
        self.end.is_some()
    }

    /// The generation that workers that start now belong to.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The generation that a reload would begin.
    pub fn next_generation(&self) -> u32 {
        self.newest + 1
    }

    /// All workers that have not been told to end.
    pub fn alive(&self) -> impl Iterator<Item = Pid> {
        self.members
            .iter()
            .filter(|member| !matches!(member.state, State::Ending { .. }))
            .map(|member| member.pid)
    }

    /// All workers.
    pub fn all(&self) -> impl Iterator<Item = Pid> {
        self.members.iter().map(|member| member.pid)
    }

    /// What has happened that the operator should know; each event is told once.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// When [`Self::settle`] is to be called although nothing has happened.
    pub fn deadline(&self) -> Option<Instant> {
        let kills = self.members.iter().filter_map(|member| match member.state {
            State::Ending { kill_at, .. } => kill_at,
            State::Starting | State::Serving => None,
        });
        let start = self.not_before.filter(|_| self.end.is_none() && self.missing() > 0);
        kills.chain(start).min()
    }

    /// Compares what there is with what should be. Each action is to be carried out.
    pub fn settle(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match self.end {
            Some(end) => {
                for member in &mut self.members {
                    member.end(end.quick, self.plan.patience, now, &mut actions);
                }
            }
            None => self.keep_going(now, &mut actions),
        }
        for member in &mut self.members {
            if let State::Ending { kill_at: Some(at), quick } = member.state
                && at <= now
            {
                member.state = State::Ending { kill_at: None, quick };
                actions.push(Action::Kill(member.pid));
            }
        }
        actions
    }

    fn keep_going(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.choose_who_leaves();
        let generation = self.generation;
        if self.not_before.is_none_or(|at| at <= now) {
            actions.extend((0..self.missing()).map(|_| Action::Start { generation }));
        }
        let patience = self.plan.patience;
        for member in self.members.iter_mut().filter(|member| member.fate == Fate::Abandoned) {
            member.end(true, patience, now, actions);
        }
        let surplus = self.staying().count().saturating_sub(self.plan.workers);
        for _ in 0..surplus {
            // Who does not serve yet is missed least, then who has served longest.
            let least = self.members.iter_mut().filter(|member| member.stays());
            let least = least.min_by_key(|member| (member.state != State::Starting, member.born));
            if let Some(member) = least {
                member.end(false, patience, now, actions);
            }
        }
        let ready = self.staying().filter(|member| member.state == State::Serving).count();
        if ready < self.plan.workers {
            return;
        }
        for member in self.members.iter_mut().filter(|member| member.is_leaving()) {
            member.end(false, patience, now, actions);
        }
        if self.reloads_from.is_some() && self.staying().all(|member| member.generation == generation) {
            self.reloads_from = None;
            self.events.push(Event::Reloaded);
        }
        if !self.is_announced {
            self.is_announced = true;
            self.events.push(Event::Serving);
        }
    }

    /// Of a reload: who goes when it is replaced.
    fn choose_who_leaves(&mut self) {
        if self.reloads_from.is_none() {
            return;
        }
        let most = match self.plan.strategy {
            Strategy::All => usize::MAX,
            Strategy::Rolling => {
                1_usize.saturating_sub(self.members.iter().filter(|member| member.is_leaving()).count())
            }
        };
        let generation = self.generation;
        let old = self.members.iter_mut().filter(|member| member.stays() && member.generation != generation);
        for member in old.take(most) {
            member.fate = Fate::Outdated;
        }
    }

    fn give_up_reload(&mut self) {
        let Some(former) = self.reloads_from.take() else { return };
        for member in &mut self.members {
            if member.fate == Fate::Outdated {
                member.fate = Fate::Stays;
            }
            // Those of a rolling reload that serve already stay too.
            if member.generation == self.generation && member.state == State::Starting {
                member.fate = Fate::Abandoned;
            }
        }
        self.generation = former;
    }

    fn pause_after_young_death(&mut self, now: Instant) -> Duration {
        self.young_deaths += 1;
        let pause = match self.young_deaths {
            1 => Duration::ZERO,
            deaths => (FIRST_PAUSE * 2_u32.saturating_pow(deaths - 2)).min(LONGEST_PAUSE),
        };
        self.not_before = Some(now + pause);
        pause
    }

    fn find(&mut self, pid: Pid) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.pid == pid)
    }

    fn staying(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.stays())
    }

    /// How many workers have to be started.
    fn missing(&self) -> usize {
        self.plan.workers.saturating_sub(self.staying().count())
    }
}

impl Member {
    /// Whether it counts towards the number that is wanted.
    fn stays(&self) -> bool {
        self.fate == Fate::Stays && !matches!(self.state, State::Ending { .. })
    }

    /// Whether it serves until it is replaced.
    fn is_leaving(&self) -> bool {
        matches!(self.fate, Fate::Outdated | Fate::Tired) && !matches!(self.state, State::Ending { .. })
    }

    /// Tells it to end, or to end at once although it was told to end. Does nothing where that has been said.
    fn end(&mut self, quick: bool, patience: Duration, now: Instant, actions: &mut Vec<Action>) {
        if matches!(self.state, State::Ending { quick: said, .. } if said || !quick) {
            return;
        }
        // One that starts does not listen to more than SIGTERM yet, and to SIGQUIT it would dump its core.
        actions.push(match quick && self.state != State::Starting {
            true => Action::Quit(self.pid),
            false => Action::Stop(self.pid),
        });
        let patience = if quick { QUICK_PATIENCE } else { patience };
        self.state = State::Ending { kill_at: Some(now + patience), quick };
    }
}

/// How old a worker that dies must be so that its death is not held against its successor.
const YOUNG: Duration = Duration::from_secs(5);

/// Between the second young death in a row and the next start; doubled by each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause before a start.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a worker may take to end at once.
const QUICK_PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Strategy as Generator;

    use super::*;

    /// A fleet whose actions are carried out by a world in which processes obey.
    struct World {
        fleet: Fleet,
        now: Instant,
        next: i32,
        told: Vec<Action>,
        events: Vec<Event>,
    }

    const FAILS: Exit = Exit::Code(3);

    impl World {
        fn new(workers: usize, strategy: Strategy) -> Self {
            let plan = Plan { workers, strategy, patience: Duration::from_secs(40) };
            let mut world = Self {
                fleet: Fleet::new(plan),
                now: Instant::now(),
                next: 100,
                told: Vec::new(),
                events: Vec::new(),
            };
            world.settle();
            world
        }

        /// With all workers ready.
        fn serving(workers: usize, strategy: Strategy) -> Self {
            let mut world = Self::new(workers, strategy);
            world.all_ready();
            world.later(60);
            world.told.clear();
            world
        }

        fn plan(&self) -> Plan {
            self.fleet.plan
        }

        fn settle(&mut self) {
            for action in self.fleet.settle(self.now) {
                if let Action::Start { generation } = action {
                    self.next += 1;
                    self.fleet.started(pid(self.next), generation, self.now);
                }
                self.told.push(action);
            }
            self.events.extend(self.fleet.events());
        }

        fn later(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
            self.settle();
        }

        fn in_state(&self, wanted: impl Fn(State) -> bool) -> Vec<Pid> {
            let members = self.fleet.members.iter().filter(|member| wanted(member.state));
            members.map(|member| member.pid).collect()
        }

        fn starting(&self) -> Vec<Pid> {
            self.in_state(|state| state == State::Starting)
        }

        fn serving_now(&self) -> Vec<Pid> {
            self.in_state(|state| state == State::Serving)
        }

        fn ending(&self) -> Vec<Pid> {
            self.in_state(|state| matches!(state, State::Ending { .. }))
        }

        fn all_ready(&mut self) {
            for pid in self.starting() {
                self.fleet.ready(pid);
            }
            self.settle();
        }

        /// All that were told to end do.
        fn all_obey(&mut self) {
            for pid in self.ending() {
                self.exit(pid, Exit::Code(0));
            }
        }

        fn exit(&mut self, pid: Pid, exit: Exit) {
            self.fleet.exited(pid, exit, self.now);
            self.settle();
        }
    }

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number).unwrap()
    }

    #[test]
    fn as_many_start_as_are_wanted() {
        let mut world = World::new(3, Strategy::All);
        assert_eq!(world.starting().len(), 3);
        assert_eq!(world.events, []);
        world.all_ready();
        assert_eq!(world.events, [Event::Serving]);
        world.settle();
        assert_eq!((world.told.len(), world.events.len()), (3, 1));
    }

    #[test]
    fn an_application_that_does_not_start_ends_all_with_its_exit_code() {
        let mut world = World::new(2, Strategy::All);
        let [first, second] = world.starting()[..] else { panic!("two start") };
        world.exit(first, FAILS);
        assert_eq!(world.events, [Event::Unusable(FAILS)]);
        assert_eq!(world.told.last(), Some(&Action::Stop(second)));
        assert_eq!(world.fleet.outcome(), None);
        world.exit(second, Exit::Signal(15));
        assert_eq!(world.fleet.outcome(), Some(3));
        assert_eq!(world.told.len(), 3, "nothing was started again");
    }

    #[test]
    fn a_worker_that_dies_is_replaced_at_once() {
        let mut world = World::serving(2, Strategy::All);
        let dead = world.serving_now()[0];
        world.exit(dead, Exit::Signal(11));
        assert_eq!(world.told, [Action::Start { generation: 1 }]);
        assert_eq!(
            world.events.last(),
            Some(&Event::Died { pid: dead, exit: Exit::Signal(11), pause: Duration::ZERO })
        );
    }

    #[test]
    fn those_that_die_young_are_replaced_later_and_later() {
        let mut world = World::serving(1, Strategy::All);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let dead = world.serving_now().pop().or(world.starting().pop()).unwrap();
            world.exit(dead, FAILS);
            let Some(Event::Died { pause, .. }) = world.events.last() else { panic!("it died") };
            pauses.push(pause.as_millis());
            assert_eq!(world.fleet.deadline().is_some(), !pause.is_zero());
            world.now += *pause;
            world.settle();
        }
        // The first one was old.
        assert_eq!(pauses, [0, 0, 250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
        world.all_ready();
        world.later(10);
        let dead = world.serving_now()[0];
        world.exit(dead, FAILS);
        assert_eq!(world.starting().len(), 1, "forgiven");
    }

    #[test]
    fn a_reload_ends_the_old_ones_only_when_all_new_ones_are_ready() {
        let mut world = World::serving(2, Strategy::All);
        let old = world.serving_now();
        world.fleet.reload(world.plan());
        world.settle();
        let new = world.starting();
        assert_eq!(world.told, [Action::Start { generation: 2 }; 2]);
        world.fleet.ready(new[0]);
        world.settle();
        assert_eq!(world.ending(), []);
        world.all_ready();
        assert_eq!(world.told[2..], [Action::Stop(old[0]), Action::Stop(old[1])]);
        assert_eq!(world.events.last(), Some(&Event::Reloaded));
        world.all_obey();
        assert_eq!(world.serving_now(), new);
    }

    #[test]
    fn a_rolling_reload_has_never_more_than_one_too_many() {
        let mut world = World::serving(3, Strategy::Rolling);
        world.fleet.reload(world.plan());
        for _ in 0..3 {
            world.settle();
            assert_eq!((world.starting().len(), world.serving_now().len()), (1, 3));
            assert!(!world.events.contains(&Event::Reloaded));
            world.all_ready();
            assert_eq!(world.ending().len(), 1);
            world.all_obey();
        }
        assert_eq!(world.events.last(), Some(&Event::Reloaded));
        assert!(world.fleet.members.iter().all(|member| member.generation == 2));
    }

    #[test]
    fn a_reload_that_fails_changes_nothing() {
        for strategy in [Strategy::All, Strategy::Rolling] {
            let mut world = World::serving(2, strategy);
            let old = world.serving_now();
            world.fleet.reload(world.plan());
            world.settle();
            let failed = world.starting()[0];
            world.exit(failed, FAILS);
            assert_eq!(world.events.last(), Some(&Event::ReloadFailed(FAILS)));
            world.all_obey();
            assert_eq!((world.serving_now(), world.starting()), (old.clone(), vec![]));
            world.exit(old[0], FAILS);
            assert_eq!(world.told.last(), Some(&Action::Start { generation: 1 }));
            // The next one is told apart from the one that failed.
            world.fleet.reload(world.plan());
            assert_eq!(world.fleet.generation(), 3);
        }
    }

    #[test]
    fn a_reload_replaces_one_that_hangs() {
        let mut world = World::serving(1, Strategy::All);
        let old = world.serving_now();
        world.fleet.reload(world.plan());
        world.settle();
        let hanging = world.starting()[0];
        world.fleet.reload(world.plan());
        world.settle();
        assert_eq!(world.ending(), [hanging]);
        world.later(5);
        assert_eq!(world.told.last(), Some(&Action::Kill(hanging)));
        world.exit(hanging, Exit::Signal(9));
        world.all_ready();
        assert_eq!(world.ending(), old);
        assert_eq!(world.events.last(), Some(&Event::Reloaded));
    }

    #[test]
    fn a_tired_worker_serves_until_it_is_replaced() {
        let mut world = World::serving(2, Strategy::All);
        let tired = world.serving_now()[0];
        world.fleet.tired(tired);
        world.settle();
        assert_eq!(world.told, [Action::Start { generation: 1 }]);
        world.all_ready();
        assert_eq!(world.ending(), [tired]);
        world.all_obey();
        assert_eq!(world.serving_now().len(), 2);
    }

    #[test]
    fn the_number_changes_and_the_last_one_stays() {
        let mut world = World::serving(1, Strategy::All);
        let oldest = world.serving_now();
        assert_eq!(world.fleet.scale(true), 2);
        world.later(1);
        world.all_ready();
        assert_eq!(world.fleet.scale(false), 1);
        world.settle();
        assert_eq!(world.ending(), oldest);
        assert_eq!(world.fleet.scale(false), 1);
    }

    #[test]
    fn one_that_does_not_obey_is_killed() {
        let mut world = World::serving(2, Strategy::All);
        world.fleet.stop(false);
        world.settle();
        let all = world.ending();
        assert_eq!(world.told, [Action::Stop(all[0]), Action::Stop(all[1])]);
        world.exit(all[0], Exit::Code(0));
        assert_eq!(world.fleet.deadline(), Some(world.now + Duration::from_secs(40)));
        world.later(40);
        assert_eq!(world.told.last(), Some(&Action::Kill(all[1])));
        assert_eq!(world.fleet.deadline(), None);
        world.exit(all[1], Exit::Signal(9));
        assert_eq!(world.fleet.outcome(), Some(0));
    }

    #[test]
    fn a_stop_can_become_a_quick_one() {
        let mut world = World::serving(1, Strategy::All);
        let one = world.serving_now()[0];
        world.fleet.stop(false);
        world.settle();
        world.fleet.stop(true);
        world.settle();
        world.fleet.stop(true);
        world.settle();
        assert_eq!(world.told, [Action::Stop(one), Action::Quit(one)]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Ready(usize),
        Tired(usize),
        Dies(usize),
        Obeys,
        Reload(bool),
        Scale(bool),
        Later(u64),
    }

    fn step() -> impl Generator<Value = Step> {
        prop_oneof![
            4 => any::<usize>().prop_map(Step::Ready),
            1 => any::<usize>().prop_map(Step::Tired),
            2 => any::<usize>().prop_map(Step::Dies),
            2 => Just(Step::Obeys),
            1 => any::<bool>().prop_map(Step::Reload),
            1 => any::<bool>().prop_map(Step::Scale),
            2 => (0..50_u64).prop_map(Step::Later),
        ]
    }

    proptest! {
        /// Whatever happens, nobody who serves is told to go unless as many serve as are wanted, and in the end as many do.
        #[test]
        fn the_service_never_suffers(workers in 1..5_usize, steps in prop::collection::vec(step(), 0..60)) {
            let mut world = World::serving(workers, Strategy::All);
            for step in steps {
                let pick = |pids: Vec<Pid>, index: usize| pids.get(index % pids.len().max(1)).copied();
                let before = world.serving_now().len();
                let mut died = 0;
                match step {
                    Step::Ready(index) => {
                        if let Some(pid) = pick(world.starting(), index) {
                            world.fleet.ready(pid);
                        }
                    }
                    Step::Tired(index) => {
                        if let Some(pid) = pick(world.serving_now(), index) {
                            world.fleet.tired(pid);
                        }
                    }
                    Step::Dies(index) => {
                        if let Some(pid) = pick(world.fleet.all().collect(), index) {
                            died = usize::from(world.serving_now().contains(&pid));
                            world.fleet.exited(pid, FAILS, world.now);
                        }
                    }
                    Step::Obeys => world.all_obey(),
                    Step::Reload(rolling) => {
                        let strategy = if rolling { Strategy::Rolling } else { Strategy::All };
                        world.fleet.reload(Plan { strategy, ..world.plan() });
                    }
                    Step::Scale(more) => {
                        world.fleet.scale(more);
                    }
                    Step::Later(seconds) => world.later(seconds),
                }
                world.settle();
                let least = (before - died).min(world.plan().workers);
                prop_assert!(world.serving_now().len() >= least, "{:?}", world.fleet);
            }
            for _ in 0..60 {
                world.later(31);
                world.all_ready();
                world.all_obey();
            }
            prop_assert_eq!(world.serving_now().len(), world.plan().workers);
            prop_assert_eq!(world.fleet.members.len(), world.plan().workers);
            prop_assert!(world.fleet.reloads_from.is_none());
        }
    }
}
