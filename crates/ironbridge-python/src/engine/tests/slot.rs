//! Where a job leaves its answer, and its connection's task waits for it.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::engine::sync::Mutex;

/// Takes one answer; a second one fails the test.
#[derive(Debug)]
pub(crate) struct Slot<T>(Arc<Mutex<State<T>>>);

#[derive(Debug)]
struct State<T> {
    answer: Option<T>,
    answered: bool,
    waiter: Option<Waker>,
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { answer: None, answered: false, waiter: None })))
    }
}

impl<T> Slot<T> {
    /// Leaves the answer. Whoever waits is to be woken.
    #[must_use]
    pub(crate) fn put(&self, answer: T) -> Option<Waker> {
        let mut state = self.0.lock().unwrap();
        assert!(!state.answered, "answered twice");
        state.answered = true;
        state.answer = Some(answer);
        state.waiter.take()
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = self.0.lock().unwrap();
        match state.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.waiter = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
