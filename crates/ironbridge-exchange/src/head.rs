//! Heads: what stands before a body.

use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::{block::HeaderBlock, fields::Fields};

/// The protocol version that a request was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// The version as `SERVER_PROTOCOL` and access logs spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// How a request says where its body ends (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFraming {
    /// Neither Content-Length nor Transfer-Encoding: no body.
    None,
    /// Content-Length, in bytes. May be zero.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// A request target; one of usual length needs no memory of its own.
pub type Target = SmallVec<[u8; 48]>;

/// A request's head as it came: method, raw target, and header lines in their order and spelling.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The method token, unchanged (RFC 9110 section 9.1: case-sensitive).
    pub method: Bytes,
    /// The request target as sent, percent-encoding and fragment included.
    pub target: Target,
    /// The version of the request line.
    pub version: Version,
    /// The header lines.
    pub fields: Fields,
    /// Where the body ends.
    pub framing: BodyFraming,
}

/// For logs: method and target.
impl fmt::Display for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.escape_ascii(), self.target.escape_ascii())
    }
}

/// A response's head, as the application or a layer made it.
///
/// `lines` never holds Connection, Keep-Alive, Transfer-Encoding or another hop-by-hop header; the connection writes
/// those. Content-Length lives in `content_length`, not in `lines`.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// Three digits, 200 to 999 (1xx are not responses; see `EarlyHints`), or 101 for a WebSocket.
    pub status: u16,
    /// The reason phrase where it differs from the standard one for `status`.
    pub reason: Option<Box<[u8]>>,
    /// Header lines as the application wrote them.
    pub lines: HeaderBlock,
    /// Bytes of the body, where the application or adapter knows them.
    pub content_length: Option<u64>,
}

impl ResponseHead {
    /// A head with a status and nothing else.
    pub fn new(status: u16) -> Self {
        Self { status, reason: None, lines: HeaderBlock::default(), content_length: None }
    }
}
