//! wsgi.errors: text for the server's log.

use std::cell::RefCell;

use pyo3::{Bound, PyAny, PyResult, prelude::*, types::PyString};

/// A write-only text stream whose lines go to the log, target `wsgi.errors`.
#[pyclass(frozen, module = "ironbridge._native")]
#[derive(Debug)]
pub struct ErrorStream;

#[pymethods]
impl ErrorStream {
    /// Writes text; whole lines are logged, the rest waits for its end or for `flush()`. Returns the characters written.
    #[pyo3(signature = (text, /))]
    fn write(&self, text: &Bound<'_, PyString>) -> PyResult<usize> {
        let text = text.to_string_lossy();
        PENDING.with_borrow_mut(|pending| {
            pending.push_str(&text);
            let end = if pending.len() > LONGEST { Some(pending.len() - 1) } else { pending.rfind('\n') };
            if let Some(end) = end {
                let rest = pending.split_off(end + 1);
                log(std::mem::replace(pending, rest).trim_end_matches('\n'));
            }
        });
        Ok(text.chars().count())
    }

    /// Writes each string of an iterable.
    #[pyo3(signature = (lines, /))]
    fn writelines(&self, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        for line in lines.try_iter()? {
            self.write(line?.cast::<PyString>()?)?;
        }
        Ok(())
    }

    /// Logs what has been written without an end of line.
    fn flush(&self) {
        PENDING.with_borrow_mut(|pending| log(&std::mem::take(pending)));
    }
}

/// Logs what a request of this thread has left without an end of line: it must not become part of the next one's.
pub fn end_of_request() {
    PENDING.with_borrow_mut(|pending| {
        if !pending.is_empty() {
            log(&std::mem::take(pending));
        }
    });
}

/// Bytes from which on text is logged although its line has no end yet.
const LONGEST: usize = 64 * 1024;

fn log(text: &str) {
    if !text.is_empty() {
        tracing::error!(target: "wsgi.errors", "{text}");
    }
}

thread_local! {
    /// What this thread has written since its last end of line.
    static PENDING: RefCell<String> = const { RefCell::new(String::new()) };
}
