//! Tells an event loop that waits elsewhere: a descriptor that is readable once the bell has been rung.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use rustix::event::{EventfdFlags, eventfd};

/// An eventfd(2).
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// A bell that has not been rung.
    ///
    /// # Errors
    /// The system's, when it has no descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// What an event loop watches for being readable.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Rings it; several times count as one.
    pub fn ring(&self) {
        // It can only be full, and then it rings already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// The loop has heard it.
    pub fn silence(&self) {
        let mut count = [0; 8];
        // It can only be silent already.
        let _ = rustix::io::read(&self.0, &mut count);
    }
}
