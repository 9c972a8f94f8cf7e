//! Listeners: from what `--bind` says to sockets that accept.
//!
//! * [`address`]: what users write, parsed.
//! * [`error`]: why an address cannot be listened on, one line each.
//! * [`accept`]: the listener inside the reactor.
//!
//! A [`Listener`] is made before the reactor exists, and before any fork, so that it can outlive every worker.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use ironbridge_exchange::peer::Address;

use crate::options::HttpOptions;

pub mod accept;
pub mod address;
pub mod error;

mod inherited;
mod sys;
mod tcp;
mod unix;

pub use accept::AsyncListener;
pub use address::{BindAddress, Origin, Target, addresses};
pub use error::BindError;
pub use unix::UnlinkOnDrop;

/// A socket that listens: bound, not blocking, closed on exec.
///
/// Dropping it removes the file of a unix socket that [`Listener::bind`] made.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    local: Address,
}

/// The socket by its kind. The file of a unix socket leaves with it; an inherited or abstract one has none.
#[derive(Debug)]
enum Socket {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener, Option<UnlinkOnDrop>),
}

impl Listener {
    /// Binds an address and listens on it.
    ///
    /// A name that resolves to several addresses is tried in order, IPv4 first: the first one that this machine
    /// has is taken. Other errors than "no such address here" end the search, so that a busy port never moves
    /// the server to another address unseen.
    ///
    /// # Errors
    /// [`BindError`], worded for the person who wrote the address.
    pub fn bind(address: &BindAddress, options: &HttpOptions) -> Result<Self, BindError> {
        match address.target() {
            Target::Tcp { host, port } => tcp::bind(address, host, *port, options),
            Target::Unix(path) => unix::bind(address, path, options),
            Target::Abstract(name) => unix::bind_abstract(address, name, options),
            Target::Fd(number) => inherited::take(address, *number),
        }
    }

    /// Takes, for `address`, a listener that another process has passed to this one under this number: its former server, whose
    /// socket file stays that process's to remove until [`Self::claim_file`].
    ///
    /// # Errors
    /// [`BindError`]: the number is no listener's.
    pub fn adopt(address: &BindAddress, number: i32) -> Result<Self, BindError> {
        let mut listener = inherited::take(address, number)?;
        if let (Socket::Unix(_, file), Target::Unix(path)) = (&mut listener.socket, address.target()) {
            let path = std::path::absolute(path).map_err(|error| BindError::from_io(address, error))?;
            *file = UnlinkOnDrop::of_another(&path);
            // The socket itself knows only the name that it had before it was shown.
            listener.local = Address::Unix(Some(path));
        }
        Ok(listener)
    }

    /// Makes the file of a unix socket this process's to remove.
    pub fn claim_file(&mut self) {
        if let Socket::Unix(_, Some(file)) = &mut self.socket {
            file.claim();
        }
    }

    /// Leaves the file of a unix socket to the process that has adopted the listener.
    pub fn leave_file(&mut self) {
        if let Socket::Unix(_, Some(file)) = &mut self.socket {
            file.leave();
        }
    }

    /// Its number in this process.
    pub fn number(&self) -> i32 {
        self.as_fd().as_raw_fd()
    }

    /// A connection that waits, if this is a unix socket and one does. It does not block.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`]: none waits.
    pub fn accept_unix(&self) -> io::Result<UnixStream> {
        match &self.socket {
            Socket::Unix(socket, _) => socket.accept().map(|(stream, _)| stream),
            Socket::Tcp(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The address as a link where it can be one: `http://127.0.0.1:8000`, `http://[::1]:8000`, `unix:/run/app.sock`.
    pub fn url(&self) -> String {
        match &self.local {
            Address::Tcp(address) => format!("http://{address}"),
            Address::Unix(Some(path)) => format!("unix:{}", path.display()),
            Address::Unix(None) => "unix:".to_owned(),
        }
    }

    /// The bound address, with the real port where port 0 was asked for. Abstract unix names start with `@`.
    pub fn local(&self) -> Address {
        self.local.clone()
    }

    /// Hands the socket to the reactor.
    ///
    /// # Errors
    /// When the reactor cannot watch the socket.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn into_tokio(self) -> io::Result<AsyncListener> {
        Ok(match self.socket {
            Socket::Tcp(socket) => AsyncListener::Tcp(tokio::net::TcpListener::from_std(socket)?, self.local),
            Socket::Unix(socket, file) => {
                AsyncListener::Unix(tokio::net::UnixListener::from_std(socket)?, self.local, file)
            }
        })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket, _) => socket.as_fd(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        http: HttpOptions,
    }

    /// The options as a command line gives them.
    pub(crate) fn options(arguments: &[&str]) -> HttpOptions {
        let arguments = std::iter::once("ironbridge").chain(arguments.iter().copied());
        Cli::try_parse_from(arguments).expect("the test's own arguments are valid").http
    }

    pub(crate) fn bind(text: &str) -> Result<Listener, BindError> {
        bind_with(text, &options(&[]))
    }

    pub(crate) fn bind_with(text: &str, options: &HttpOptions) -> Result<Listener, BindError> {
        Listener::bind(&BindAddress::parse(text, Origin::Option)?, options)
    }

    pub(crate) fn refusal(text: &str) -> String {
        bind(text).expect_err("this address must be refused").to_string()
    }
}
