//! From what the application returned to the connection: bytes, chunk by chunk, as lazily as PEP 3333 asks.

use bytes::Bytes;
use ironbridge_exchange::ResponseBody;
use pyo3::{
    Bound, PyAny, PyErr, PyResult, Python,
    exceptions::{PyAssertionError, PyRuntimeError, PyTypeError},
    prelude::*,
    pybacked::PyBackedBytes,
    types::{PyBytes, PyList, PyString, PyTuple},
};

use super::{
    file_wrapper::FileWrapper,
    names::Names,
    start_response::{StartResponse, Unsent, not_bytes},
};

/// Why a response was not delivered.
#[derive(Debug)]
pub enum Failure {
    /// The application never called start_response.
    NotStarted,
    /// More came than Content-Length promised; what was too much has been cut off.
    TooMuch,
    /// The application goes on after the end of its request.
    Over,
    /// Nobody is there to take it.
    ClientLeft,
    /// The application raised.
    Raised(PyErr),
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl From<Unsent> for Failure {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::NotStarted => Self::NotStarted,
            Unsent::Begun(_) => Self::Over,
        }
    }
}

impl Failure {
    /// As an exception to raise in the application, or to log.
    pub fn into_error(self) -> PyErr {
        match self {
            Self::NotStarted => {
                PyAssertionError::new_err("the application gave a body before it called start_response()")
            }
            Self::Over => PyRuntimeError::new_err("write() was called after the response had ended"),
            Self::TooMuch => PyRuntimeError::new_err("more was written than Content-Length promised"),
            Self::ClientLeft => pyo3::exceptions::PyConnectionResetError::new_err("the client has left"),
            Self::Raised(error) => error,
        }
    }
}

/// How a response was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// Head and body in one.
    Whole,
    /// Piece by piece: the end is still to be said.
    Streamed,
}

/// Sends all that `result`, the application's return value, holds.
///
/// # Errors
/// See [`Failure`].
pub fn deliver(
    py: Python<'_>,
    result: &Bound<'_, PyAny>,
    response: &StartResponse,
    names: &Names,
) -> Result<Delivered, Failure> {
    if let Ok(list) = result.cast_exact::<PyList>() {
        return deliver_items(py, list.len(), list.iter(), response);
    }
    if let Ok(tuple) = result.cast_exact::<PyTuple>() {
        return deliver_items(py, tuple.len(), tuple.iter(), response);
    }
    if let Ok(wrapper) = result.cast::<FileWrapper>()
        && let Some((file, offset, len)) = wrapper.get().stretch(py, names, response.content_length())
    {
        match response.send_whole(ResponseBody::File { file, offset, len }, Some(len)) {
            // write() has begun the body; the file is the rest of it.
            Err(Unsent::Begun(_)) => {}
            sent => return Ok(sent.map(|()| Delivered::Whole)?),
        }
    }
    deliver_iterable(py, result, response)
}

/// A list or tuple: everything is here, so the length is known.
fn deliver_items<'py>(
    py: Python<'py>,
    count: usize,
    mut items: impl Iterator<Item = Bound<'py, PyAny>>,
    response: &StartResponse,
) -> Result<Delivered, Failure> {
    let body = match (count, items.next()) {
        (1, Some(only)) => copy_bytes(bytes_of(&only)?),
        (_, first) => {
            let mut joined = Vec::new();
            for item in first.into_iter().chain(items) {
                joined.extend_from_slice(bytes_of(&item)?.as_bytes());
            }
            Bytes::from(joined)
        }
    };
    let length = body.len() as u64;
    match response.send_whole(ResponseBody::Bytes(body), Some(length)) {
        Ok(()) => Ok(Delivered::Whole),
        // write() has begun the body; this is the rest of it.
        Err(Unsent::Begun(ResponseBody::Bytes(body))) => stop_when_paid(response.send(py, body)),
        Err(unsent) => Err(unsent.into()),
    }
}

/// Anything else: the head goes out with the first chunk that is not empty, each chunk before the next is asked for.
fn deliver_iterable(
    py: Python<'_>,
    result: &Bound<'_, PyAny>,
    response: &StartResponse,
) -> Result<Delivered, Failure> {
    let one_item = result.len().is_ok_and(|len| len == 1);
    for item in iterate(result)? {
        let item = item?;
        let chunk = copy_bytes(bytes_of(&item)?);
        if chunk.is_empty() && !response.is_sent() {
            continue;
        }
        let length = chunk.len() as u64;
        let whole = one_item || response.content_length() == Some(length);
        if whole && !response.is_sent() {
            response.send_whole(ResponseBody::Bytes(chunk), Some(length))?;
        } else if response.is_sent() && !response.is_streaming() {
            // All that was promised has gone out, in one piece with the head. What comes after it is too much.
            if length > 0 {
                tracing::warn!("the application sent more than its Content-Length; the rest is cut off");
                break;
            }
        } else if let Err(failure) = response.send(py, chunk) {
            return stop_when_paid(Err(failure));
        }
        if response.is_bodyless() {
            break;
        }
    }
    if !response.is_sent() {
        response.send_whole(ResponseBody::Empty, Some(0))?;
    }
    Ok(if response.is_streaming() || response.is_bodyless() { Delivered::Streamed } else { Delivered::Whole })
}

/// What is too much has been cut off and warned about; there is nothing more to send.
fn stop_when_paid(sent: Result<(), Failure>) -> Result<Delivered, Failure> {
    match sent {
        Ok(()) | Err(Failure::TooMuch) => Ok(Delivered::Streamed),
        Err(failure) => Err(failure),
    }
}

fn iterate<'py>(result: &Bound<'py, PyAny>) -> PyResult<Bound<'py, pyo3::types::PyIterator>> {
    let mistake = if result.is_none() {
        "the application returned None; it must return an iterable of bytes (is a return statement missing?)"
    } else if result.is_instance_of::<PyBytes>() {
        "the application returned bytes; it must return an iterable of bytes, such as [body]"
    } else if result.is_instance_of::<PyString>() {
        "the application returned str; it must return an iterable of bytes, such as [body.encode()]"
    } else {
        return result.try_iter();
    };
    Err(PyTypeError::new_err(mistake))
}

fn bytes_of<'a, 'py>(item: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyBytes>> {
    item.cast::<PyBytes>().map_err(|_| not_bytes("the application's iterable", item))
}

/// The bytes of a Python object: small ones copied, large ones shared with it.
pub fn copy_bytes(bytes: &Bound<'_, PyBytes>) -> Bytes {
    if bytes.as_bytes().len() < SHARE_FROM {
        Bytes::copy_from_slice(bytes.as_bytes())
    } else {
        Bytes::from_owner(PyBackedBytes::from(bytes.clone()))
    }
}

/// From this size on, copying costs more than giving the object back to Python from another thread.
const SHARE_FROM: usize = 64 * 1024;
