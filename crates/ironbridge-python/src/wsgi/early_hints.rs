//! wsgi.early_hints: 103 responses from a WSGI application (RFC 8297), as Gunicorn spells it.

use pyo3::{Bound, PyAny, PyResult, exceptions::PyValueError, prelude::*, types::PyString};

use super::heading::Heading;
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
        let invalid = |error: super::heading::HeadingError| PyValueError::new_err(error.to_string());
        let mut heading = Heading::new("200 OK", 256).map_err(invalid)?;
        for pair in headers.try_iter()? {
            let (name, value): (Bound<'_, PyString>, Bound<'_, PyString>) = pair?.extract()?;
            heading.push(name.to_str()?, value.to_str()?).map_err(invalid)?;
        }
        match Here::current() {
            Some(here) => here.hint(headers.py(), heading.build().lines),
            None => tracing::debug!("early hints from a thread that runs no request are left out"),
        }
        Ok(())
    }
}
