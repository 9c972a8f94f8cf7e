//! Strings that every request needs, made once.

use pyo3::{Bound, Py, PyResult, Python, types::PyString};

use crate::wsgi::ffi::latin1;

/// Makes a type that holds interned strings; each field is named after its text.
macro_rules! interned {
    ($(#[$doc:meta])* $type:ident { $($field:ident = $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[allow(missing_docs)]
        pub struct $type { $(pub $field: pyo3::Py<pyo3::types::PyString>,)* }

        impl $type {
            /// Interns all of them.
            pub fn new(py: pyo3::Python<'_>) -> Self {
                Self { $($field: pyo3::types::PyString::intern(py, $text).unbind(),)* }
            }
        }
    };
}
pub(crate) use interned;

interned! {
    /// The usual request methods.
    Methods {
        get = "GET";
        post = "POST";
        put = "PUT";
        patch = "PATCH";
        delete = "DELETE";
        head = "HEAD";
        options = "OPTIONS";
    }
}

impl Methods {
    /// The string of a method; the usual ones are not made anew.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn string<'py>(&self, py: Python<'py>, method: &[u8]) -> PyResult<Bound<'py, PyString>> {
        let known: &Py<PyString> = match method {
            b"GET" => &self.get,
            b"POST" => &self.post,
            b"HEAD" => &self.head,
            b"PUT" => &self.put,
            b"PATCH" => &self.patch,
            b"DELETE" => &self.delete,
            b"OPTIONS" => &self.options,
            other => return latin1(py, other),
        };
        Ok(known.bind(py).clone())
    }
}
