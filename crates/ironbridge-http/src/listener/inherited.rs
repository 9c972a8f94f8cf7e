//! Listeners that our parent opened: `fd://N`.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
};

use ironbridge_exchange::peer::Address;
use rustix::{io::Errno, net::sockopt};
use socket2::SockAddr;

use super::{BindError, Listener, Socket, address::BindAddress, sys};

/// Takes a duplicate of the socket; the number itself stays open, for whoever else was promised it.
pub(super) fn take(address: &BindAddress, number: i32) -> Result<Listener, BindError> {
    let fault = |fault| BindError::Descriptor { at: address.blame(), number, fault };
    let fd = sys::duplicate(number).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::BADF) => fault("is not open"),
        _ => BindError::from_io(address, error),
    })?;
    if let Some(words) = why_not_a_listener(&fd) {
        return Err(fault(words));
    }
    wrap(fd)
        .map_err(|error| BindError::from_io(address, error))?
        .ok_or_else(|| fault("is neither TCP nor unix"))
}

fn why_not_a_listener(fd: &OwnedFd) -> Option<&'static str> {
    match sockopt::socket_type(fd) {
        Err(_) => return Some("is not a socket"),
        Ok(kind) if kind != rustix::net::SocketType::STREAM => return Some("is not a stream socket"),
        Ok(_) => {}
    }
    if listens(fd) { None } else { Some("does not listen") }
}

#[cfg(not(target_vendor = "apple"))]
fn listens(fd: &OwnedFd) -> bool {
    sockopt::socket_acceptconn(fd).unwrap_or(false)
}

/// Apple's systems cannot be asked; accepting tells.
#[cfg(target_vendor = "apple")]
fn listens(_fd: &OwnedFd) -> bool {
    true
}

fn wrap(fd: OwnedFd) -> io::Result<Option<Listener>> {
    let socket = socket2::Socket::from(fd);
    socket.set_nonblocking(true)?;
    let bound = socket.local_addr()?;
    if let Some(address) = bound.as_socket() {
        socket.set_tcp_nodelay(true)?;
        return Ok(Some(Listener { socket: Socket::Tcp(socket.into()), local: Address::Tcp(address) }));
    }
    if !bound.is_unix() {
        return Ok(None);
    }
    // The file of the socket belongs to whoever bound it.
    let socket = Socket::Unix(UnixListener::from(socket), None);
    Ok(Some(Listener { socket, local: Address::Unix(name(&bound)) }))
}

fn name(bound: &SockAddr) -> Option<PathBuf> {
    let without_file =
        || bound.as_abstract_namespace().map(|name| format!("@{}", String::from_utf8_lossy(name)).into());
    bound.as_pathname().map(Path::to_owned).or_else(without_file)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        net::{TcpListener, TcpStream, UdpSocket},
        os::{fd::AsRawFd, unix::net::UnixStream},
    };

    use super::*;
    use crate::listener::tests::{bind, refusal};

    fn refused(socket: &impl AsRawFd) -> String {
        let number = socket.as_raw_fd();
        let line = refusal(&format!("fd://{number}"));
        line.replace(&number.to_string(), "N")
    }

    #[test]
    fn a_listening_tcp_socket_is_taken_as_a_duplicate() {
        let parent = TcpListener::bind("127.0.0.1:0").expect("a free port exists");
        let address = parent.local_addr().expect("it is bound");
        let listener = bind(&format!("fd://{}", parent.as_raw_fd())).expect("it listens");
        assert_eq!(listener.url(), format!("http://{address}"));
        drop(parent);
        TcpStream::connect(address).expect("our duplicate still listens");
        let Socket::Tcp(socket) = &listener.socket else { panic!("not TCP") };
        socket.accept().expect("the connection came in");
        assert_eq!(socket.accept().expect_err("only one came").kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_listening_unix_socket_is_taken_and_its_file_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.sock");
        let parent = UnixListener::bind(&path).expect("a new path");
        let listener = bind(&format!("fd://{}", parent.as_raw_fd())).expect("it listens");
        assert_eq!(listener.local(), Address::Unix(Some(path.clone())));
        drop(listener);
        UnixStream::connect(&path).expect("the parent's socket is untouched");
    }

    #[test]
    fn what_is_no_listening_stream_socket_is_refused() {
        let peer = TcpListener::bind("127.0.0.1:0").expect("a free port exists");
        let connected = TcpStream::connect(peer.local_addr().expect("bound")).expect("it listens");
        assert_eq!(refused(&connected), "--bind fd://N: file descriptor N does not listen");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port exists");
        assert_eq!(refused(&udp), "--bind fd://N: file descriptor N is not a stream socket");
        let file = File::open("/dev/null").expect("it exists");
        assert_eq!(refused(&file), "--bind fd://N: file descriptor N is not a socket");
        assert_eq!(refusal("fd://999999"), "--bind fd://999999: file descriptor 999999 is not open");
    }
}
