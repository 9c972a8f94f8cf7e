//! The strings of scopes and events, made once.

use pyo3::{Bound, Py, PyResult, Python, types::PyString};

use crate::wsgi::ffi::latin1;

macro_rules! names {
    ($($field:ident = $text:literal;)*) => {
        /// Interned strings; each field is named after its text.
        #[derive(Debug)]
        #[allow(missing_docs)]
        pub struct Names { $(pub $field: Py<PyString>,)* }

        impl Names {
            /// Interns all of them.
            pub fn new(py: Python<'_>) -> Self {
                Self { $($field: PyString::intern(py, $text).unbind(),)* }
            }
        }
    };
}

names! {
    type_ = "type";
    asgi = "asgi";
    http_version = "http_version";
    method = "method";
    scheme = "scheme";
    path = "path";
    raw_path = "raw_path";
    query_string = "query_string";
    root_path = "root_path";
    headers = "headers";
    client = "client";
    server = "server";
    state = "state";
    extensions = "extensions";
    version = "version";
    spec_version = "spec_version";
    http = "http";
    https = "https";
    v10 = "1.0";
    v11 = "1.1";
    v2 = "2";
    get = "GET";
    post = "POST";
    put = "PUT";
    patch = "PATCH";
    delete = "DELETE";
    head = "HEAD";
    options = "OPTIONS";
    http_request = "http.request";
    http_disconnect = "http.disconnect";
    body = "body";
    more_body = "more_body";
    status = "status";
    done = "done";
    cancel = "cancel";
    cancelled = "cancelled";
    exception = "exception";
    set_result = "set_result";
    set_exception = "set_exception";
    add_done_callback = "add_done_callback";
    copy = "copy";
    receive = "receive";
    send = "send";
    ended = "ended";
}

impl Names {
    /// The string of a method; the common ones are not made anew.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn method<'py>(&self, py: Python<'py>, method: &[u8]) -> PyResult<Bound<'py, PyString>> {
        let known = match method {
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
