//! What carries a body, in either direction.

use std::fs::File;

use bytes::Bytes;

use crate::{pipe, websocket::Wire};

/// A request's body as the front end hands it over.
#[derive(Debug)]
pub enum RequestBody {
    /// There is none, or it has no bytes.
    Empty,
    /// All of it, read ahead into memory.
    Bytes(Bytes),
    /// All of it, spooled to an unlinked temporary file whose cursor stands at the start.
    Spooled {
        /// The file.
        file: File,
        /// Bytes in it.
        len: u64,
    },
    /// Still arriving; the receiver ends with an error when the client leaves early.
    Stream(pipe::Receiver),
}

/// A response's body as an application or a layer hands it back.
#[derive(Debug)]
pub enum ResponseBody {
    /// No bytes.
    Empty,
    /// All of it.
    Bytes(Bytes),
    /// A stretch of a file, sent by the kernel where it can.
    File {
        /// The file; its cursor is neither used nor moved.
        file: File,
        /// First byte to send.
        offset: u64,
        /// Bytes to send.
        len: u64,
    },
    /// Still being made. An error from the receiver aborts the response.
    Stream(pipe::Receiver),
    /// None: with status 101, in answer to an [`Offer`](crate::websocket::Offer), the connection becomes a WebSocket.
    WebSocket(Wire),
}
