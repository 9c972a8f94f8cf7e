//! wsgi.input: the request's body as a binary file (PEP 3333 "Input and Error Streams").

use std::{
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    sync::{Mutex, MutexGuard, TryLockError},
};

use bytes::{Buf, Bytes};
use ironbridge_exchange::{
    RequestBody,
    pipe::{PipeError, Receiver},
};
use pyo3::{
    Bound, PyErr, PyResult, Python,
    exceptions::{
        PyConnectionResetError, PyOSError, PyRuntimeError, PyTimeoutError, PyTypeError, PyValueError,
    },
    prelude::*,
    types::{PyBytes, PyList, PyMemoryView, PySlice},
};

use crate::here::Here;

/// The body of one request.
#[pyclass(frozen, module = "ironbridge._native", name = "Input")]
#[derive(Debug)]
pub struct Input {
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Memory {
        bytes: Bytes,
        at: usize,
    },
    File(BufReader<File>),
    Stream {
        receiver: Receiver,
        chunk: Bytes,
        here: Here,
        failed: Option<PipeError>,
    },
    /// The request is over.
    Closed,
}

#[pymethods]
impl Input {
    /// Reads up to `size` bytes; all that is left without it. Fewer come back only at the end of the body.
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        let mut state = self.lock()?;
        let want = wanted(size);
        state.take_until(py, |block, have| (block.len().min(want - have), block.len() >= want - have))
    }

    /// Reads up to and with the next line feed, but no more than `size` bytes.
    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        let mut state = self.lock()?;
        state.take_line(py, wanted(size))
    }

    /// Reads lines until the end, or until they hold at least `hint` bytes together.
    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<isize>) -> PyResult<Bound<'py, PyList>> {
        let mut state = self.lock()?;
        let enough = hint.filter(|&hint| hint > 0).map_or(usize::MAX, isize::unsigned_abs);
        let (lines, mut total) = (PyList::empty(py), 0);
        while total < enough {
            let line = state.take_line(py, usize::MAX)?;
            if line.as_bytes().is_empty() {
                break;
            }
            total += line.as_bytes().len();
            lines.append(line)?;
        }
        Ok(lines)
    }

    /// Reads into a writable buffer; returns how many bytes. Fewer than it holds only at the end of the body.
    #[pyo3(signature = (buffer, /))]
    fn readinto(&self, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let py = buffer.py();
        let room = PyMemoryView::from(buffer)?.call_method1("cast", ("B",))?;
        if room.getattr("readonly")?.is_truthy()? {
            return Err(PyTypeError::new_err("readinto() needs a buffer that can be written to"));
        }
        let bytes = self.read(py, Some(room.len()?.cast_signed()))?;
        let len = bytes.as_bytes().len();
        room.set_item(PySlice::new(py, 0, len.cast_signed(), 1), bytes)?;
        Ok(len)
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.lock()?.take_line(py, usize::MAX)?;
        Ok((!line.as_bytes().is_empty()).then_some(line))
    }

    /// Always true while the request runs.
    fn readable(&self) -> PyResult<bool> {
        self.lock().map(|_| true)
    }

    /// Always false.
    fn writable(&self) -> bool {
        false
    }

    /// Always false.
    fn isatty(&self) -> bool {
        false
    }

    /// Does nothing: there is nothing to write.
    fn flush(&self) {}

    /// Does nothing: the server closes the body, at the end of its request.
    #[pyo3(name = "close")]
    fn close_later(&self) {}

    /// Whether the request is over, so that nothing can be read any more.
    #[getter]
    fn closed(&self) -> bool {
        self.state.try_lock().is_ok_and(|state| matches!(*state, State::Closed))
    }

    /// Whether the whole body is here, so that `seek()` and `tell()` work.
    fn seekable(&self) -> PyResult<bool> {
        self.lock().map(|state| !matches!(*state, State::Stream { .. }))
    }

    /// The position in a seekable body.
    fn tell(&self) -> PyResult<u64> {
        self.lock()?.seek(SeekFrom::Current(0))
    }

    /// Moves the position of a seekable body; returns it.
    #[pyo3(signature = (offset, whence=0, /))]
    fn seek(&self, offset: i64, whence: i32) -> PyResult<u64> {
        let to = match whence {
            0 => SeekFrom::Start(
                offset.try_into().map_err(|_| PyValueError::new_err("negative seek position"))?,
            ),
            1 => SeekFrom::Current(offset),
            2 => SeekFrom::End(offset),
            _ => return Err(PyValueError::new_err("whence must be 0, 1 or 2")),
        };
        self.lock()?.seek(to)
    }
}

impl Input {
    /// The body of a request.
    pub fn new(body: RequestBody, here: Here) -> Self {
        let state = match body {
            RequestBody::Empty => State::Memory { bytes: Bytes::new(), at: 0 },
            RequestBody::Bytes(bytes) => State::Memory { bytes, at: 0 },
            RequestBody::Spooled { file, .. } => State::File(BufReader::with_capacity(BLOCK, file)),
            RequestBody::Stream(receiver) => {
                State::Stream { receiver, chunk: Bytes::new(), here, failed: None }
            }
        };
        Self { state: Mutex::new(state) }
    }

