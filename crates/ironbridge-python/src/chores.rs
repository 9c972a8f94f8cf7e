//! What only the main thread may do for others: set handlers of signals, and run them (Python's `signal` module).

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc},
    thread::{self, ThreadId},
};

use pyo3::{PyResult, Python, exceptions::PyRuntimeError};

/// Something to do.
pub type Chore = Box<dyn FnOnce(Python<'_>) + Send>;

/// Chores that wait for whoever does them: the thread that runs the worker, which is the main one unless a program has chosen
/// another.
#[derive(Default)]
pub struct Chores {
    /// None: nobody does any more.
    waiting: Mutex<Waiting>,
    bell: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct Waiting {
    chores: Vec<Chore>,
    is_closed: bool,
    /// Who does them at the moment.
    steward: Option<ThreadId>,
}

impl Chores {
    /// From now on `bell` is rung when there is something to do.
    pub fn hang_bell(&self, bell: Box<dyn Fn() + Send + Sync>) {
        let _ = self.bell.set(bell);
    }

    /// Has something done. When nobody does chores any more, it is dropped.
    pub fn post(&self, chore: Chore) {
        let mut waiting = self.waiting();
        if waiting.is_closed {
            drop(waiting);
            return drop(chore);
        }
        waiting.chores.push(chore);
        drop(waiting);
        if let Some(bell) = self.bell.get() {
            bell();
        }
    }

    /// Has something done, and waits for what comes of it.
    ///
    /// # Errors
    /// Those of `task`; `RuntimeError` when nobody does chores any more.
    pub fn call<R: Send + 'static>(
        &self,
        py: Python<'_>,
        task: impl FnOnce(Python<'_>) -> PyResult<R> + Send + 'static,
    ) -> PyResult<R> {
        if self.waiting().steward == Some(thread::current().id()) {
            return task(py);
        }
        let (done, outcome) = mpsc::channel();
        self.post(Box::new(move |py| drop(done.send(task(py)))));
        let over = || PyRuntimeError::new_err("the server has ended");
        py.detach(move || outcome.recv()).unwrap_or_else(|_| Err(over()))
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.waiting().chores.is_empty()
    }

    /// Does what waits.
    pub fn run(&self, py: Python<'_>) {
        let chores = {
            let mut waiting = self.waiting();
            waiting.steward = Some(thread::current().id());
            std::mem::take(&mut waiting.chores)
        };
        for chore in chores {
            chore(py);
        }
        self.waiting().steward = None;
    }

    /// Nobody does chores any more.
    pub fn close(&self) {
        let mut waiting = self.waiting();
        waiting.is_closed = true;
        let left = std::mem::take(&mut waiting.chores);
        drop(waiting);
        drop(left);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code of others runs under this lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the chores when dropped.
pub struct Closing(pub Arc<Chores>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_gets_what_came_of_it() {
        let chores = Arc::new(Chores::default());
        let asking = thread::spawn({
            let chores = Arc::clone(&chores);
            move || Python::attach(|py| chores.call(py, |_| Ok(17)).unwrap())
        });
        while chores.is_empty() {
            thread::yield_now();
        }
        Python::attach(|py| chores.run(py));
        assert_eq!(asking.join().unwrap(), 17);
    }

    #[test]
    fn a_chore_that_asks_for_another_one_does_not_wait_for_itself() {
        let chores = Arc::new(Chores::default());
        let inner = Arc::clone(&chores);
        let (done, outcome) = mpsc::channel();
        chores.post(Box::new(move |py| done.send(inner.call(py, |_| Ok(3)).unwrap()).unwrap()));
        Python::attach(|py| chores.run(py));
        assert_eq!(outcome.recv(), Ok(3));
    }

    #[test]
    fn nobody_waits_for_what_is_not_done_any_more() {
        let chores = Chores::default();
        chores.close();
        let error = Python::attach(|py| chores.call(py, |_| Ok(())).unwrap_err().to_string());
        assert_eq!(error, "RuntimeError: the server has ended");
    }
}
