//! The pool threads as the books know them: what each one does, how many do it, and who sleeps.

use std::time::Duration;

use super::orders::{Summons, ThreadId};
use crate::engine::moment::Moment;

/// Every thread's phase, and the counts that follow from them.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Crew {
    phases: Vec<Phase>,
    assignments: Vec<Option<Assignment>>,
    /// Parked threads; the last has slept the shortest.
    idle: Vec<ThreadId>,
    attaching: usize,
    running: usize,
    blocked: usize,
    job_count: u64,
    /// Whether the system may have threads to give; `false` from a failed start until some thread ends.
    may_spawn: bool,
}

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Does not exist, or touches the books no more.
    Absent,
    /// Woken to end.
    Dismissed,
    Parked,
    /// Woken or started to lead.
    Called,
    Leading,
    /// Waits for the interpreter, or is on its way there.
    Attaching,
    Running(Stint),
}

/// One job on one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stint {
    pub(super) job: u64,
    /// Known to sleep: it does not hold the interpreter.
    blocked: bool,
    /// Known to compute for long: others get their turns at the interpreter meanwhile.
    long: bool,
    waiting_since: Option<Moment>,
    /// Time spent waiting for the client.
    waited: Duration,
}

/// What a thread was woken or started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assignment {
    Lead,
    Attach,
    Exit,
}

