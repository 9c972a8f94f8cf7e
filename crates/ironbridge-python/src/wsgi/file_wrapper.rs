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
    fn new(filelike: Py<PyAny>, blksize: usize) -> Self {
        // Blocks far below a network packet only cost time.
        Self { filelike, blksize: blksize.max(1) }
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
    /// end or as far as `content_length` says.
    ///
    /// # Errors
    /// What `tell()` raises.
    pub fn stretch(
        &self,
        py: Python<'_>,
        names: &Names,
        content_length: Option<u64>,
    ) -> PyResult<Option<(File, u64, u64)>> {
        let object = self.filelike.bind(py);
        let Some(file) = regular_file(object, names) else { return Ok(None) };
        let Ok(size) = file.metadata().map(|metadata| metadata.len()) else { return Ok(None) };
        let offset: u64 = object.call_method0(&names.tell)?.extract()?;
        let rest = size.saturating_sub(offset);
        Ok(Some((file, offset, content_length.map_or(rest, |length| length.min(rest)))))
    }
}

/// A handle of our own to the regular file behind a Python object.
fn regular_file(object: &Bound<'_, PyAny>, names: &Names) -> Option<File> {
    // BytesIO and friends raise; a text file's position counts characters, not bytes.
    let fd: i32 = object.call_method0(&names.fileno).ok()?.extract().ok()?;
    let is_text = object.hasattr(pyo3::intern!(object.py(), "encoding")).unwrap_or(true);
    if fd < 0 || is_text {
        return None;
    }
    let borrowed: BorrowedFd<'_> = borrow_fd(object, fd);
    let owned: OwnedFd = borrowed.try_clone_to_owned().ok()?;
    let file = File::from(owned);
    file.metadata().is_ok_and(|metadata| metadata.is_file()).then_some(file)
}
