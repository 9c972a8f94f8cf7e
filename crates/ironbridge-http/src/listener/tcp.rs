//! TCP listeners.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs},
};

use ironbridge_exchange::peer::Address;
use socket2::{Domain, Protocol, Type};

use super::{BindError, Listener, Socket, address::BindAddress};
use crate::options::HttpOptions;

pub(super) fn bind(
    address: &BindAddress,
    host: &str,
    port: u16,
    options: &HttpOptions,
) -> Result<Listener, BindError> {
    let mut fault = None;
    for candidate in resolve(address, host, port)? {
        match listen(candidate, options.backlog) {
            Ok((socket, local)) => {
                return Ok(Listener { socket: Socket::Tcp(socket), local: Address::Tcp(local) });
            }
            Err(error) if is_missing_here(&error) => fault = Some(error),
            Err(error) => return Err(BindError::from_io(address, error)),
        }
    }
    Err(BindError::from_io(address, fault.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())))
}

/// All addresses of a host, IPv4 first: a person who binds `localhost` tries 127.0.0.1 next.
fn resolve(address: &BindAddress, host: &str, port: u16) -> Result<Vec<SocketAddr>, BindError> {
    let found = match host.parse::<IpAddr>() {
        Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
        Err(_) => (host, port).to_socket_addrs().map(Iterator::collect),
    };
    let mut list: Vec<SocketAddr> =
        found.map_err(|source| BindError::Resolve { at: address.blame(), host: host.to_owned(), source })?;
    list.sort_by_key(SocketAddr::is_ipv6);
    Ok(list)
}

fn listen(address: SocketAddr, backlog: u32) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Without it, connections of the last run that the kernel still remembers keep the port busy for a minute.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // What is written is what is bound: [::]:80 and 0.0.0.0:80 can stand side by side.
        socket.set_only_v6(true)?;
    }
    // Accepted sockets inherit it, which saves a system call for each connection.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    let socket = TcpListener::from(socket);
    let local = socket.local_addr()?;
    Ok((socket, local))
}

/// Whether the address, or its whole family, does not exist on this machine.
fn is_missing_here(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::AFNOSUPPORT)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use rustix::io::{FdFlags, fcntl_getfd};

    use super::*;
    use crate::listener::tests::{bind, refusal};

    fn local(listener: &Listener) -> SocketAddr {
        match listener.local() {
            Address::Tcp(address) => address,
            Address::Unix(_) => panic!("a TCP address gave a unix socket"),
        }
    }

    #[test]
    fn port_zero_takes_a_free_port_that_the_link_shows() {
        let listener = bind("127.0.0.1:0").expect("a free port exists");
        let address = local(&listener);
        assert_ne!(address.port(), 0);
        assert_eq!(listener.url(), format!("http://127.0.0.1:{}", address.port()));
        TcpStream::connect(address).expect("the listener listens");
    }

    #[test]
    fn the_socket_does_not_block_and_is_not_given_to_programs_we_start() {
        let listener = bind("127.0.0.1:0").expect("a free port exists");
        let Socket::Tcp(socket) = &listener.socket else { panic!("not TCP") };
        assert_eq!(socket.accept().expect_err("nobody connects").kind(), io::ErrorKind::WouldBlock);
        assert!(fcntl_getfd(socket).expect("an open fd").contains(FdFlags::CLOEXEC));
    }

    #[test]
    fn ipv4_and_ipv6_can_have_the_same_port() {
        let Ok(six) = bind("[::]:0") else { return eprintln!("no IPv6 here") };
        let port = local(&six).port();
        assert_eq!(six.url(), format!("http://[::]:{port}"));
        // Another process may have taken the IPv4 port, which would be no fault of ours.
        if TcpStream::connect(("127.0.0.1", port)).is_err() {
            bind(&format!("0.0.0.0:{port}")).expect("IPv6 did not take IPv4's port");
        }
    }

    #[test]
    fn localhost_means_ipv4_where_there_is_both() {
        let listener = bind("localhost:0").expect("localhost exists");
        assert!(local(&listener).is_ipv4());
    }

    #[test]
    fn a_busy_port_is_said_to_be_in_use() {
        let first = bind("127.0.0.1:0").expect("a free port exists");
        let port = local(&first).port();
        let expected = format!("--bind localhost:{port}: address already in use");
        assert_eq!(refusal(&format!("localhost:{port}")), expected);
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        assert_eq!(refusal("192.0.2.1:0"), "--bind 192.0.2.1:0: this machine has no such address");
    }

    #[test]
    fn a_name_that_does_not_exist_is_refused_with_its_name() {
        let line = refusal("no-such-name.invalid:80");
        assert!(
            line.starts_with("--bind no-such-name.invalid:80: cannot resolve \"no-such-name.invalid\": "),
            "{line}"
        );
    }

    #[test]
    fn a_low_port_without_the_right_gets_a_hint() {
        let address =
            BindAddress::parse("127.0.0.1:80", crate::listener::Origin::Option).expect("an address");
        let error = BindError::from_io(&address, io::ErrorKind::PermissionDenied.into());
        assert_eq!(
            error.to_string(),
            "--bind 127.0.0.1:80: permission denied (ports below 1024 need root or CAP_NET_BIND_SERVICE)"
        );
    }
}
