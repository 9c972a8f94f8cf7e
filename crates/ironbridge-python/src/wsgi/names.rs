//! The strings that every environ holds, made once.

use pyo3::{Bound, Py, PyResult, Python, types::PyString};

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
    request_method = "REQUEST_METHOD";
    script_name = "SCRIPT_NAME";
    path_info = "PATH_INFO";
    query_string = "QUERY_STRING";
    content_type = "CONTENT_TYPE";
    content_length = "CONTENT_LENGTH";
    server_name = "SERVER_NAME";
    server_port = "SERVER_PORT";
    server_protocol = "SERVER_PROTOCOL";
    server_software = "SERVER_SOFTWARE";
    remote_addr = "REMOTE_ADDR";
    remote_port = "REMOTE_PORT";
    request_uri = "REQUEST_URI";
    raw_uri = "RAW_URI";
    http_host = "HTTP_HOST";
    wsgi_version = "wsgi.version";
    wsgi_url_scheme = "wsgi.url_scheme";
    wsgi_input = "wsgi.input";
    wsgi_errors = "wsgi.errors";
    wsgi_multithread = "wsgi.multithread";
    wsgi_multiprocess = "wsgi.multiprocess";
    wsgi_run_once = "wsgi.run_once";
    wsgi_input_terminated = "wsgi.input_terminated";
    wsgi_file_wrapper = "wsgi.file_wrapper";
    wsgi_early_hints = "wsgi.early_hints";
    empty = "";
    slash = "/";
    http = "http";
    https = "https";
    http_10 = "HTTP/1.0";
    http_11 = "HTTP/1.1";
    http_2 = "HTTP/2";
    get = "GET";
    post = "POST";
    put = "PUT";
    patch = "PATCH";
    delete = "DELETE";
    head = "HEAD";
    options = "OPTIONS";
    close = "close";
    fileno = "fileno";
    tell = "tell";
    read = "read";
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
            other => return super::ffi::latin1(py, other),
        };
        Ok(known.bind(py).clone())
    }
}
