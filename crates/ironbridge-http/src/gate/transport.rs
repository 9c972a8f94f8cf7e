//! What the gate needs of a socket.

use std::{
    io,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream to a client.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Sends up to `len` bytes of `file` from `offset` on; ready with how many were sent, zero at the file's end.
    ///
    /// # Errors
    /// Those of the socket and of the file.
    fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: &std::fs::File,
        offset: u64,
        len: usize,
    ) -> Poll<io::Result<usize>>;

    /// Bytes that were written and that the client has not taken yet. `None` where nobody can tell.
    fn unsent(&self) -> Option<u64>;

    /// Makes the coming close a reset, so that the client cannot take what it has for the whole.
    fn reset_on_close(&self);
}
