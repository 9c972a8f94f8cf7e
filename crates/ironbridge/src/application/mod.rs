//! From what the user typed as APP to a callable, without a Python frame of ours.
//!
//! * [`spec`]: the text, parsed.
//! * [`search_path`]: where modules are found.
//! * [`import`]: module, attribute, factory.
//! * [`gateway`]: is it an application, and of which kind?
//! * [`hint`]: the likely cause of a failed import.
//! * [`report`]: the user's traceback, cut to the user's frames.

pub mod gateway;
pub mod hint;
pub mod import;
pub mod report;
pub mod search_path;
pub mod spec;

use ironbridge_python::interface::{Interface, InterfaceChoice};
use pyo3::prelude::*;

use self::search_path::Searched;
use self::spec::Spec;

/// An application, and how it is called.
#[derive(Debug)]
pub struct Loaded {
    /// It.
    pub callable: Py<PyAny>,
    /// What it speaks.
    pub interface: Interface,
}

impl Loaded {
    /// Another reference to the same application.
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Self { callable: self.callable.clone_ref(py), interface: self.interface }
    }
}

/// Why there is no application.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The text names no application.
    #[error("{0}")]
    Spec(#[from] spec::SpecError),
    /// The user's code raised an exception.
    #[error("{doing}: {error}")]
    Raised {
        /// What we did then: "importing shop.wsgi".
        doing: String,
        /// What was raised.
        error: PyErr,
        /// The likely cause.
        hint: Option<String>,
    },
    /// The code ran, but what it made is not an application. The text says what was found and what would do.
    #[error("{0}")]
    Unfit(String),
}

impl LoadError {
    /// The exception for `serve()`'s caller: the user's own where there is one.
    pub fn into_exception(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Spec(error) => pyo3::exceptions::PyValueError::new_err(error.to_string()),
            Self::Unfit(text) => pyo3::exceptions::PyTypeError::new_err(text),
            Self::Raised { error, hint, .. } => {
                if let Some(hint) = hint {
                    // add_note is 3.11's; without it the hint is lost and the exception is not.
                    let _ = error.value(py).call_method1("add_note", (format!("hint: {hint}"),));
                }
                error
            }
        }
    }
}

/// Imports the application that `text` names.
///
/// # Errors
/// [`LoadError`].
pub fn load(
    py: Python<'_>,
    text: &str,
    factory: bool,
    choice: InterfaceChoice,
    searched: &Searched,
) -> Result<Loaded, LoadError> {
    let spec: Spec = text.parse()?;
    let found = import::find(py, &spec, factory, searched)?;
    let interface = gateway::interface(&found, text, choice)?;
    Ok(Loaded { callable: found.unbind(), interface })
}

/// Takes an application that the caller already has, or calls the factory that it is.
///
/// # Errors
/// [`LoadError`].
pub fn adopt(app: &Bound<'_, PyAny>, factory: bool, choice: InterfaceChoice) -> Result<Loaded, LoadError> {
    let name = app.repr().map(|text| text.to_string()).unwrap_or_else(|_| "the application".to_owned());
    let raised = |error| LoadError::Raised { doing: format!("calling {name}"), error, hint: None };
    let found = if factory { app.call0().map_err(raised)? } else { app.clone() };
    let interface = gateway::interface(&found, &name, choice)?;
    Ok(Loaded { callable: found.unbind(), interface })
}
