//! What the fleet does in a world of processes that obey.

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
        let patience = Duration::from_secs(40);
        let plan = Plan { workers, strategy, waits: false, notice: Duration::ZERO, patience };
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

    fn all(&self) -> Vec<Pid> {
        self.in_state(|_| true)
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
        assert_eq!(world.fleet.generation, 3);
    }
}

#[test]
fn a_reload_that_fails_takes_its_plan_with_it() {
    let mut world = World::serving(2, Strategy::All);
    let former = world.plan();
    let rolling = Plan { workers: 4, strategy: Strategy::Rolling, ..former };
    world.fleet.reload(rolling);
    world.settle();
    world.exit(world.starting()[0], FAILS);
    assert_eq!(world.plan(), Plan { workers: 2, ..former });
    assert_eq!(world.serving_now().len(), 2);
    world.all_obey();
    assert_eq!(world.starting(), []);
}

#[test]
fn a_reload_that_replaces_one_that_hangs_returns_to_what_serves() {
    let mut world = World::serving(2, Strategy::All);
    let former = world.plan();
    for workers in [3, 4] {
        world.fleet.reload(Plan { workers, ..former });
        world.settle();
    }
    let failed = *world.starting().last().unwrap();
    world.exit(failed, FAILS);
    assert_eq!(world.plan(), former);
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
fn an_application_that_does_not_start_is_waited_for_where_the_plan_says_so() {
    let mut world = World::serving(2, Strategy::All);
    let plan = Plan { waits: true, ..world.plan() };
    world.fleet = Fleet::new(plan);
    world.events.clear();
    world.settle();
    for pid in world.all() {
        world.exit(pid, FAILS);
    }
    assert_eq!(world.events, [Event::Waiting]);
    world.later(100);
    assert!(world.all().is_empty());
    world.fleet.reload(plan);
    world.settle();
    assert_eq!(world.all().len(), 2);
    world.all_ready();
    assert!(world.events.contains(&Event::Serving));
}

#[test]
fn the_number_changes_and_the_last_one_stays() {
    let mut world = World::serving(1, Strategy::All);
    let oldest = world.serving_now();
    world.fleet.scale(2);
    assert_eq!(world.fleet.workers(), 2);
    world.later(1);
    world.all_ready();
    world.fleet.scale(1);
    world.settle();
    assert_eq!(world.ending(), oldest);
    world.fleet.scale(0);
    assert_eq!(world.fleet.workers(), 1);
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

#[test]
fn one_that_starts_is_never_sent_what_dumps_its_core() {
    let mut world = World::new(1, Strategy::All);
    let one = world.starting()[0];
    world.told.clear();
    for quick in [false, true] {
        world.fleet.stop(quick);
        world.settle();
    }
    assert_eq!(world.told, [Action::Stop(one), Action::Stop(one)]);
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
                    if let Some(pid) = pick(world.all(), index) {
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
                    let workers = world.fleet.workers();
                    world.fleet.scale(if more { workers + 1 } else { workers - 1 });
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
        prop_assert!(world.fleet.former.is_none());
    }
}
