//! Where sockets are read into: one buffer a thread, so that an idle connection holds none.

use std::cell::RefCell;

/// Lends the buffer of this thread, which `body` must not ask for again.
pub(crate) fn with<R>(body: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| body(scratch))
}

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; 64 * 1024].into_boxed_slice());
}
