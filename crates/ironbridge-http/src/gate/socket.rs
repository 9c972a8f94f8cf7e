//! The gate's needs, met by a real socket.

use std::{
    fs::File,
    io,
    os::fd::AsFd,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::Interest;

use super::{sys, transport::Transport};
use crate::stream::Stream;

impl Transport for Stream {
    fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: &File,
        offset: u64,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_write_ready(cx))?;
            let mut offset = offset;
            let sent = self.try_io(Interest::WRITABLE, || {
                rustix::fs::sendfile(&*self, file, Some(&mut offset), len).map_err(io::Error::from)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn unsent(&self) -> Option<u64> {
        sys::unsent(self.as_fd())
    }

    fn reset_on_close(&self) {
        // A unix socket has no reset; its peer sees the missing bytes by the framing.
        if let Self::Tcp(_) = self {
            let socket = socket2::SockRef::from(self);
            if let Err(error) = socket.set_linger(Some(Duration::ZERO)) {
                tracing::debug!(%error, "cannot make the close a reset");
            }
        }
    }
}