impl Crew {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            phases: vec![Phase::Absent; threads],
            assignments: vec![None; threads],
            idle: Vec::with_capacity(threads),
            attaching: 0,
            running: 0,
            blocked: 0,
            job_count: 0,
            may_spawn: true,
        }
    }

    pub(super) fn phase(&self, id: ThreadId) -> Phase {
        self.phases[id]
    }

    /// Threads that wait for the interpreter or are on their way there.
    pub(super) fn attaching(&self) -> usize {
        self.attaching
    }

    /// Threads that exist, or are being started.
    pub(super) fn alive(&self) -> usize {
        self.phases.iter().filter(|&&phase| phase != Phase::Absent).count()
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Whether a thread is attached and runs a job, as far as is known.
    pub(super) fn holds_interpreter(&self) -> bool {
        self.running > self.blocked
    }

    /// A thread that runs a job and is known neither to sleep nor to compute for long, and its job: `known` if it is such a
    /// job, so that one which returns from a wait does not push aside the one that the watchdog has an eye on.
    pub(super) fn holder(&self, known: Option<u64>) -> Option<(ThreadId, u64)> {
        let mut holders = self.phases.iter().enumerate().filter_map(|(id, phase)| match phase {
            Phase::Running(stint) if !stint.blocked && !stint.long => Some((id, stint.job)),
            _ => None,
        });
        let first = holders.next()?;
        let same = |(_, job): &(ThreadId, u64)| known == Some(*job);
        if same(&first) { Some(first) } else { holders.find(same).or(Some(first)) }
    }

    /// The thread's present job is found to compute for long.
    pub(super) fn set_long(&mut self, id: ThreadId) {
        if let Phase::Running(stint) = &mut self.phases[id] {
            stint.long = true;
        }
    }

    /// Whether no thread has a job or is about to take one.
    pub(super) fn is_at_rest(&self) -> bool {
        self.running == 0 && self.attaching == 0
    }

    pub(super) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Whether a thread can be summoned.
    pub(super) fn has_spare(&self) -> bool {
        self.has_idle() || (self.may_spawn && self.phases.contains(&Phase::Absent))
    }

    /// The thread that slept last, or a new one.
    pub(super) fn summon(&mut self, assignment: Assignment) -> Option<(ThreadId, Summons)> {
        let (id, summons) = match self.idle.pop() {
            Some(id) => (id, Summons::Wake(id)),
            None => {
                let absent = |&phase: &Phase| phase == Phase::Absent;
                let id = self.phases.iter().position(absent).filter(|_| self.may_spawn)?;
                (id, Summons::Spawn(id))
            }
        };
        self.assign(id, assignment);
        Some((id, summons))
    }

    /// Sends a sleeping thread home.
    pub(super) fn dismiss_one(&mut self) -> Option<Summons> {
        let id = self.idle.pop()?;
        self.assign(id, Assignment::Exit);
        Some(Summons::Wake(id))
    }

    fn assign(&mut self, id: ThreadId, assignment: Assignment) {
        self.assignments[id] = Some(assignment);
        match assignment {
            Assignment::Lead => self.phases[id] = Phase::Called,
            Assignment::Attach => self.begin_attaching(id),
            Assignment::Exit => self.phases[id] = Phase::Dismissed,
        }
    }

    /// What `id` was summoned for, once.
    pub(super) fn take_assignment(&mut self, id: ThreadId) -> Option<Assignment> {
        self.assignments[id].take()
    }

    /// A thread could not be started; what it was meant for.
    pub(super) fn spawn_failed(&mut self, id: ThreadId) -> Option<Assignment> {
        self.may_spawn = false;
        if self.phases[id] == Phase::Attaching {
            self.attaching -= 1;
        }
        self.phases[id] = Phase::Absent;
        self.take_assignment(id)
    }

    /// With no thread at all, the system is asked again, whatever it said last.
    pub(super) fn hope_for_threads(&mut self) {
        if !self.may_spawn {
            self.may_spawn = self.alive() == 0;
        }
    }

    pub(super) fn lead(&mut self, id: ThreadId) {
        self.phases[id] = Phase::Leading;
    }

    pub(super) fn begin_attaching(&mut self, id: ThreadId) {
        self.phases[id] = Phase::Attaching;
        self.attaching += 1;
    }

    /// The thread has its interpreter, and something else to do next.
    pub(super) fn end_attaching(&mut self) {
        self.attaching -= 1;
    }

    pub(super) fn park(&mut self, id: ThreadId) {
        self.phases[id] = Phase::Parked;
        self.idle.push(id);
    }

    /// Takes a parked thread off the books; `false` if it is not parked any more.
    pub(super) fn retire(&mut self, id: ThreadId) -> bool {
        let Some(place) = self.idle.iter().position(|&idle| idle == id) else { return false };
        self.idle.remove(place);
        self.depart(id);
        true
    }

    /// The thread ends and asks nothing more.
    pub(super) fn depart(&mut self, id: ThreadId) {
        self.phases[id] = Phase::Absent;
        self.may_spawn = true;
    }

    pub(super) fn begin_job(&mut self, id: ThreadId) {
        let job = self.job_count;
        self.phases[id] = Phase::Running(Stint {
            job,
            blocked: false,
            long: false,
            waiting_since: None,
            waited: Duration::ZERO,
        });
        self.running += 1;
        self.job_count += 1;
    }

    /// Ends the thread's job; returns how long it waited for its client.
    pub(super) fn end_job(&mut self, id: ThreadId) -> Duration {
        self.set_blocked(id, false);
        self.running -= 1;
        self.stint(id).map_or(Duration::ZERO, |stint| stint.waited)
    }

    pub(super) fn begin_wait(&mut self, id: ThreadId, now: Moment) {
        self.set_blocked(id, true);
        if let Some(stint) = self.stint(id) {
            stint.waiting_since = Some(now);
        }
    }

    pub(super) fn end_wait(&mut self, id: ThreadId, now: Moment) {
        self.set_blocked(id, false);
        if let Some(stint) = self.stint(id)
            && let Some(since) = stint.waiting_since.take()
        {
            stint.waited += now.duration_since(since);
        }
    }

    /// Notes whether a running thread sleeps, and so does not hold the interpreter.
    pub(super) fn set_blocked(&mut self, id: ThreadId, now_blocked: bool) {
        let Some(stint) = self.stint(id) else { return };
        match (std::mem::replace(&mut stint.blocked, now_blocked), now_blocked) {
            (false, true) => self.blocked += 1,
            (true, false) => self.blocked -= 1,
            _ => {}
        }
    }

    fn stint(&mut self, id: ThreadId) -> Option<&mut Stint> {
        match &mut self.phases[id] {
            Phase::Running(stint) => Some(stint),
            _ => None,
        }
    }
}

#[cfg(test)]
impl Crew {
    /// Fails unless the counts follow from the phases.
    pub(super) fn check(&self) {
        let count = |wanted: fn(&Phase) -> bool| self.phases.iter().filter(|phase| wanted(phase)).count();
        assert_eq!(self.attaching, count(|phase| *phase == Phase::Attaching));
        assert_eq!(self.running, count(|phase| matches!(phase, Phase::Running(_))));
        assert_eq!(self.blocked, count(|phase| matches!(phase, Phase::Running(Stint { blocked: true, .. }))));
        assert_eq!(self.idle.len(), count(|phase| *phase == Phase::Parked));
        assert!(self.idle.iter().all(|&id| self.phases[id] == Phase::Parked));
        assert!(count(|phase| *phase == Phase::Leading || *phase == Phase::Called) <= 1, "{self:?}");
    }
}
