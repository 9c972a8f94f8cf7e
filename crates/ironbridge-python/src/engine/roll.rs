//! Who is aboard: the engine's threads, counted so that a stop can wait for them.

use std::{io, sync::Arc, time::Duration};

use super::sync::{Condvar, Mutex, now, thread, wait_for};

/// Bytes of stack, as a process's first thread has them. Python's recursion limit counts its own frames and takes the
/// rest on trust: with Rust's 2 MB, recursion through C code overflows long before it (gunicorn's threads have 8 MB too).
const STACK: usize = 8 << 20;

/// Counts threads from their start to their end.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    aboard: Mutex<usize>,
    changed: Condvar,
}

impl Roll {
    /// Starts a thread.
    ///
    /// # Errors
    /// The system's, when it has no more threads to give.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        name: String,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        *self.aboard.lock().expect("no code panics under this lock") += 1;
        let leave = Leave(Arc::clone(self));
        // Without a thread the closure is dropped, and what it holds leaves the roll again.
        thread::Builder::new().name(name).stack_size(STACK).spawn(move || {
            let _leave = leave;
            body();
        })?;
        Ok(())
    }

    /// Waits until no thread is left, but no longer than `patience`; returns how many are.
    pub(crate) fn wait_for_all(&self, patience: Duration) -> usize {
        let deadline = now() + patience;
        let mut aboard = self.aboard.lock().expect("no code panics under this lock");
        while *aboard > 0 {
            let left = deadline.duration_since(now());
            if left.is_zero() {
                break;
            }
            (aboard, _) = wait_for(&self.aboard, &self.changed, aboard, left);
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
