//! wsgi.file_wrapper (PEP 3333 "Optional Platform-Specific File Handling").

use std::{
    fs::File,
    os::fd::{BorrowedFd, OwnedFd},
};

use pyo3::{Bound, Py, PyAny, PyResult, Python, exceptions::PyStopIteration, prelude::*};

use super::{ffi::borrow_fd, names::Names};

/// Wraps a file-like object. Returned to the server as it is, a real file is sent by the kernel; anything else, or one that
/// another iterable wraps, is read block by block.
#[pyclass(frozen, module = "ironbridge._native", name = "FileWrapper")]
#[derive(Debug)]
pub struct FileWrapper {
    /// The wrapped object.
    #[pyo3(get)]
    filelike: Py<PyAny>,
    /// Bytes per block.
    #[pyo3(get)]
    blksize: usize,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize=8192, /))]
    fn new(filelike: Py<PyAny>, blksize: i64) -> Self {
        // A suggestion, says PEP 3333: one that makes no sense is not taken.
        Self { filelike, blksize: usize::try_from(blksize).ok().filter(|size| *size > 0).unwrap_or(BLOCK) }
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let block = self.filelike.bind(py).call_method1(pyo3::intern!(py, "read"), (self.blksize,))?;
        if block.is_truthy()? { Ok(block.unbind()) } else { Err(PyStopIteration::new_err(())) }
    }

    /// Closes the wrapped object, if it can be closed.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.filelike.bind(py).getattr_opt(pyo3::intern!(py, "close"))? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        }
    }
}

impl FileWrapper {
    /// The file, the offset to begin at and the bytes to send, where the object is a regular file: from `tell()` on, to its
    /// end or as far as `content_length` says. `None`: only `read()` can tell what it holds.
    pub fn stretch(
        &self,
        py: Python<'_>,
        names: &Names,
        content_length: Option<u64>,
    ) -> Option<(File, u64, u64)> {
        let object = plain_file(self.filelike.bind(py)).ok()??;
        let file = regular_file(&object, names)?;
        // Files of /proc say that they are empty.
        let size = file.metadata().ok()?.len();
        if size == 0 {
            return None;
        }
        let offset: u64 = object.call_method0(&names.tell).ok()?.extract().ok()?;
        let rest = size.saturating_sub(offset);
        Some((file, offset, content_length.map_or(rest, |length| length.min(rest))))
    }
}

/// The object, if it is known to read nothing but the bytes of its descriptor; or the one that it is known to hand all calls
/// on to. Others may have a descriptor and yet read something else, as gzip's do.
fn plain_file<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let mut object = object.clone();
    for (module, name) in [("django.core.files.base", "File"), ("tempfile", "_TemporaryFileWrapper")] {
        let kind = object.get_type();
        if kind.module()? == module && kind.qualname()? == name {
            object = object.getattr("file")?;
        }
    }
    let is_plain = reads_as(&object, "FileIO")?
        || (reads_as(&object, "BufferedReader")? || reads_as(&object, "BufferedRandom")?)
            && reads_as(&object.getattr("raw")?, "FileIO")?;
    Ok(is_plain.then_some(object))
}

/// Whether the object is of this class of Python's `io`, or of one derived from it that leaves reading as it is.
fn reads_as(object: &Bound<'_, PyAny>, class: &str) -> PyResult<bool> {
    let class = object.py().import("io")?.getattr(class)?;
    let kind = object.get_type();
    if kind.is(&class) || !object.is_instance(&class)? {
        return Ok(kind.is(&class));
    }
    for method in ["read", "readinto", "tell", "fileno"] {
        if !kind.getattr(method)?.is(class.getattr(method)?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A handle of our own to the regular file behind a Python object.
fn regular_file(object: &Bound<'_, PyAny>, names: &Names) -> Option<File> {
    let fd: i32 = object.call_method0(&names.fileno).ok()?.extract().ok()?;
    if fd < 0 {
        return None;
    }
    let borrowed: BorrowedFd<'_> = borrow_fd(object, fd);
    let owned: OwnedFd = borrowed.try_clone_to_owned().ok()?;
    let file = File::from(owned);
    file.metadata().is_ok_and(|metadata| metadata.is_file()).then_some(file)
}

/// Bytes per block where the application suggests none.
const BLOCK: usize = 8192;
