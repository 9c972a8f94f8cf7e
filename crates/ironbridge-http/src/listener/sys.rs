//! What the system only offers unsafely: an inherited descriptor by its number, and groups by their name.

use std::{
    ffi::CString,
    io,
    os::fd::{FromRawFd, OwnedFd},
};

/// A duplicate of the descriptor with this number, closed on exec.
pub(super) fn duplicate(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: fcntl takes any number; F_DUPFD_CLOEXEC touches no memory of ours, and leaves `number` as it is.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made `copy`, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// The number of the group with this name, from wherever the system keeps its groups.
pub(super) fn group_number(name: &str) -> io::Result<Option<u32>> {
    let name = CString::new(name)?;
    let mut space: Vec<libc::c_char> = vec![0; 1024];
    loop {
        // SAFETY: `group` is plain data for which all zeroes is a valid value.
        let mut group: libc::group = unsafe { std::mem::zeroed() };
        let mut found: *mut libc::group = std::ptr::null_mut();
        // SAFETY: all pointers are to live memory of ours, and `space.len()` is the room behind `space`.
        let code = unsafe {
            libc::getgrnam_r(name.as_ptr(), &mut group, space.as_mut_ptr(), space.len(), &mut found)
        };
        match code {
            0 => return Ok((!found.is_null()).then_some(group.gr_gid)),
            // A group with many members needs more room.
            libc::ERANGE if space.len() < 1 << 20 => space.resize(space.len() * 4, 0),
            // POSIX lets these say "not found" too.
            libc::ENOENT | libc::ESRCH => return Ok(None),
            code => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}
