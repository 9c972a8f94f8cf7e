//! Where a server listens: addresses that it binds, sockets that systemd passes, or what its predecessor hands over.

use std::os::fd::{AsFd, BorrowedFd};

use ironbridge_http::{
    listener::{BindAddress, Listener, Origin, addresses},
    options::HttpOptions,
};
use pyo3::prelude::*;

use crate::system::systemd;
use crate::upgrade::Predecessor;
use crate::worker::StartError;

/// Listeners, each with the text that asked for it.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    listeners: Vec<(String, Listener)>,
    /// systemd's: they take the place of `--bind`.
    pub(crate) are_passed: bool,
}

impl Doors {
    /// Opens what the options ask for. What the predecessor has open already is taken over from it.
    ///
    /// # Errors
    /// [`StartError::Bind`].
    pub(crate) fn open(
        py: Python<'_>,
        options: &HttpOptions,
        predecessor: Option<&Predecessor>,
    ) -> Result<Self, StartError> {
        let failed = |error: PyErr| StartError::Bind(error.to_string());
        let passed = match predecessor {
            Some(predecessor) => predecessor.passed_addresses(),
            None => systemd::passed_listeners(py).map_err(failed)?,
        };
        let are_passed = !passed.is_empty();
        if are_passed && !options.bind.is_empty() {
            tracing::info!("systemd passes sockets: they take the place of --bind");
        }
        let options = match are_passed {
            true => &HttpOptions { bind: passed, ..options.clone() },
            false => options,
        };
        let port = std::env::var("PORT").ok();
        let open = |address: &BindAddress| {
            let inherited = predecessor.and_then(|predecessor| predecessor.listener(address.text()));
            let listener = match inherited {
                Some(number) => Listener::adopt(address, number),
                None => Listener::bind(address, options),
            };
            listener.map(|listener| (address.text().to_owned(), listener))
        };
        let listeners = addresses(options, port.as_deref())
            .and_then(|addresses| addresses.iter().map(open).collect::<Result<_, _>>())
            .map_err(|error| StartError::Bind(error.to_string()))?;
        Ok(Self { listeners, are_passed })
    }

    /// Where they are, as links.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.listeners.iter().map(|(_, listener)| listener.url()).collect()
    }

    /// The text that asked for each, and its number.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = (&str, i32)> {
        self.listeners.iter().map(|(text, listener)| (text.as_str(), listener.number()))
    }

    /// Without what led to them.
    pub(crate) fn into_listeners(self) -> Vec<Listener> {
        self.listeners.into_iter().map(|(_, listener)| listener).collect()
    }

    /// The predecessor's work is done: files of sockets are this process's to remove.
    pub(crate) fn claim_files(&mut self) {
        self.listeners.iter_mut().for_each(|(_, listener)| listener.claim_file());
    }

    /// Another process has claimed them all.
    pub(crate) fn leave_files(&mut self) {
        self.listeners.iter_mut().for_each(|(_, listener)| listener.leave_file());
    }

    pub(crate) fn close(&mut self) {
        self.listeners.clear();
    }
}

/// The socket that commands for this server come to.
#[derive(Debug)]
pub(crate) struct ControlSocket(Listener);

impl ControlSocket {
    /// For the user that runs the server, and root, only.
    ///
    /// # Errors
    /// One line for the user.
    pub(crate) fn open(
        path: &std::path::Path,
        options: &HttpOptions,
        predecessor: Option<&Predecessor>,
    ) -> Result<Self, String> {
        let options = HttpOptions { unix_socket_mode: 0o600, unix_socket_group: None, ..options.clone() };
        let address = BindAddress::parse(&path.display().to_string(), Origin::ControlSocket);
        let opened = address.and_then(|address| {
            match predecessor.and_then(|predecessor| predecessor.control_socket(address.text())) {
                Some(number) => Listener::adopt(&address, number),
                None => Listener::bind(&address, &options),
            }
        });
        opened.map(Self).map_err(|error| error.to_string())
    }

    pub(crate) fn listener(&self) -> &Listener {
        &self.0
    }

    pub(crate) fn claim_file(&mut self) {
        self.0.claim_file();
    }

    pub(crate) fn leave_file(&mut self) {
        self.0.leave_file();
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
