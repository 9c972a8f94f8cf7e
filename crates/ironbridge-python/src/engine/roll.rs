//! Who is aboard: the engine's threads, counted so that a stop can wait for them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::sync::{Condvar, Mutex, thread};

/// Counts threads from their start to their end.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    aboard: Mutex<usize>,
    changed: Condvar,
}

impl Roll {
    /// Starts a thread.
    ///
    /// # Panics
    /// When the operating system has no more threads to give; the message names the limit.
    pub(crate) fn spawn(self: &Arc<Self>, name: String, body: impl FnOnce() + Send + 'static) {
        *self.aboard.lock().expect("no code panics under this lock") += 1;
        let leave = Leave(Arc::clone(self));
        let begun = thread::Builder::new().name(name).spawn(move || {
            let _leave = leave;
            body();
        });
        if let Err(error) = begun {
            panic!("cannot start a thread ({error}); see the limits on processes and tasks, or lower --threads");
        }
    }

    /// Waits until no thread is left, but no longer than `patience`; returns how many are.
    pub(crate) fn wait_for_all(&self, patience: Duration) -> usize {
        let deadline = Instant::now() + patience;
        let mut aboard = self.aboard.lock().expect("no code panics under this lock");
        while *aboard > 0 {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                break;
            };
            aboard = self.changed.wait_timeout(aboard, left).expect("no code panics under this lock").0;
        }
        *aboard
    }
}

/// Leaves the roll when dropped, also by a panic.
struct Leave(Arc<Roll>);

impl Drop for Leave {
    fn drop(&mut self) {
        *self.0.aboard.lock().expect("no code panics under this lock") -= 1;
        self.0.changed.notify_all();
    }
}
