//! A connection's bytes, TCP or unix.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// An accepted connection.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

impl Stream {
    /// Waits until there may be bytes, or the end, to read.
    ///
    /// # Errors
    /// When the reactor is gone.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Waits until there may be room to write.
    ///
    /// # Errors
    /// When the reactor is gone.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Reads what is there, without waiting; 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; else what the socket says.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Unix(stream) => stream.try_read(buffer),
        }
    }

    /// Runs a system call of one's own on the socket, such as sendfile(2), if it is ready for it. A `WouldBlock`
    /// of the call makes the next [`Stream::poll_write_ready`] or [`Stream::poll_read_ready`] wait.
    ///
    /// # Errors
    /// `WouldBlock` when not ready; else what the call says.
    pub fn try_io<R>(&self, interest: Interest, call: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, call),
            Self::Unix(stream) => stream.try_io(interest, call),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is kept back on this side of the kernel.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    use super::*;

    fn pair() -> (Stream, Stream) {
        let (ours, theirs) = UnixStream::pair().expect("sockets can be made");
        (Stream::Unix(ours), Stream::Unix(theirs))
    }

    #[tokio::test]
    async fn parts_leave_in_one_write() {
        let (mut ours, theirs) = pair();
        assert!(ours.is_write_vectored());
        let parts = [IoSlice::new(b"head "), IoSlice::new(b"body")];
        assert_eq!(ours.write_vectored(&parts).await.expect("there is room"), 9);
        let mut bytes = [0; 16];
        timeout(Duration::from_secs(10), poll_fn(|cx| theirs.poll_read_ready(cx)))
            .await
            .expect("in time")
            .expect("ok");
        assert_eq!(theirs.try_read(&mut bytes).expect("it is there"), 9);
        assert_eq!(&bytes[..9], b"head body");
        assert_eq!(theirs.try_read(&mut bytes).expect_err("no more").kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn a_shutdown_is_the_end_for_the_other_side() {
        let (mut ours, mut theirs) = pair();
        ours.shutdown().await.expect("open until now");
        let mut rest = Vec::new();
        let read = timeout(Duration::from_secs(10), theirs.read_to_end(&mut rest)).await;
        assert_eq!(read.expect("in time").expect("a clean end"), 0);
    }
}