    /// The body of requests that have none; one for all.
    pub fn empty() -> Self {
        Self { state: Mutex::new(State::Memory { bytes: Bytes::new(), at: 0 }) }
    }

    /// The request is over: reading raises from now on.
    pub fn close(&self) {
        // A thread of the application's own may be reading; its read ends by itself because the sender is gone.
        if let Ok(mut state) = self.state.try_lock() {
            *state = State::Closed;
        }
    }

    /// Whether a read has failed because the client had left.
    pub fn client_left(&self) -> bool {
        self.state
            .try_lock()
            .is_ok_and(|state| matches!(*state, State::Stream { failed: Some(PipeError::Closed), .. }))
    }

    fn lock(&self) -> PyResult<MutexGuard<'_, State>> {
        // Never waiting for the lock: whoever holds it may be waiting for the interpreter that we hold.
        match self.state.try_lock() {
            Ok(state) if matches!(*state, State::Closed) => {
                Err(PyValueError::new_err("read of wsgi.input after the end of its request"))
            }
            Ok(state) => Ok(state),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {
                Err(PyRuntimeError::new_err("wsgi.input is being read by another thread"))
            }
        }
    }
}

impl State {
    fn take_line<'py>(&mut self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyBytes>> {
        self.take_until(py, |block, have| {
            let window = &block[..block.len().min(most - have)];
            match memchr::memchr(b'\n', window) {
                Some(at) => (at + 1, true),
                None => (window.len(), window.len() == most - have),
            }
        })
    }

    /// Takes bytes block by block. `cut` is given a block and how much there is already; it says how much of the block to
    /// take, and whether that is enough.
    fn take_until<'py>(
        &mut self,
        py: Python<'py>,
        mut cut: impl FnMut(&[u8], usize) -> (usize, bool),
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut taken: Vec<u8> = Vec::new();
        loop {
            let block = self.block(py)?;
            if block.is_empty() {
                return Ok(PyBytes::new(py, &taken));
            }
            let (take, enough) = cut(block, taken.len());
            if enough && taken.is_empty() {
                let bytes = PyBytes::new(py, &block[..take]);
                self.consume(take);
                return Ok(bytes);
            }
            taken.extend_from_slice(&block[..take]);
            self.consume(take);
            if enough {
                return Ok(PyBytes::new(py, &taken));
            }
        }
    }

    /// The bytes that are at hand; waits for some, nothing at the end.
    fn block(&mut self, py: Python<'_>) -> PyResult<&[u8]> {
        match self {
            Self::Memory { bytes, at } => Ok(&bytes[*at..]),
            Self::File(file) => {
                if file.buffer().is_empty() {
                    py.detach(|| file.fill_buf().map(drop))?;
                }
                Ok(file.buffer())
            }
            Self::Stream { receiver, chunk, here, failed } => {
                if chunk.is_empty() {
                    *chunk = next_chunk(py, receiver, here, failed)?;
                }
                Ok(chunk)
            }
            Self::Closed => Ok(&[]),
        }
    }

    fn consume(&mut self, n: usize) {
        match self {
            Self::Memory { at, .. } => *at += n,
            Self::File(file) => file.consume(n),
            Self::Stream { chunk, .. } => chunk.advance(n),
            Self::Closed => {}
        }
    }

    fn seek(&mut self, to: SeekFrom) -> PyResult<u64> {
        match self {
            Self::Memory { bytes, at } => {
                let mut cursor = std::io::Cursor::new(&bytes[..]);
                cursor.set_position(*at as u64);
                let position = cursor.seek(to)?;
                *at = usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
                Ok(*at as u64)
            }
            Self::File(file) => Ok(file.seek(to)?),
            Self::Stream { .. } | Self::Closed => Err(PyOSError::new_err(
                "this request's body is still arriving; it cannot seek (see --request-buffering)",
            )),
        }
    }
}

fn next_chunk(
    py: Python<'_>,
    receiver: &mut Receiver,
    here: &Here,
    failed: &mut Option<PipeError>,
) -> PyResult<Bytes> {
    if let Some(error) = *failed {
        return Err(broken(error));
    }
    let mut unheard = std::task::Context::from_waker(std::task::Waker::noop());
    let item = match receiver.poll_chunk(&mut unheard) {
        (std::task::Poll::Ready(item), waker) => {
            here.wake(waker);
            item
        }
        (std::task::Poll::Pending, waker) => {
            here.wake(waker);
            here.wait(py, |cx, _| {
                let (poll, waker) = receiver.poll_chunk(cx);
                here.wake(waker);
                poll
            })
        }
    };
    match item {
        Some(Ok(chunk)) => Ok(chunk),
        None => Ok(Bytes::new()),
        Some(Err(error)) => {
            *failed = Some(error);
            Err(broken(error))
        }
    }
}

fn broken(error: PipeError) -> PyErr {
    match error {
        PipeError::Closed => {
            PyConnectionResetError::new_err("the client left before its request was complete")
        }
        PipeError::TimedOut => PyTimeoutError::new_err("the request's body arrived too slowly"),
        PipeError::Malformed | PipeError::TooLarge => PyOSError::new_err(error.to_string()),
    }
}

fn wanted(size: Option<isize>) -> usize {
    size.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX)
}

/// Bytes that are read from a spooled body at a time.
const BLOCK: usize = 64 * 1024;
