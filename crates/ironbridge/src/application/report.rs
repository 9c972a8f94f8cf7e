//! What a user sees when the application does not load: the traceback, from the user's first frame on.

use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::PyTraceback;

use super::LoadError;

/// Prints the error, and the hint, to the standard error output.
pub fn print(py: Python<'_>, error: &LoadError) {
    if let LoadError::Raised { error, .. } = error {
        print_traceback(py, error);
    }
    for line in lines(py, error) {
        crate::cli::complain(&line);
    }
}

fn lines(py: Python<'_>, error: &LoadError) -> Vec<String> {
    match error {
        LoadError::Spec(_) | LoadError::Unfit(_) => vec![format!("error: {error}")],
        LoadError::Raised { doing, error, hint } => {
            let name = error.get_type(py).qualname().map(|name| name.to_string()).unwrap_or_default();
            let first = if error.is_instance_of::<PySystemExit>(py) {
                format!("error: {doing}: the application ended the program itself ({name})")
            } else if error.is_instance_of::<PyKeyboardInterrupt>(py) {
                format!("error: {doing}: interrupted")
            } else {
                format!("error: {doing} failed with {name}")
            };
            std::iter::once(first).chain(hint.as_ref().map(|hint| format!("hint: {hint}"))).collect()
        }
    }
}

fn print_traceback(py: Python<'_>, error: &PyErr) {
    let value = error.value(py);
    let printed = value.setattr("__traceback__", users_part(error.traceback(py))).and_then(|()| {
        let arguments = (error.get_type(py), value, value.getattr("__traceback__")?);
        py.import("traceback")?.call_method1("print_exception", arguments)?;
        py.import("sys")?.getattr("stderr")?.call_method0("flush")
    });
    if printed.is_err() {
        // sys.stderr may be closed or replaced by something broken: print what is left to print.
        crate::cli::complain(&format!("error: {error}"));
    }
}

/// Leaves out what leads to the user's first line: Python's import machinery.
fn users_part(traceback: Option<Bound<'_, PyTraceback>>) -> Option<Bound<'_, PyAny>> {
    let mut rest = traceback.map(Bound::into_any);
    while let Some(entry) = rest.as_ref().filter(|entry| is_import_machinery(entry).unwrap_or(false)) {
        rest = entry.getattr("tb_next").ok().filter(|next| !next.is_none());
    }
    rest
}

fn is_import_machinery(entry: &Bound<'_, PyAny>) -> PyResult<bool> {
    let file: String = entry.getattr("tb_frame")?.getattr("f_code")?.getattr("co_filename")?.extract()?;
    Ok(file.starts_with("<frozen importlib"))
}
