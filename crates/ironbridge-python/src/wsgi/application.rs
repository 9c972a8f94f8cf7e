//! Calls a WSGI application for one request, and sees to it that everything is ended whatever happens.

use std::sync::Arc;

use ironbridge_exchange::Request;
use pyo3::{
    Bound, Py, PyAny, PyErr, PyResult, Python,
    exceptions::PyOSError,
    prelude::*,
    types::{PyDict, PyList},
};

use super::{
    environ::EnvironMaker,
    error_stream,
    mount::Mount,
    outlet::{Delivered, Failure, deliver},
    start_response::{Callable, StartResponse, StartResponseType},
};
use crate::{fork, here::Here, plain};

/// A WSGI application, loaded.
#[derive(Debug)]
pub struct Application {
    callable: Py<PyAny>,
    environ: EnvironMaker,
    start_response: StartResponseType,
}

impl Application {
    /// Wraps a WSGI callable. `multithread`: it may be called by several threads at once.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn new(py: Python<'_>, callable: Py<PyAny>, mount: Arc<Mount>, multithread: bool) -> PyResult<Self> {
        let environ = EnvironMaker::new(py, mount, multithread)?;
        Ok(Self { callable, environ, start_response: StartResponseType::new(py)? })
    }

    /// Answers one request. What the application raises ends here.
    pub fn call(&self, py: Python<'_>, here: &Here, mut request: Request) {
        let answered = here.enter(|| self.respond(py, here, &mut request));
        if fork::is_child() {
            fork::end(py, answered.as_ref().err());
        }
        if let Err(error) = answered {
            log_exception(py, &request, &error);
            if !here.is_answered() {
                here.answer(plain::internal_error());
            }
        }
    }

    fn respond(&self, py: Python<'_>, here: &Here, request: &mut Request) -> PyResult<()> {
        let environ = self.environ.make(py, here, request)?;
        let callable = self.start_response.make(py, StartResponse::new(here.clone()))?;
        let response = callable.get();
        let served = self.serve(py, &environ.dict, &callable, request);
        let client_left = environ.client_left();
        environ.end(&request.peer);
        error_stream::end_of_request();
        match served {
            // There is nothing left to finish.
            Ok(Delivered::Whole) => {}
            Ok(Delivered::Streamed) => response.finish(),
            Err(failure) => {
                response.fail();
                match failure {
                    // An application that lets the OSError of write() or wsgi.input through has not failed.
                    Failure::Raised(error)
                        if (response.is_abandoned() || client_left)
                            && error.is_instance_of::<PyOSError>(py) =>
                    {
                        tracing::debug!(%error, "a client left while the application read or wrote");
                    }
                    Failure::ClientLeft => tracing::debug!("a client left before its response was complete"),
                    failure => return Err(failure.into_error()),
                }
            }
        }
        Ok(())
    }

    fn serve(
        &self,
        py: Python<'_>,
        environ: &Bound<'_, PyDict>,
        callable: &Callable<'_>,
        request: &Request,
    ) -> Result<Delivered, Failure> {
        let result = self.callable.bind(py).call1((environ, callable.object()));
        if fork::is_child() {
            fork::end(py, result.as_ref().err());
        }
        let result = result?;
        let delivered = deliver(py, &result, callable.get(), self.environ.names());
        if let Err(error) = close(&result, self.environ.names()) {
            log_exception(py, request, &error);
        }
        delivered
    }
}

/// PEP 3333: "If the iterable returned by the application has a close() method, the server must call that method".
fn close(result: &Bound<'_, PyAny>, names: &super::names::Names) -> PyResult<()> {
    if result.is_exact_instance_of::<PyList>() {
        return Ok(());
    }
    match result.getattr_opt(&names.close)? {
        Some(close) => close.call0().map(drop),
        None => Ok(()),
    }
}

/// Logs a traceback, with the request that it belongs to.
fn log_exception(py: Python<'_>, request: &Request, error: &PyErr) {
    tracing::error!(
        target: "ironbridge::application",
        "{} {} raised an exception\n{}",
        request.head.method.escape_ascii(),
        request.head.target.escape_ascii(),
        traceback(py, error),
    );
}

/// An exception's traceback as Python prints it, without a line end behind it.
pub fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let format = || -> PyResult<String> {
        let lines = py
            .import("traceback")?
            .call_method1("format_exception", (error.get_type(py), error.value(py), error.traceback(py)))?;
        let text: String = "".into_pyobject(py)?.call_method1("join", (lines,))?.extract()?;
        Ok(text.trim_end().to_owned())
    };
    format().unwrap_or_else(|_| error.to_string())
}
