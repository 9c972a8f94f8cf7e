//! System calls without a safe wrapper.

/// Ends the process now: no `atexit` of C, no destructors, which would run beside threads that still use what they free.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes any integer, touches no memory of ours and does not return.
    unsafe { libc::_exit(code) }
}
