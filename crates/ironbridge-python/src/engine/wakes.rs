//! Tasks of the reactor that are to be woken from inside it, where that costs no system call.

use std::task::Waker;

use super::sync::Mutex;

/// A list of them. Whoever drives the reactor empties it before anything else.
#[derive(Default)]
pub(crate) struct Wakes {
    lists: Mutex<Lists>,
}

#[derive(Default)]
struct Lists {
    waiting: Vec<Waker>,
    spare: Vec<Waker>,
}

impl Wakes {
    /// Puts a task on the list. `true`: it is the first, so that a leader that is there already must be told.
    pub(crate) fn push(&self, waker: Waker) -> bool {
        let mut lists = self.lists.lock().expect("no code panics under this lock");
        lists.waiting.push(waker);
        lists.waiting.len() == 1
    }

    /// Wakes all of them.
    pub(crate) fn wake_all(&self) {
        let mut batch = {
            let mut lists = self.lists.lock().expect("no code panics under this lock");
            if lists.waiting.is_empty() {
                return;
            }
            let spare = std::mem::take(&mut lists.spare);
            std::mem::replace(&mut lists.waiting, spare)
        };
        batch.drain(..).for_each(Waker::wake);
        self.lists.lock().expect("no code panics under this lock").spare = batch;
    }
}
