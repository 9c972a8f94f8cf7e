//! Who speaks to us, and on which of our addresses.

use std::{
    any::Any,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

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
    /// What an adapter keeps with the connection; see [`Peer::keep`].
    pub kept: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Peer {
    /// What an adapter has kept with the connection.
    pub fn kept<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.kept.get().and_then(|kept| Arc::clone(kept).downcast().ok())
    }

    /// Keeps what an adapter made of these facts, so that it is not made for each request. The first one stays.
    pub fn keep<T: Any + Send + Sync>(&self, made: Arc<T>) -> Arc<T> {
        let kept = self.kept.get_or_init(|| Arc::clone(&made) as Arc<dyn Any + Send + Sync>);
        Arc::clone(kept).downcast().unwrap_or(made)
    }
}
