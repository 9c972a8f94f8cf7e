//! SIGUSR2: another version of the program takes over, without a moment in which nobody listens.
//!
//! The supervisor starts the command that it was started with once more, as a child that inherits its listeners and the end of a
//! pipe. When the workers of the new supervisor serve, it says so through the pipe, and the old one drains and ends. If it ends
//! without a word, the old one goes on as if nothing had happened.
//!
//! * [`Successor`]: the child, in the old supervisor. [`Predecessor`]: what was inherited, in the new one.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustix::fs::{OFlags, fcntl_setfl};

use crate::doors::{ControlSocket, Doors};

/// The variable that tells a child what it inherits. It looks like none of the options.
pub(crate) const VARIABLE: &str = "_IRONBRIDGE_UPGRADE_FROM";

/// What the old supervisor has handed to this process.
#[derive(Debug)]
pub(crate) struct Predecessor {
    /// Its process.
    pub(crate) pid: u32,
    pipe: Option<File>,
    listeners: Vec<(String, i32)>,
    control: Option<(String, i32)>,
    are_passed: bool,
}

/// A new version of the program that starts.
#[derive(Debug)]
pub(crate) struct Successor {
    process: Py<PyAny>,
    pipe: File,
    pub(crate) pid: i32,
}

/// How a successor fares.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It is not ready yet.
    None,
    /// Its workers serve.
    Serves,
    /// It has ended, with this exit code (negative: a signal).
    Ended(i32),
}

impl Predecessor {
    /// What this process has inherited, if it was started by an old supervisor.
    ///
    /// # Errors
    /// Python's.
    pub(crate) fn find(py: Python<'_>) -> PyResult<Option<Self>> {
        let environ = py.import("os")?.getattr("environ")?;
        // Nothing that the application starts is to take it for its own.
        let text: Option<String> = environ.call_method1("pop", (VARIABLE, py.None()))?.extract()?;
        Ok(text.as_deref().and_then(Self::parse))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (pid, pipe) = lines.next()?.split_once(' ')?;
        let mut found = Self {
            pid: pid.parse().ok()?,
            // By its path, for a number alone is nobody's property.
            pipe: File::options().write(true).open(format!("/dev/fd/{pipe}")).ok(),
            listeners: Vec::new(),
            control: None,
            are_passed: false,
        };
        for line in lines {
            let (kind, rest) = line.split_once(' ')?;
            let (number, address) = rest.split_once(' ')?;
            let (number, address) = (number.parse().ok()?, address.to_owned());
            match kind {
                CONTROL => found.control = Some((address, number)),
                PASSED => {
                    found.are_passed = true;
                    found.listeners.push((address, number));
                }
                _ => found.listeners.push((address, number)),
            }
        }
        Some(found)
    }

    /// The number of the listener that this address is bound to already.
    pub(crate) fn listener(&self, address: &str) -> Option<i32> {
        self.listeners.iter().find(|(bound, _)| bound == address).map(|(_, number)| *number)
    }

    /// The same for the control socket.
    pub(crate) fn control_socket(&self, path: &str) -> Option<i32> {
        self.control.as_ref().filter(|(bound, _)| bound == path).map(|(_, number)| *number)
    }

    /// The addresses of the sockets that systemd once passed.
    pub(crate) fn passed_addresses(&self) -> Vec<String> {
        let all = self.listeners.iter().filter(|_| self.are_passed);
        all.map(|(address, _)| address.clone()).collect()
    }

    /// Closes what was inherited: what is needed has been duplicated.
    ///
    /// # Errors
    /// Python's.
    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        let close = py.import("os")?.getattr("close")?;
        for (_, number) in self.listeners.iter().chain(&self.control) {
            close.call1((number,))?;
        }
        Ok(())
    }

    /// Tells the old supervisor that this one serves.
    pub(crate) fn is_replaced(&mut self) {
        if let Some(mut pipe) = self.pipe.take()
            && let Err(error) = pipe.write_all(SERVES)
        {
            tracing::warn!(%error, "the server that this one replaces cannot be told");
        }
    }
}

