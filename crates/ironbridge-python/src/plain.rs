//! The small responses that the Python side makes without Python.

use bytes::Bytes;
use ironbridge_exchange::{HeaderBlock, Response, ResponseBody, ResponseHead};

/// A plain-text response with one sentence, and one more header line if needed.
pub fn response(status: u16, text: &'static str, line: Option<(&str, &str)>) -> Response {
    let mut lines = HeaderBlock::with_capacity(64);
    lines.push(b"Content-Type", b"text/plain; charset=utf-8");
    if let Some((name, value)) = line {
        lines.push(name.as_bytes(), value.as_bytes());
    }
    let head = ResponseHead { status, reason: None, lines, content_length: Some(text.len() as u64) };
    Response { head, body: ResponseBody::Bytes(Bytes::from_static(text.as_bytes())) }
}

/// The application failed. Its traceback is for the log, not for the client.
pub fn internal_error() -> Response {
    response(500, "500 Internal Server Error\n", None)
}

/// The application refuses a WebSocket.
pub fn forbidden() -> Response {
    response(403, "403 Forbidden\n", None)
}

/// There are too many requests for the threads that there are.
pub fn overloaded() -> Response {
    response(503, "503 Service Unavailable\n", Some(("Retry-After", "1")))
}

/// The application has not answered in time.
pub fn timed_out() -> Response {
    response(504, "504 Gateway Timeout\n", None)
}

/// The request lies outside `--root-path`.
pub fn not_found() -> Response {
    response(404, "404 Not Found\n", None)
}
