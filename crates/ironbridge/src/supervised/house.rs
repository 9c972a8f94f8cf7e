//! What a supervisor has besides its workers: sockets, files, and perhaps a server whose place it is to take.

use std::path::{Path, PathBuf};

use ironbridge_http::listener::Listener;
use pyo3::prelude::*;

use crate::{
    control::server::Control,
    doors::{ControlSocket, Doors},
    options::Options,
    system::pid_file::PidFile,
    upgrade::Predecessor,
    worker::StartError,
};

/// What a supervisor has besides its workers.
#[derive(Debug)]
pub(crate) struct House {
    pub(super) doors: Doors,
    pub(super) control: Option<Control>,
    pub(super) predecessor: Option<Predecessor>,
    pub(super) pid_file: Option<PidFile>,
    /// The folder of the start.
    pub(super) folder: PathBuf,
}

impl House {
    /// Writes the pid file and opens the sockets that the options ask for, or takes them over from the server that this one is to
    /// replace.
    ///
    /// # Errors
    /// [`StartError::Bind`], [`StartError::Config`].
    pub(crate) fn open(py: Python<'_>, options: &Options, start: &Path) -> Result<Self, StartError> {
        let unexpected = |error: PyErr| StartError::Config(error.to_string());
        let predecessor = Predecessor::find(py).map_err(unexpected)?;
        if predecessor.is_some() && options.processes.no_supervisor {
            let text =
                "a server that takes over from another one needs a supervisor, and --no-supervisor was given";
            return Err(StartError::Config(text.to_owned()));
        }
        let system = &options.system;
        let former = predecessor.as_ref().map(|predecessor| predecessor.pid);
        let pid_file = system.pid_file.as_ref().map(|file| PidFile::create(&start.join(file), former));
        let pid_file = pid_file.transpose().map_err(StartError::Config)?;
        let doors = Doors::open(py, &options.http, predecessor.as_ref())?;
        let control = system.control_socket.as_ref().map(|path| {
            let path = start.join(path);
            let socket = ControlSocket::open(&path, &options.http, predecessor.as_ref())?;
            Ok(Control::new(path, socket))
        });
        let control = control.transpose().map_err(StartError::Config)?;
        if let Some(predecessor) = &predecessor {
            predecessor.close(py).map_err(unexpected)?;
        }
        Ok(Self { doors, control, predecessor, pid_file, folder: start.to_owned() })
    }

    /// This server serves: it takes the place of its predecessor, if there is one.
    pub(super) fn replace_predecessor(&mut self) {
        let Some(mut predecessor) = self.predecessor.take() else { return };
        if let Some(file) = &self.pid_file
            && let Err(error) = file.claim()
        {
            tracing::error!(%error, "the pid file cannot be written");
        }
        self.doors.claim_files();
        if let Some(control) = &mut self.control {
            control.claim_file();
        }
        predecessor.is_replaced();
    }

    /// For a server without a supervisor: the listeners, and the pid file, which is there for as long as it is kept.
    pub(crate) fn into_parts(self) -> (Vec<Listener>, Option<PidFile>) {
        (self.doors.into_listeners(), self.pid_file)
    }
}
