//! Why an address cannot be listened on.

use std::{io, path::PathBuf};

use super::address::BindAddress;

/// Why an address cannot be listened on. Each text is one line that names the option and the text at fault.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The text is no address.
    #[error("{at}: {reason}")]
    Syntax {
        /// Option and text.
        at: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The host name has no address.
    #[error("{at}: cannot resolve {host:?}: {source}")]
    Resolve {
        /// Option and text.
        at: String,
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Somebody else listens there.
    #[error("{at}: address already in use{by}")]
    InUse {
        /// Option and text.
        at: String,
        /// More about who has it, or empty.
        by: &'static str,
    },
    /// The system does not let us.
    #[error("{at}: permission denied{hint}")]
    Permission {
        /// Option and text.
        at: String,
        /// What would help, or empty.
        hint: &'static str,
    },
    /// No network interface of this machine has the address.
    #[error("{at}: this machine has no such address")]
    NotAvailable {
        /// Option and text.
        at: String,
    },
    /// The path of a unix socket is taken by something else, which stays untouched.
    #[error("{at}: {} exists and is not a socket", path.display())]
    NotASocket {
        /// Option and text.
        at: String,
        /// The path.
        path: PathBuf,
    },
    /// The folder for a unix socket does not exist.
    #[error("{at}: folder {} does not exist", path.display())]
    NoFolder {
        /// Option and text.
        at: String,
        /// The folder.
        path: PathBuf,
    },
    /// The path of a unix socket does not fit the system's limit.
    #[error("{at}: the path is too long for a unix socket")]
    PathTooLong {
        /// Option and text.
        at: String,
    },
    /// The inherited descriptor is not what it should be.
    #[error("{at}: file descriptor {number} {fault}")]
    Descriptor {
        /// Option and text.
        at: String,
        /// The descriptor.
        number: i32,
        /// "is not open", or what it is instead.
        fault: &'static str,
    },
    /// The group of `--unix-socket-group` does not exist.
    #[error("--unix-socket-group {group:?}: no such group")]
    NoGroup {
        /// The name as typed.
        group: String,
    },
    /// The group of `--unix-socket-group` exists, but the socket cannot be given to it.
    #[error("--unix-socket-group {group:?}: cannot give it the socket: {source}")]
    Group {
        /// The name as typed.
        group: String,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else that the system says.
    #[error("{at}: {source}")]
    Io {
        /// Option and text.
        at: String,
        /// What it said.
        source: io::Error,
    },
}

impl BindError {
    /// Words for what the system said about an address.
    pub(super) fn from_io(address: &BindAddress, source: io::Error) -> Self {
        let at = address.blame();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { at, by: "" },
            io::ErrorKind::AddrNotAvailable => Self::NotAvailable { at },
            io::ErrorKind::PermissionDenied => Self::Permission { at, hint: address.permission_hint() },
            _ => Self::Io { at, source },
        }
    }
}
