//! The few calls into CPython that PyO3 has no safe words for.

use std::{ffi::c_ulong, os::fd::BorrowedFd};

use pyo3::{
    Borrowed, Bound, Py, PyAny, PyErr, PyResult, Python, ffi,
    types::{PyDict, PyDictMethods, PyString},
};

/// A string of the code points that `bytes` are in latin-1: WSGI's native string (PEP 3333 "Unicode Issues").
///
/// # Errors
/// `MemoryError`.
pub(crate) fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    // SAFETY: the pointer is valid for `len` bytes during the call, which copies them; the thread is attached. The
    // result is a new reference to a str, or null with an exception set.
    unsafe {
        let text = ffi::PyUnicode_DecodeLatin1(
            bytes.as_ptr().cast(),
            bytes.len() as ffi::Py_ssize_t,
            std::ptr::null(),
        );
        Bound::from_owned_ptr_or_err(py, text).map(|text| text.cast_into_unchecked())
    }
}

/// How many references there are to an object.
pub(super) fn references<T>(object: &Bound<'_, T>) -> isize {
    // SAFETY: the pointer is a valid object for as long as it is borrowed; the thread is attached.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// The latin-1 form of a string; `None` where it has characters beyond U+00FF.
#[inline]
pub(super) fn latin1_bytes<'a>(text: &'a Bound<'_, PyString>) -> Option<&'a [u8]> {
    let text = text.as_ptr();
    // SAFETY: the pointer is a valid str for as long as the slice lives, made ready where Python is so old that this must be
    // asked for, and strings never change. CPython stores one byte a character exactly if all are below U+0100 (PEP 393);
    // then the data are as many bytes as the string is long.
    unsafe {
        if ffi::PyUnicode_READY(text) != 0 {
            ffi::PyErr_Clear();
            return None;
        }
        let is_narrow = ffi::PyUnicode_KIND(text) == ffi::PyUnicode_1BYTE_KIND;
        is_narrow.then(|| {
            let len = usize::try_from(ffi::PyUnicode_GET_LENGTH(text)).unwrap_or(0);
            std::slice::from_raw_parts(ffi::PyUnicode_1BYTE_DATA(text), len)
        })
    }
}

/// `dict.setdefault(key, value)`. `None`: `value` is in the dict now; else what was there before.
///
/// # Errors
/// `MemoryError`, or what hashing the key raises.
pub(super) fn set_default<'py>(
    dict: &Bound<'py, PyDict>,
    key: &Py<PyString>,
    value: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let before = dict.len();
    // SAFETY: all three pointers are valid objects, the first a dict; the thread is attached. The result is a borrowed
    // reference that the dict keeps alive, or null with an exception set.
    unsafe {
        let found = ffi::PyDict_SetDefault(dict.as_ptr(), key.as_ptr(), value.as_ptr());
        if found.is_null() {
            return Err(PyErr::fetch(dict.py()));
        }
        // Which object is found does not tell: Python has only one of each string of up to one character.
        if dict.len() > before { Ok(None) } else { Ok(Some(Borrowed::from_ptr(dict.py(), found).to_owned())) }
    }
}

/// The descriptor that a Python file object says it has, for as long as the object is borrowed.
pub(crate) fn borrow_fd<'a>(_owner: &'a Bound<'_, PyAny>, fd: i32) -> BorrowedFd<'a> {
    assert!(fd >= 0, "the caller checked the descriptor");
    // SAFETY: the descriptor is not -1, and the object that vouches for it outlives the borrow. Should the object lie, or
    // another thread close it meanwhile, duplicating the descriptor fails or yields another open file, which the caller
    // checks for being a regular file; memory is never touched through it.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Has an exception raised in a thread as soon as it runs Python code; `None` takes it back.
pub(crate) fn set_exception(_py: Python<'_>, thread: c_ulong, exception: Option<&Bound<'_, PyAny>>) {
    let exception = exception.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: the caller is attached. The number may be of a thread that has ended, which Python looks up by itself. A pointer
    // that is not null is that of a live exception class, of which Python takes a reference of its own.
    // (C has it unsigned, as the number is; the binding signed.)
    unsafe { ffi::PyThreadState_SetAsyncExc(thread.cast_signed(), exception) };
}
