//! Lines on their way to the writer: a bounded buffer, and who wakes whom.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::clock::Clock;

/// Shared by those who log and the one writer.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// The writer waits here.
    work: Condvar,
    /// Those who flush wait here.
    settled: Condvar,
}

#[derive(Debug)]
struct State {
    clock: Clock,
    pending: Vec<u8>,
    /// How full `pending` must be for the writer to be woken. Each wake is a system call, so there is at most one
    /// a batch.
    wake_at: usize,
    /// Lines ever taken into `pending`.
    accepted: u64,
    /// Those of them that were written or given up.
    settled: u64,
    /// Lines ever lost.
    lost: u64,
    /// Where in `pending` the new file begins.
    reopen_at: Option<usize>,
    /// Somebody flushes: write now what is there.
    hurry: bool,
    stop: bool,
    writer_gone: bool,
}

/// What the writer shall do with its batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Orders {
    /// Lines in the batch.
    pub(super) lines: u64,
    /// Where in the batch to open the file anew.
    pub(super) reopen_at: Option<usize>,
    /// Lines ever lost before this batch.
    pub(super) lost: u64,
    /// It is the last batch.
    pub(super) stop: bool,
}

/// The side of those who log.
impl Queue {
    pub(super) fn new(clock: Clock) -> Self {
        let state = State {
            clock,
            pending: Vec::new(),
            wake_at: BUSY,
            accepted: 0,
            settled: 0,
            lost: 0,
            reopen_at: None,
            hurry: false,
            stop: false,
            writer_gone: false,
        };
        Self { state: Mutex::new(state), work: Condvar::new(), settled: Condvar::new() }
    }

    /// Adds the line that `format` appends, or drops it when there is no room.
    pub(super) fn push(&self, format: impl FnOnce(&mut Clock, &mut Vec<u8>)) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.pending.len() >= LIMIT || state.writer_gone {
            state.lost += 1;
            return;
        }
        format(&mut state.clock, &mut state.pending);
        state.accepted += 1;
        if state.pending.len() >= state.wake_at {
            state.wake_at = BUSY;
            drop(guard);
            self.work.notify_one();
        }
    }

    pub(super) fn ask_to_reopen(&self) {
        let mut state = self.lock();
        state.reopen_at = Some(state.pending.len());
        self.work.notify_one();
    }

    /// See `AccessLog::flush`.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let mut state = self.lock();
        let goal = state.accepted;
        if state.settled < goal {
            state.hurry = true;
            self.work.notify_one();
        }
        let unfinished = |state: &mut State| state.settled < goal && !state.writer_gone;
        let (state, _) = self
            .settled
            .wait_timeout_while(state, patience, unfinished)
            .unwrap_or_else(PoisonError::into_inner);
        state.settled >= goal
    }

    /// Ends the writer and waits until it has written what is left, at most `patience`.
    pub(super) fn stop(&self, patience: Duration) {
        let mut state = self.lock();
        state.stop = true;
        self.work.notify_one();
        let running = |state: &mut State| !state.writer_gone;
        let waited = self.settled.wait_timeout_while(state, patience, running);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn lost(&self) -> u64 {
        self.lock().lost
    }

    /// A panic while formatting may leave half a line behind, but no state that could mislead.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The side of the writer.
impl Queue {
    /// Waits until there is something to do, lets lines gather for a while, and swaps them into `batch`, which
    /// must be empty.
    pub(super) fn take(&self, batch: &mut Vec<u8>) -> Orders {
        let mut state = self.lock();
        while state.pending.is_empty() && !state.is_urgent() {
            state.wake_at = 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.wake_at = ENOUGH;
        let gathering = |state: &mut State| !state.is_urgent() && state.pending.len() < ENOUGH;
        let waited = self.work.wait_timeout_while(state, GATHER, gathering);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.wake_at = BUSY;
        state.hurry = false;
        std::mem::swap(&mut state.pending, batch);
        Orders {
            lines: state.accepted - state.settled,
            reopen_at: state.reopen_at.take(),
            lost: state.lost,
            stop: state.stop,
        }
    }

    /// Says that a batch is done with, and how many of its lines were lost.
    pub(super) fn settle(&self, lines: u64, lost: u64) {
        let mut state = self.lock();
        state.settled += lines;
        state.lost += lost;
        self.settled.notify_all();
    }

    /// Says that nobody will take lines any more.
    pub(super) fn abandon(&self) {
        self.lock().writer_gone = true;
        self.settled.notify_all();
    }
}

impl State {
    fn is_urgent(&self) -> bool {
        self.hurry || self.stop || self.reopen_at.is_some()
    }
}

/// The most bytes that wait for a stuck writer, give or take a line.
const LIMIT: usize = 8 << 20;
/// So many bytes are worth a write at once.
const ENOUGH: usize = 1 << 20;
/// No fill level wakes a writer that is not waiting.
const BUSY: usize = usize::MAX;
/// How long lines gather.
const GATHER: Duration = Duration::from_millis(100);
