//! A descriptor that the reactor watches.

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Has the current runtime's reactor watch `fd` for being readable.
///
/// # Errors
/// The system's, when it has no room for another watched descriptor.
///
/// # Panics
/// Outside a runtime's context.
pub(super) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is an open descriptor that nobody else closes, and always the same one; it is moved into the
    // `AsyncFd`, which keeps it for its whole life and lends it out by shared reference only.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    watched.map_err(io::Error::from)
}
