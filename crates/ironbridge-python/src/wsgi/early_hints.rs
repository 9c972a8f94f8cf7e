//! wsgi.early_hints: 103 responses from a WSGI application (RFC 8297), as Gunicorn spells it.

use pyo3::{Bound, PyAny, PyResult, exceptions::PyValueError, prelude::*};

use super::{heading::Heading, start_response::push_pair};
use crate::here::Here;

/// The callable: `environ['wsgi.early_hints']([('Link', '</style.css>; rel=preload')])`.
///
/// It is the same object for every request and sends to the one that the calling thread runs.
#[pyclass(frozen, module = "ironbridge._native")]
#[derive(Debug)]
pub struct EarlyHintsCallable;

#[pymethods]
impl EarlyHintsCallable {
    #[pyo3(signature = (headers, /))]
    fn __call__(&self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let heading = Heading::new(b"200 OK", 256);
        let mut heading = heading.map_err(|error| PyValueError::new_err(error.to_string()))?;
        for pair in headers.try_iter()? {
            push_pair(&mut heading, &pair?)?;
        }
        match Here::current() {
            Some(here) => here.hint(headers.py(), heading.build().lines),
            None => tracing::debug!("early hints from a thread that runs no request are left out"),
        }
        Ok(())
    }
}
