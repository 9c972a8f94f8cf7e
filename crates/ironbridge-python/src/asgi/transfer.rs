//! A stretch of an application's open file on its way into a response (ASGI extensions, "Zero Copy Send").

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    os::unix::fs::FileExt,
};

use bytes::Bytes;
use pyo3::{
    Bound, PyResult,
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::PyDict,
};

use super::values::{flag, kind_of};
use crate::wsgi::ffi::borrow_fd;

/// What has not been sent of it.
#[derive(Debug)]
pub struct Transfer {
    /// The file, by a descriptor of our own: the application may close its one.
    pub file: File,
    /// The next byte.
    pub offset: u64,
    /// Bytes from there on.
    pub len: u64,
    /// Whether more of the body follows.
    pub more: bool,
}

impl Transfer {
    /// Reads `http.response.zerocopysend`. Without an offset the file's own position counts, and moves behind what is sent.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(event: &Bound<'_, PyDict>) -> PyResult<Self> {
        let fd = event
            .get_item("file")?
            .ok_or_else(|| PyValueError::new_err("http.response.zerocopysend has no \"file\""))?;
        let number: i32 = fd.extract().map_err(|_| {
            PyTypeError::new_err(format!("the file must be a descriptor, an int, not {}", kind_of(&fd)))
        })?;
        if number < 0 {
            return Err(PyValueError::new_err(format!("{number} is no file descriptor")));
        }
        let mut file = File::from(borrow_fd(&fd, number).try_clone_to_owned()?);
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Err(PyValueError::new_err(format!("descriptor {number} is no regular file")));
        }
        let (offset, count) = (size_of(event, "offset")?, size_of(event, "count")?);
        let start = offset.map_or_else(|| file.stream_position(), Ok)?;
        let there = facts.len().saturating_sub(start);
        let len = count.unwrap_or(there);
        if len > there {
            return Err(PyValueError::new_err(format!(
                "the file has {there} bytes from {start} on, and {len} are to be sent"
            )));
        }
        if offset.is_none() {
            file.seek(SeekFrom::Start(start + len))?;
        }
        Ok(Self { file, offset: start, len, more: flag(event, "more_body")? })
    }

    /// The next bytes, and whether more of the body follows behind them.
    ///
    /// # Errors
    /// The file's; also when it has become shorter.
    pub fn read(&mut self) -> io::Result<(Bytes, bool)> {
        let mut block = vec![0; usize::try_from(self.len).unwrap_or(BLOCK).min(BLOCK)];
        self.file.read_exact_at(&mut block, self.offset)?;
        self.offset += block.len() as u64;
        self.len -= block.len() as u64;
        Ok((block.into(), self.len > 0 || self.more))
    }
}

/// A number of bytes that may be missing.
fn size_of(event: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<u64>> {
    let Some(value) = event.get_item(name)?.filter(|value| !value.is_none()) else { return Ok(None) };
    value
        .extract()
        .map(Some)
        .map_err(|_| PyValueError::new_err(format!("the {name} must be a number of bytes, not {value}")))
}

/// Bytes that are read at a time.
const BLOCK: usize = 64 * 1024;
