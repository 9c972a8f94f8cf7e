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
    /// Whether an application that does not start is waited for: the next reload tries again.
    pub waits: bool,
    /// How long all serve on after they were told that the end is near.
    pub notice: Duration,
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
    /// The same, but the next reload may bring one that does.
    Waiting,
}

/// How a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// It.
    pub pid: Pid,
    /// Its generation.
    pub generation: u32,
    /// How long ago it was forked.
    pub age: Duration,
    /// What it does, in words.
    pub state: &'static str,
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
    /// While a reload is in progress: what it returns to if it fails.
    former: Option<Former>,
    /// There has been a worker that was ready.
    has_served: bool,
    /// [`Event::Serving`] is out.
    is_announced: bool,
    end: Option<End>,
    /// Nothing is started before the next reload.
    holds: bool,
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

/// What was before a reload.
#[derive(Debug, Clone, Copy)]
struct Former {
    generation: u32,
    plan: Plan,
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
    /// It was told to end, or to end at once (`quick`).
    Ending {
        quick: bool,
        /// It has served, and so listens to all signals.
        listens: bool,
        /// None: it was killed.
        kill_at: Option<Instant>,
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
            former: None,
            has_served: false,
            is_announced: false,
            end: None,
            holds: false,
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
        if let Some(member) = self.find(pid)
            && member.fate != Fate::Abandoned
        {
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
        if is_new && !self.has_served && self.plan.waits {
            if !std::mem::replace(&mut self.holds, true) {
                self.former = None;
                self.events.push(Event::Waiting);
            }
        } else if is_new && !self.has_served {
            self.end = Some(End { quick: true, code: exit.code() });
            self.events.push(Event::Unusable(exit));
        } else if is_new && self.former.is_some() {
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
        self.give_up_reload();
        self.former = Some(Former { generation: self.generation, plan: self.plan });
        self.plan = plan;
        self.newest += 1;
        self.generation = self.newest;
        self.not_before = None;
        self.holds = false;
        self.young_deaths = 0;
    }

    /// So many workers from now on; the last one stays.
    pub fn scale(&mut self, workers: usize) {
        self.plan.workers = workers.max(1);
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

    /// Whether a reload is in progress.
    pub fn is_reloading(&self) -> bool {
        self.former.is_some()
    }

    /// How each worker stands, oldest first.
    pub fn standings(&self, now: Instant) -> impl Iterator<Item = Standing> {
        self.members.iter().map(move |member| Standing {
            pid: member.pid,
            generation: member.generation,
            age: now.saturating_duration_since(member.born),
            state: match (member.state, member.fate) {
                (State::Ending { .. }, _) | (_, Fate::Abandoned) => "ending",
                (State::Starting, _) => "starting",
                (State::Serving, Fate::Stays) => "serving",
                (State::Serving, Fate::Outdated | Fate::Tired) => "serving until it is replaced",
            },
        })
    }

    /// How long all serve on after they were told that the end is near.
    pub fn notice(&self) -> Duration {
        self.plan.notice
    }

    /// How many workers are wanted.
    pub fn workers(&self) -> usize {
        self.plan.workers
    }

    /// The generation that a reload would begin.
    pub fn next_generation(&self) -> u32 {
        self.newest + 1
    }

    /// The generations of which workers may still be started: that of a reload in progress, and the one before it.
    pub fn live_generations(&self) -> [u32; 2] {
        [self.generation, self.former.map_or(self.generation, |former| former.generation)]
    }

    /// All workers that have not been told to end, and whether they serve already.
    pub fn alive(&self) -> impl Iterator<Item = (Pid, bool)> {
        self.members
            .iter()
            .filter(|member| !matches!(member.state, State::Ending { .. }))
            .map(|member| (member.pid, member.state == State::Serving))
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
            if let State::Ending { kill_at, .. } = &mut member.state
                && kill_at.is_some_and(|at| at <= now)
            {
                *kill_at = None;
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
        if self.former.is_some() && self.staying().all(|member| member.generation == generation) {
            self.former = None;
            self.events.push(Event::Reloaded);
        }
        if !self.is_announced {
            self.is_announced = true;
            self.events.push(Event::Serving);
        }
    }

    /// Of a reload: who goes when it is replaced.
    fn choose_who_leaves(&mut self) {
        if self.former.is_none() {
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

    /// Returns to what was before the reload in progress, if there is one.
    fn give_up_reload(&mut self) {
        let Some(Former { generation, plan }) = self.former.take() else { return };
        for member in &mut self.members {
            if member.fate == Fate::Outdated {
                member.fate = Fate::Stays;
            }
            // Those of a rolling reload that serve already stay too.
            if member.generation == self.generation && member.state == State::Starting {
                member.fate = Fate::Abandoned;
            }
        }
        (self.generation, self.plan) = (generation, plan);
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
        if self.holds {
            return 0;
        }
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
        let listens = match self.state {
            State::Ending { quick: said, .. } if said || !quick => return,
            State::Ending { listens, .. } => listens,
            State::Serving => true,
            State::Starting => false,
        };
        // One that starts may not listen yet, and SIGQUIT would have it dump its core.
        actions.push(if quick && listens { Action::Quit(self.pid) } else { Action::Stop(self.pid) });
        let patience = if quick { QUICK_PATIENCE } else { patience };
        self.state = State::Ending { quick, listens, kill_at: Some(now + patience) };
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
mod tests;
