//! What the system only offers unsafely: how much of what it was given a socket still holds.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes that the socket was given and its peer has not taken: for TCP acknowledged, for unix sockets read. `None` where
/// the system does not tell.
pub(super) fn unsent(socket: BorrowedFd<'_>) -> Option<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for as long as it is borrowed, and this request writes one c_int, to ours.
    let code = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    (code == 0).then(|| u64::try_from(bytes).unwrap_or(0))
}
