//! Puts one thread to sleep until somebody leaves it a token.

use std::time::Duration;

use super::sync::{Condvar, Mutex, wait_for};

/// A place where one thread sleeps. A token left before it sleeps is not lost; several count as one.
#[derive(Debug, Default)]
pub(crate) struct Parker {
    token: Mutex<bool>,
    wake: Condvar,
}

impl Parker {
    /// Sleeps until there is a token, and takes it. `false`: `patience` ended first.
    pub(crate) fn park(&self, patience: Option<Duration>) -> bool {
        let mut token = self.token.lock().expect("no code panics under this lock");
        while !*token {
            match patience {
                None => token = self.wake.wait(token).expect("no code panics under this lock"),
                Some(patience) => {
                    let timed_out;
                    (token, timed_out) = wait_for(&self.token, &self.wake, token, patience);
                    if timed_out && !*token {
                        return false;
                    }
                }
            }
        }
        *token = false;
        true
    }

    /// Leaves a token, and wakes the thread if it sleeps.
    pub(crate) fn unpark(&self) {
        *self.token.lock().expect("no code panics under this lock") = true;
        self.wake.notify_one();
    }
}