impl Successor {
    /// Starts the program's newest version, with the arguments that this one was started with.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(
        py: Python<'_>,
        folder: &Path,
        doors: &Doors,
        control: Option<(&Path, &ControlSocket)>,
    ) -> PyResult<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|error| PyErr::from(std::io::Error::from(error)))?;
        fcntl_setfl(&reader, OFlags::NONBLOCK).map_err(|error| PyErr::from(std::io::Error::from(error)))?;
        let (text, numbers) = inheritance(&writer, doors, control);
        let sys = py.import("sys")?;
        let mut command: Vec<String> = sys.getattr(intern!(py, "orig_argv"))?.extract()?;
        if let Some(program) = command.first_mut() {
            *program = sys.getattr("executable")?.extract()?;
        }
        let environment = py.import("os")?.getattr("environ")?.call_method0("copy")?;
        environment.set_item(VARIABLE, text)?;
        // systemd's watchdog counts for the process that it has started, until it hears of the new one.
        environment.call_method1("pop", ("WATCHDOG_PID", ""))?;
        let keywords = PyDict::new(py);
        keywords.set_item("cwd", folder)?;
        keywords.set_item("env", environment)?;
        keywords.set_item("pass_fds", numbers)?;
        let process = py.import("subprocess")?.call_method("Popen", (command,), Some(&keywords))?;
        Ok(Self { pid: process.getattr("pid")?.extract()?, process: process.unbind(), pipe: reader.into() })
    }

    /// How it fares.
    ///
    /// # Errors
    /// Python's.
    pub(crate) fn news(&self, py: Python<'_>) -> PyResult<News> {
        if matches!((&self.pipe).read(&mut [0; SERVES.len()]), Ok(1..)) {
            return Ok(News::Serves);
        }
        let code: Option<i32> = self.process.call_method0(py, "poll")?.extract(py)?;
        Ok(code.map_or(News::None, News::Ended))
    }

    /// Readable when there is news of success.
    pub(crate) fn bell(&self) -> &File {
        &self.pipe
    }

    /// Gives it up.
    ///
    /// # Errors
    /// Python's.
    pub(crate) fn end(&self, py: Python<'_>) -> PyResult<()> {
        self.process.call_method0(py, "terminate").map(drop)
    }
}

/// The text of [`VARIABLE`], and the numbers that it names.
fn inheritance(
    pipe: &OwnedFd,
    doors: &Doors,
    control: Option<(&Path, &ControlSocket)>,
) -> (String, Vec<i32>) {
    let pipe = pipe.as_raw_fd();
    let mut text = format!("{} {pipe}", std::process::id());
    let mut numbers = vec![pipe];
    let mut add = |kind, number: i32, address: &str| {
        text.push_str(&format!("\n{kind} {number} {address}"));
        numbers.push(number);
    };
    for (address, number) in doors.numbers() {
        add(if doors.are_passed { PASSED } else { BOUND }, number, address);
    }
    if let Some((path, socket)) = control {
        add(CONTROL, socket.listener().number(), &path.display().to_string());
    }
    (text, numbers)
}

const BOUND: &str = "bound";
const PASSED: &str = "passed";
const CONTROL: &str = "control";

/// What a successor says when its workers serve.
const SERVES: &[u8] = b"serves";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inherited_is_found_by_the_text_that_asked_for_it() {
        let found =
            Predecessor::parse("7 1\nbound 5 127.0.0.1:80\nbound 6 unix:/a b\ncontrol 9 /run/c").unwrap();
        assert_eq!(found.pid, 7);
        assert_eq!(found.listener("127.0.0.1:80"), Some(5));
        assert_eq!(found.listener("unix:/a b"), Some(6));
        assert_eq!(found.listener("127.0.0.1:81"), None);
        assert_eq!(found.control_socket("/run/c"), Some(9));
        assert_eq!(found.control_socket("/run/d"), None);
        assert!(found.passed_addresses().is_empty());
        let passed = Predecessor::parse("7 1\npassed 5 fd://3").unwrap();
        assert_eq!(passed.passed_addresses(), ["fd://3"]);
        assert!(Predecessor::parse("nonsense").is_none());
    }
}
