//! The strings that every environ holds, made once.

use crate::names::interned;

interned! {
    /// The strings that every environ holds.
    Names {
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
        close = "close";
        fileno = "fileno";
        tell = "tell";
        read = "read";
    }
}
