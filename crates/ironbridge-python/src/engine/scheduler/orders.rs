//! What the scheduler says to the threads, and what it is told.

use std::time::Duration;

use crate::engine::moment::Moment;

/// Numbers a pool thread within its engine, from 0.
pub type ThreadId = usize;

/// What a pool thread does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Order<J> {
    /// Drive the reactor; leadership is already entered in the books.
    Lead,
    /// Attach to the interpreter, then ask [`Scheduler::attached`](super::Scheduler::attached).
    Attach,
    /// Run this job; the interpreter is attached.
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
    /// Unpark the watchdog: it has to lead, or to end.
    Watchdog,
}

/// What the leader does after looking at the books from inside the reactor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Go on driving I/O.
    Stay,
    /// Leave the reactor, then ask what for.
    Leave,
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
    Suspect(Suspect),
    /// Drive the reactor yourself (I/O only).
    Lead,
    /// Somebody has been found to lead; summon it.
    Summon(Summons),
    /// Every thread has ended; so may the watchdog.
    Over,
}

/// A thread that has left the reactor alone. Two looks that are equal see the same stretch of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspect {
    /// The thread that left.
    pub thread: ThreadId,
    /// Numbers jobs; `None` while the thread waits for the interpreter.
    pub job: Option<u64>,
    /// Since when nobody drives the reactor.
    pub since: Moment,
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

/// Limits and policy of one engine.
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
