//! The tiny head that hyper is given instead of the real one.

use std::borrow::Cow;

use ironbridge_exchange::{BodyFraming, Version};

use super::head::{ParsedHead, Persistence};

/// A head with the method of `parsed`, the target `/`, and only what hyper's state machine needs: how the body is framed,
/// whether the connection goes on, and whether the client waits for 100.
///
/// What is the default is left out: keep-alive on HTTP/1.1, close on HTTP/1.0, an empty body.
pub fn minimal_head(parsed: &ParsedHead) -> Cow<'static, [u8]> {
    constant(parsed).map_or_else(|| Cow::Owned(made(parsed)), Cow::Borrowed)
}

/// The whole head of the most usual requests.
fn constant(parsed: &ParsedHead) -> Option<&'static [u8]> {
    let head = &parsed.head;
    let is_plain = head.framing == BodyFraming::None
        && head.version == Version::Http11
        && parsed.connection == Persistence::KeepAlive;
    match &head.method[..] {
        b"GET" if is_plain => Some(b"GET / HTTP/1.1\r\n\r\n"),
        b"HEAD" if is_plain => Some(b"HEAD / HTTP/1.1\r\n\r\n"),
        _ => None,
    }
}

fn made(parsed: &ParsedHead) -> Vec<u8> {
    let head = &parsed.head;
    let mut out = Vec::with_capacity(head.method.len() + ROOM);
    out.extend_from_slice(&head.method);
    out.extend_from_slice(if head.version == Version::Http10 {
        b" / HTTP/1.0\r\n"
    } else {
        b" / HTTP/1.1\r\n"
    });
    match head.framing {
        BodyFraming::None | BodyFraming::Length(0) => {}
        BodyFraming::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        BodyFraming::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    match (parsed.connection, head.version) {
        (Persistence::KeepAlive, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (Persistence::Close, Version::Http11) => out.extend_from_slice(b"Connection: close\r\n"),
        _ => {}
    }
    if parsed.expect_continue {
        out.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// What a made head takes beside its method, at most.
const ROOM: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{
        head::{HeadReader, HeadStep},
        limits::HeadLimits,
    };

    fn minimal(request: &str) -> String {
        let limits = HeadLimits { request_line: 100, head: 1000, fields: 10 };
        let Ok(HeadStep::Complete { head, .. }) = HeadReader::default().read(request.as_bytes(), &limits)
        else {
            panic!("not a head: {request}");
        };
        String::from_utf8(minimal_head(&head).into_owned()).unwrap()
    }

    #[test]
    fn a_plain_request_is_one_line() {
        assert_eq!(minimal("GET /a?b HTTP/1.1\r\nHost: a\r\nCookie: b\r\n\r\n"), "GET / HTTP/1.1\r\n\r\n");
        assert_eq!(minimal("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n"), "HEAD / HTTP/1.1\r\n\r\n");
        assert_eq!(minimal("GET /a HTTP/1.0\r\n\r\n"), "GET / HTTP/1.0\r\n\r\n");
        assert_eq!(minimal("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), "OPTIONS / HTTP/1.1\r\n\r\n");
        assert_eq!(minimal("get /a HTTP/1.1\r\nHost: a\r\n\r\n"), "get / HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn framing_connection_and_expectation_go_along() {
        assert_eq!(
            minimal(
                "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\ncontent-length: 007\r\nConnection: x, close\r\n\r\n"
            ),
            "POST / HTTP/1.1\r\nContent-Length: 7\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n"
        );
        assert_eq!(
            minimal("PUT /a HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n"),
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        assert_eq!(
            minimal("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        );
    }
}
