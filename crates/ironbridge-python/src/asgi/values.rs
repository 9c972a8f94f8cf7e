//! What the events of an application hold: read, checked, and refused by name.

use bytes::Bytes;
use pyo3::{
    Bound, PyAny, PyErr, PyResult, Python,
    buffer::PyBuffer,
    exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyDict, PyString, PyTuple},
};

use super::{names::Names, outgoing::SendError};
use crate::wsgi::{
    heading::{Heading, HeadingError},
    outlet::copy_bytes,
};

pyo3::create_exception!(
    ironbridge,
    ClientDisconnected,
    PyOSError,
    "The client left before its response was complete, or has closed its WebSocket; raised by ``await send(...)`` \
     (ASGI HTTP & WebSocket, spec version 2.4)."
);

/// An event that cannot be sent now.
pub fn wrong(error: SendError) -> PyErr {
    match error {
        SendError::ClientLeft => disconnected(),
        error => PyRuntimeError::new_err(error.to_string()),
    }
}

/// Nobody is there any more.
pub fn disconnected() -> PyErr {
    ClientDisconnected::new_err("the client has left")
}

/// An event that was given to `send()`, and its type.
///
/// # Errors
/// `TypeError`, `ValueError`: it is none.
pub fn event_and_kind<'a, 'py>(
    event: &'a Bound<'py, PyAny>,
    names: &Names,
) -> PyResult<(&'a Bound<'py, PyDict>, Bound<'py, PyString>)> {
    let event = event.cast::<PyDict>().map_err(|_| {
        PyTypeError::new_err(format!("send() takes an event, a dict, not {}", kind_of(event)))
    })?;
    let kind = event
        .get_item(&names.type_)?
        .ok_or_else(|| PyValueError::new_err("the event has no \"type\""))?
        .cast_into()
        .map_err(|_| PyTypeError::new_err("the event's \"type\" is no str"))?;
    Ok((event, kind))
}

/// The head of a response: the event's status and headers.
///
/// # Errors
/// What is wrong with them.
pub fn heading_of(event: &Bound<'_, PyDict>, names: &Names, kind: &str) -> PyResult<Heading> {
    let status = event
        .get_item(&names.status)?
        .ok_or_else(|| PyValueError::new_err(format!("{kind} has no \"status\"")))?;
    let status: u16 = status
        .extract()
        .map_err(|_| PyTypeError::new_err(format!("the status must be an int such as 200, not {status}")))?;
    let mut heading = Heading::of_status(status, ROOM).map_err(invalid)?;
    push_headers(&mut heading, event, names)?;
    Ok(heading)
}

/// Adds the event's headers, of which there may be none.
///
/// # Errors
/// What is wrong with them.
pub fn push_headers(heading: &mut Heading, event: &Bound<'_, PyDict>, names: &Names) -> PyResult<()> {
    if let Some(headers) = event.get_item(&names.headers)? {
        for pair in headers.try_iter()? {
            push_pair(heading, &pair?)?;
        }
    }
    Ok(())
}

/// The flag `name`, which is false where it is missing.
///
/// # Errors
/// What looking at it raises.
pub fn flag<'py>(event: &Bound<'py, PyDict>, name: impl IntoPyObject<'py>) -> PyResult<bool> {
    event.get_item(name)?.map_or(Ok(false), |flag| flag.is_truthy())
}

fn push_pair(heading: &mut Heading, pair: &Bound<'_, PyAny>) -> PyResult<()> {
    let wrong = || {
        PyTypeError::new_err(format!("headers must be (name, value) pairs of two byte strings, not {pair:?}"))
    };
    let (name, value) = match pair.cast::<PyTuple>() {
        Ok(pair) if pair.len() == 2 => (pair.get_item(0)?, pair.get_item(1)?),
        Ok(_) => return Err(wrong()),
        Err(_) if pair.len().is_ok_and(|len| len == 2) => (pair.get_item(0)?, pair.get_item(1)?),
        Err(_) => return Err(wrong()),
    };
    let (Ok(name), Ok(value)) = (name.cast::<PyBytes>(), value.cast::<PyBytes>()) else {
        return Err(wrong());
    };
    heading.push(name.as_bytes(), value.as_bytes()).map_err(invalid)
}

/// A part of a body: the event's bytes, which may be missing, and whether more follow.
///
/// # Errors
/// What is wrong with them.
pub fn part_of(event: &Bound<'_, PyDict>, names: &Names) -> PyResult<(Bytes, bool)> {
    let body = match event.get_item(&names.body)? {
        Some(body) => bytes_of(&body, "a body")?,
        None => Bytes::new(),
    };
    Ok((body, flag(event, &names.more_body)?))
}

/// The bytes of `what`: bytes as they are, other buffers of bytes (bytearray, memoryview) copied.
///
/// # Errors
/// `TypeError`: it has none.
pub fn bytes_of(object: &Bound<'_, PyAny>, what: &str) -> PyResult<Bytes> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(copy_bytes(bytes));
    }
    let wrong = || PyTypeError::new_err(format!("{what} must be bytes, not {}", kind_of(object)));
    let buffer = PyBuffer::<u8>::get(object).map_err(|_| wrong())?;
    Ok(buffer.to_vec(object.py())?.into())
}

/// The name of an object's type.
pub fn kind_of(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "something else".to_owned(), |name| name.to_string())
}

/// As Python's `ValueError`.
pub fn invalid(error: HeadingError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Whether the error comes of the client's leaving, which is nobody's fault: it is our own exception, what a framework has raised from
/// it, or, where the client is known to have left, any `OSError`. What was raised while ours was handled may be a mistake of the
/// application's, unless its name says the same (Starlette's `ClientDisconnect`).
pub fn is_disconnect(py: Python<'_>, error: &PyErr, client_left: bool) -> bool {
    if client_left && error.is_instance_of::<PyOSError>(py) {
        return true;
    }
    comes_of_a_disconnect(error.value(py).clone().into_any(), LONGEST_CHAIN)
}

fn comes_of_a_disconnect(exception: Bound<'_, PyAny>, depth: usize) -> bool {
    if exception.is_instance_of::<ClientDisconnected>() {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else { return false };
    // A group does where all of it does (PEP 654).
    if let Ok(members) =
        exception.getattr("exceptions").and_then(|members| members.extract::<Vec<Bound<'_, PyAny>>>())
        && !members.is_empty()
    {
        return members.into_iter().all(|member| comes_of_a_disconnect(member, depth));
    }
    let link = |name| exception.getattr(name).ok().filter(|linked| !linked.is_none());
    let says_so = || exception.get_type().name().is_ok_and(|name| name.to_string().contains("Disconnect"));
    let linked = link("__cause__").or_else(|| link("__context__").filter(|_| says_so()));
    linked.is_some_and(|linked| comes_of_a_disconnect(linked, depth))
}

/// Exceptions that were raised one from another.
const LONGEST_CHAIN: usize = 16;
/// Bytes that the header lines of a response take, about.
pub const ROOM: usize = 256;
