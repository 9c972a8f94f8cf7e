//! System calls without a safe wrapper.

/// Ends the process now: no `atexit` of C, no destructors, which would run beside threads that still use what they free.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes any integer, touches no memory of ours and does not return.
    unsafe { libc::_exit(code) }
}

/// Limits how many arenas the allocator makes from now on.
#[cfg(target_env = "gnu")]
pub(crate) fn limit_arenas(most: i32) {
    // SAFETY: mallopt takes any integers and may be called at any time; it touches nothing but the allocator's settings.
    let set = unsafe { libc::mallopt(libc::M_ARENA_MAX, most) };
    debug_assert_eq!(set, 1, "glibc knows M_ARENA_MAX");
}

/// Has the allocator give whole pages that are free back to the system.
#[cfg(target_env = "gnu")]
pub(crate) fn trim() {
    // SAFETY: malloc_trim may be called at any time from any thread; it takes the allocator's own locks.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
pub(crate) fn limit_arenas(_most: i32) {}

#[cfg(not(target_env = "gnu"))]
pub(crate) fn trim() {}
