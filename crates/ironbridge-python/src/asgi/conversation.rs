//! What a task of the application talks with: an HTTP request or a WebSocket.

use pyo3::{Bound, Py, PyAny, PyErr, PyResult, Python, prelude::*};

use super::{exchange::Exchange, names::Names, websocket::WebSocket};

/// One of the two.
#[derive(Debug)]
pub enum Conversation {
    /// HTTP.
    Http(Py<Exchange>),
    /// WebSocket.
    WebSocket(Py<WebSocket>),
}

/// How an application ended other than well.
#[derive(Debug)]
pub enum Ended {
    /// Its task was cancelled.
    Cancelled,
    /// It raised.
    Raised(PyErr),
}

impl Conversation {
    /// The same one.
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Http(exchange) => Self::Http(exchange.clone_ref(py)),
            Self::WebSocket(websocket) => Self::WebSocket(websocket.clone_ref(py)),
        }
    }

    /// For logs: method and target.
    pub fn name(&self) -> String {
        match self {
            Self::Http(exchange) => exchange.get().head().to_string(),
            Self::WebSocket(websocket) => format!("WebSocket {}", websocket.get().head()),
        }
    }

    /// Something may have happened that `receive()` or `send()` wait for.
    ///
    /// # Errors
    /// What a future raises, which none does.
    pub fn look(&self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Http(exchange) => exchange.get().look(py),
            Self::WebSocket(websocket) => websocket.get().look(py),
        }
    }

    /// The application has ended, well or not.
    pub fn finish(&self, py: Python<'_>, failure: Option<Ended>) {
        match self {
            Self::Http(exchange) => exchange.get().finish(py, failure),
            Self::WebSocket(websocket) => websocket.get().finish(py, failure),
        }
    }

    /// An event was not received: it is for whoever receives next, at its place.
    ///
    /// # Errors
    /// What a future raises, which none does.
    pub fn take_back(&self, py: Python<'_>, event: Py<PyAny>, place: u64) -> PyResult<()> {
        match self {
            Self::Http(exchange) => exchange.get().take_back(py, event, place),
            Self::WebSocket(websocket) => websocket.get().take_back(py, event, place),
        }
    }
}

impl Ended {
    /// What became of a task that has ended; `None`: all is well.
    pub fn of(task: &Bound<'_, PyAny>, names: &Names) -> Option<Self> {
        match task.call_method0(&names.exception) {
            Ok(error) if error.is_none() => None,
            Ok(error) => Some(Self::Raised(PyErr::from_value(error))),
            // That is how a cancelled task answers.
            Err(_) => Some(Self::Cancelled),
        }
    }

    /// What was raised.
    pub fn error(&self) -> Option<&PyErr> {
        match self {
            Self::Cancelled => None,
            Self::Raised(error) => Some(error),
        }
    }
}
