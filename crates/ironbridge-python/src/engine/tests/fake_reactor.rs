//! A reactor without sockets: a queue of events that a test delivers, and a condition variable for `epoll_wait`.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use crate::engine::{
    reactor::Reactor,
    sync::{Condvar, Mutex},
};

/// Asserts that only one thread is ever inside.
#[derive(Clone, Default)]
pub(crate) struct FakeReactor(Arc<State>);

#[derive(Default)]
struct State {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    inside: bool,
    /// Whether `done` is to be polled.
    woken: bool,
    /// What the network has brought and the driver has not seen yet.
    network: VecDeque<Event>,
    /// What the driver has seen: tasks that are ready to run.
    ready: VecDeque<Event>,
    /// Looks at the network.
    looks: usize,
}

/// Runs on the thread that drives.
pub(crate) type Event = Box<dyn FnOnce() + Send>;

impl FakeReactor {
    /// Something arrives from the network.
    pub(crate) fn deliver(&self, event: impl FnOnce() + Send + 'static) {
        self.0.lock().network.push_back(Box::new(event));
        self.0.changed.notify_all();
    }

    /// A task becomes ready, from inside the reactor.
    pub(crate) fn ready(&self, event: impl FnOnce() + Send + 'static) {
        self.0.lock().ready.push_back(Box::new(event));
        self.0.changed.notify_all();
    }

    /// How often a driver has looked at the network.
    #[cfg(not(feature = "model"))]
    pub(crate) fn looks(&self) -> usize {
        self.0.lock().looks
    }

    /// What nobody has come to yet.
    #[cfg(feature = "model")]
    pub(crate) fn undelivered(&self) -> usize {
        let inner = self.0.lock();
        inner.network.len() + inner.ready.len()
    }

    #[cfg(not(feature = "model"))]
    pub(crate) fn is_driven(&self) -> bool {
        self.0.lock().inside
    }
}

impl State {
    fn lock(&self) -> crate::engine::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Runs some ready tasks; when there are none, looks at the network, and sleeps there unless woken.
    fn round(&self) {
        for _ in 0..TASKS_PER_LOOK {
            let Some(task) = self.lock().ready.pop_front() else { break };
            task();
        }
        let mut inner = self.lock();
        while inner.network.is_empty() && inner.ready.is_empty() && !inner.woken {
            inner = self.changed.wait(inner).unwrap();
        }
        inner.looks += 1;
        let Inner { network, ready, .. } = &mut *inner;
        ready.append(network);
    }
}

impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.lock().woken = true;
        self.changed.notify_all();
    }
}

impl Reactor for FakeReactor {
    fn drive<R>(&self, mut done: impl FnMut(&mut Context<'_>) -> Poll<R>) -> R {
        {
            let mut inner = self.0.lock();
            assert!(!inner.inside, "two threads drive the reactor");
            inner.inside = true;
            inner.woken = true;
        }
        let waker = Waker::from(Arc::clone(&self.0));
        loop {
            let poll = std::mem::take(&mut self.0.lock().woken);
            if poll && let Poll::Ready(value) = done(&mut Context::from_waker(&waker)) {
                self.0.lock().inside = false;
                return value;
            }
            self.0.round();
        }
    }

    fn nudge(&self) {
        Arc::clone(&self.0).wake();
    }
}

/// tokio's is 61.
const TASKS_PER_LOOK: usize = 8;
