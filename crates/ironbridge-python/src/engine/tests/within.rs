//! A bound on the time that a test takes.

use std::{panic, sync::mpsc, thread, time::Duration};

/// Runs `test` on a thread of its own, and fails if it has not ended after `limit`.
pub(crate) fn within(limit: Duration, test: impl FnOnce() + Send + 'static) {
    let (ended, end) = mpsc::channel::<()>();
    let runner = thread::spawn(move || {
        let _ended = ended;
        test();
    });
    match end.recv_timeout(limit) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("not done after {limit:?}"),
        _ => {
            if let Err(cause) = runner.join() {
                panic::resume_unwind(cause);
            }
        }
    }
}
