//! Who speaks to us, and on which of our addresses.

use std::net::SocketAddr;

use crate::kept::Kept;

/// One end of a connection's addressing, TCP or unix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// A unix socket; the path where there is one.
    Unix(Option<std::path::PathBuf>),
}

/// The facts of one connection, shared by all its requests.
#[derive(Debug)]
pub struct Peer {
    /// Numbers connections within this process, from 1; never zero, never used again.
    pub connection: u64,
    /// Who speaks to us.
    pub remote: Address,
    /// The listener's address that the connection came in on.
    pub local: Address,
    /// Whether the bytes came through TLS.
    pub secure: bool,
    /// What an adapter makes of these facts.
    pub kept: Kept,
}
