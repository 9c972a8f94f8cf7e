//! A model of Python: a lock, and jobs that compute, block, or wait for their client.

use crate::engine::{
    pool::Interpreter,
    scheduler::ThreadId,
    sync::{Condvar, Mutex},
};

/// What a test runs in place of a request.
pub(crate) type Job = Box<dyn FnOnce(&Python<'_>) + Send>;

/// The model of an interpreter; counts what the engine promises about it.
#[derive(Default)]
pub(crate) struct Model {
    gil: Gil,
    census: Mutex<Census>,
}

/// What the threads of a [`Model`] have done.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Census {
    /// Threads that have been started, and that live.
    pub(crate) born: usize,
    pub(crate) alive: usize,
    /// Threads that wait to be attached, and the most that ever did.
    pub(crate) attaching: usize,
    pub(crate) most_attaching: usize,
}

/// A thread's hold on the interpreter, as a job sees it.
pub(crate) struct Python<'a> {
    gil: &'a Gil,
    /// The thread that runs the job.
    pub(crate) me: ThreadId,
}

#[derive(Default)]
struct Gil {
    held: Mutex<bool>,
    freed: Condvar,
}

impl Model {
    pub(crate) fn census(&self) -> Census {
        *self.census.lock().unwrap()
    }

    /// Holds the lock as a thread would that is none of the engine's.
    #[cfg(not(feature = "model"))]
    pub(crate) fn hold<T>(&self, body: impl FnOnce() -> T) -> T {
        self.gil.take();
        let value = body();
        self.gil.release();
        value
    }
}

impl Interpreter for Model {
    type Job = Job;

    fn live(&self, body: impl FnOnce() + Send) {
        {
            let mut census = self.census.lock().unwrap();
            census.born += 1;
            census.alive += 1;
        }
        body();
        self.census.lock().unwrap().alive -= 1;
    }

    fn attach<R>(&self, me: ThreadId, body: impl FnOnce(&mut dyn FnMut(Job)) -> R) -> R {
        {
            let mut census = self.census.lock().unwrap();
            census.attaching += 1;
            census.most_attaching = census.most_attaching.max(census.attaching);
        }
        self.gil.take();
        self.census.lock().unwrap().attaching -= 1;
        let python = Python { gil: &self.gil, me };
        let value = body(&mut |job| job(&python));
        self.gil.release();
        value
    }
}

impl Python<'_> {
    /// Runs `body` without the lock, as everything in Python that blocks does.
    pub(crate) fn detached<T>(&self, body: impl FnOnce() -> T) -> T {
        self.gil.release();
        let value = body();
        self.gil.take();
        value
    }
}

impl Gil {
    fn take(&self) {
        let mut held = self.held.lock().unwrap();
        while *held {
            held = self.freed.wait(held).unwrap();
        }
        *held = true;
    }

    fn release(&self) {
        *self.held.lock().unwrap() = false;
        self.freed.notify_one();
    }
}
