//! The listener inside the reactor.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll, ready},
};

use ironbridge_exchange::peer::Address;

use super::unix::UnlinkOnDrop;
use crate::stream::Stream;

/// A listener that the reactor watches. Dropping it closes the socket and removes its file.
#[derive(Debug)]
pub enum AsyncListener {
    /// TCP, and the bound address.
    Tcp(tokio::net::TcpListener, Address),
    /// A unix socket, its name, and its file where we made one.
    Unix(tokio::net::UnixListener, Address, Option<UnlinkOnDrop>),
}

impl AsyncListener {
    /// The bound address.
    pub fn local(&self) -> &Address {
        match self {
            Self::Tcp(_, local) | Self::Unix(_, local, _) => local,
        }
    }

    /// Takes the next connection and the address of its peer. TCP connections send without delay (TCP_NODELAY).
    ///
    /// IPv4 peers on a dual-stack socket are given as IPv4. Connections that died in the backlog are skipped.
    ///
    /// # Errors
    /// What accept(2) says of us rather than of one connection, such as too many open files. The connection
    /// stays in the backlog, so that trying again at once would spin: wait a moment first.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Address)>> {
        loop {
            match ready!(self.poll_accept_one(cx)) {
                Err(error) if is_of_the_connection(&error) => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_accept_one(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Address)>> {
        match self {
            Self::Tcp(listener, _) => listener.poll_accept(cx).map_ok(|(stream, peer)| {
                // TCP_NODELAY is already set: inherited from the listener.
                (Stream::Tcp(stream), Address::Tcp(canonical(peer)))
            }),
            Self::Unix(listener, ..) => listener.poll_accept(cx).map_ok(|(stream, peer)| {
                (Stream::Unix(stream), Address::Unix(peer.as_pathname().map(ToOwned::to_owned)))
            }),
        }
    }
}

/// accept(2) also reports errors that were already pending on the new connection.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | NetworkDown | NetworkUnreachable
    )
}

/// `::ffff:192.0.2.1` is 192.0.2.1 (RFC 4291 section 2.5.5.2).
fn canonical(peer: SocketAddr) -> SocketAddr {
    match peer.ip() {
        IpAddr::V4(_) => peer,
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(peer, |ip| SocketAddr::new(ip.into(), peer.port())),
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, os::fd::AsFd, time::Duration};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpStream, UnixStream},
        time::timeout,
    };

    use super::*;
    use crate::listener::tests::bind;

    async fn accept(listener: &AsyncListener) -> (Stream, Address) {
        let accepted = timeout(Duration::from_secs(10), poll_fn(|cx| listener.poll_accept(cx))).await;
        accepted.expect("in time").expect("accepted")
    }

    fn tcp(address: &Address) -> SocketAddr {
        match address {
            Address::Tcp(address) => *address,
            Address::Unix(_) => panic!("not TCP"),
        }
    }

    #[tokio::test]
    async fn a_tcp_connection_comes_in_without_delay_and_with_its_peer() {
        let listener = bind("127.0.0.1:0").expect("a free port").into_tokio().expect("watched");
        let mut client = TcpStream::connect(tcp(listener.local())).await.expect("it listens");
        let (mut stream, peer) = accept(&listener).await;
        assert_eq!(tcp(&peer), client.local_addr().expect("connected"));
        let socket = socket2::SockRef::from(&stream);
        assert!(socket.tcp_nodelay().expect("TCP"), "TCP_NODELAY is inherited from the listener");
        let flags = rustix::io::fcntl_getfd(stream.as_fd()).expect("open");
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        client.write_all(b"ping").await.expect("sent");
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).await.expect("received");
        assert_eq!(&bytes, b"ping");
    }

    #[tokio::test]
    async fn a_unix_connection_comes_in_and_the_file_leaves_with_the_listener() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.sock");
        let listener = bind(&format!("unix:{}", path.display())).expect("new").into_tokio().expect("watched");
        let _client = UnixStream::connect(&path).await.expect("it listens");
        let (stream, peer) = accept(&listener).await;
        assert!(matches!(stream, Stream::Unix(_)));
        assert_eq!(peer, Address::Unix(None));
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn an_ipv4_peer_of_a_dual_stack_socket_is_ipv4() {
        use std::os::fd::AsRawFd;
        let Ok(parent) = std::net::TcpListener::bind("[::]:0") else { return eprintln!("no IPv6 here") };
        let port = parent.local_addr().expect("bound").port();
        let listener =
            bind(&format!("fd://{}", parent.as_raw_fd())).expect("listens").into_tokio().expect("watched");
        let client = match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(client) => client,
            Err(_) => return eprintln!("IPv6 sockets are not dual-stack here"),
        };
        let (_stream, peer) = accept(&listener).await;
        assert_eq!(tcp(&peer), client.local_addr().expect("connected"));
    }
}
