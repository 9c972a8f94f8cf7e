//! Spares a socket questions whose answer is known.
//!
//! hyper asks for bytes whenever it is polled, also when what it was polled for is a response. Asking a socket of the reactor
//! costs some two hundred instructions even if nothing can have come. So the reactor is given a waker that leaves a mark.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Knows whether a socket may have something to say.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    bell: Option<(Arc<Bell>, Waker)>,
}

#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Alarm {
    /// Polls `socket`, unless it was pending the last time and has not woken anybody since. One task at a time does so.
    pub(crate) fn poll<R>(
        &mut self,
        cx: &Context<'_>,
        socket: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let (bell, waker) = match &self.bell {
            Some((bell, waker)) if bell.task.will_wake(cx.waker()) => (bell, waker),
            _ => {
                let bell = Arc::new(Bell { rung: AtomicBool::new(true), task: cx.waker().clone() });
                let (bell, waker) = self.bell.insert((Arc::clone(&bell), Waker::from(bell)));
                (&*bell, &*waker)
            }
        };
        if !bell.rung.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        // Before the question: what comes after it rings again.
        bell.rung.store(false, Ordering::Relaxed);
        let answer = socket(&mut Context::from_waker(waker));
        if answer.is_ready() {
            bell.rung.store(true, Ordering::Relaxed);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn a_socket_is_asked_again_only_after_it_has_rung_or_answered() {
        let task = Waker::from(Arc::new(Nobody));
        let cx = Context::from_waker(&task);
        let mut alarm = Alarm::default();
        let mut given = None;
        assert!(
            alarm
                .poll(&cx, |cx| {
                    given = Some(cx.waker().clone());
                    Poll::<()>::Pending
                })
                .is_pending()
        );
        assert!(alarm.poll(&cx, |_| -> Poll<()> { panic!("nothing can have come") }).is_pending());
        given.unwrap().wake();
        assert_eq!(alarm.poll(&cx, |_| Poll::Ready(1)), Poll::Ready(1));
        assert_eq!(alarm.poll(&cx, |_| Poll::Ready(2)), Poll::Ready(2), "there may be more");
    }

    #[test]
    fn what_rings_while_the_socket_is_asked_is_not_lost() {
        let task = Waker::from(Arc::new(Nobody));
        let cx = Context::from_waker(&task);
        let mut alarm = Alarm::default();
        assert!(
            alarm
                .poll(&cx, |cx| {
                    cx.waker().wake_by_ref();
                    Poll::<()>::Pending
                })
                .is_pending()
        );
        assert_eq!(alarm.poll(&cx, |_| Poll::Ready(())), Poll::Ready(()));
    }
}
