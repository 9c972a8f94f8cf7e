//! The small responses that the server makes itself.

use bytes::Bytes;
use ironbridge_exchange::{HeaderBlock, Response, ResponseBody, ResponseHead};

use crate::{gate::refusal::Refusal, reason::standard_reason};

/// A plain-text response that says its own status, with more header lines if needed.
pub fn response(status: u16, lines: &[(&str, &str)]) -> Response {
    let text = format!("{status} {}\n", standard_reason(status));
    let mut block = HeaderBlock::with_capacity(128);
    block.push(b"Content-Type", b"text/plain; charset=utf-8");
    for (name, value) in lines {
        block.push(name.as_bytes(), value.as_bytes());
    }
    let head = ResponseHead { status, reason: None, lines: block, content_length: Some(text.len() as u64) };
    Response { head, body: ResponseBody::Bytes(Bytes::from(text)) }
}

/// The answer to a request that the gate turned away.
pub fn refused(refusal: Refusal) -> Response {
    let lines: &[(&str, &str)] = match refusal {
        Refusal::Connect => &[("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE")],
        _ => &[],
    };
    response(refusal.status(), lines)
}
