//! The opening handshake (RFC 6455 section 4.2), as far as it is not the application's.

use base64::{Engine, prelude::BASE64_STANDARD};
use ironbridge_exchange::{HeaderBlock, RequestHead, Response};
use sha1::{Digest, Sha1};

use super::extension::{Deflate, agree};
use crate::plain;

/// A request for a WebSocket that can be granted.
#[derive(Debug)]
pub struct Handshake {
    accept: String,
    /// What is agreed about compression.
    pub deflate: Option<Deflate>,
}

/// Why a request for a WebSocket cannot be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHandshake {
    /// Another version than 13.
    #[error("Sec-WebSocket-Version is not 13")]
    Version,
    /// No key, several, or none of 16 bytes in base64.
    #[error("Sec-WebSocket-Key is missing or malformed")]
    Key,
}

impl Handshake {
    /// Reads a request's head that asks for an upgrade to a WebSocket. `window_bits`: the largest window for compression, where
    /// there may be any.
    ///
    /// # Errors
    /// [`BadHandshake`].
    pub fn read(head: &RequestHead, window_bits: Option<u8>) -> Result<Self, BadHandshake> {
        let mut versions = head.fields.get_all("sec-websocket-version");
        if versions.next().map(<[u8]>::trim_ascii) != Some(b"13") || versions.next().is_some() {
            return Err(BadHandshake::Version);
        }
        let mut keys = head.fields.get_all("sec-websocket-key");
        let (Some(key), None) = (keys.next().map(<[u8]>::trim_ascii), keys.next()) else {
            return Err(BadHandshake::Key);
        };
        if BASE64_STANDARD.decode(key).map_or(0, |key| key.len()) != KEY_LEN {
            return Err(BadHandshake::Key);
        }
        let offers = head.fields.get_all("sec-websocket-extensions");
        let deflate = window_bits.and_then(|most| agree(offers, most));
        Ok(Self { accept: accept(key), deflate })
    }

    /// Adds the server's part to the head that grants it.
    pub fn sign(&self, lines: &mut HeaderBlock) {
        lines.push(b"Upgrade", b"websocket");
        lines.push(b"Sec-WebSocket-Accept", self.accept.as_bytes());
        if let Some(deflate) = &self.deflate {
            lines.push(b"Sec-WebSocket-Extensions", deflate.to_string().as_bytes());
        }
    }
}

impl BadHandshake {
    /// What the client is told.
    pub fn response(self) -> Response {
        match self {
            Self::Version => {
                plain::response(426, &[("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket")])
            }
            Self::Key => plain::response(400, &[]),
        }
    }
}

/// RFC 6455 section 4.2.2, point 5.4.
fn accept(key: &[u8]) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    BASE64_STANDARD.encode(digest)
}

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_value_is_that_of_the_rfc() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
