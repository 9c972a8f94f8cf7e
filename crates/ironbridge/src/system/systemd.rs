//! systemd: listening sockets that it passes (sd_listen_fds(3)), and what it is told (sd_notify(3)).
//!
//! Without systemd all of it does nothing.

use std::time::{Duration, Instant};

use pyo3::prelude::*;
use sd_notify::NotifyState;

/// What the service manager hears of this process.
#[derive(Debug)]
pub(crate) struct Systemd {
    /// How often it wants to hear that all is well.
    watchdog: Option<Duration>,
    next: Instant,
}

impl Systemd {
    pub(crate) fn new() -> Self {
        // Twice as often as it must be.
        let watchdog = sd_notify::watchdog_enabled().map(|limit| limit / 2);
        Self { watchdog, next: Instant::now() }
    }

    /// The service is up, or up again after a reload.
    pub(crate) fn ready(&self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    pub(crate) fn status(&self, status: &str) {
        tell(&[NotifyState::Status(status)]);
    }

    pub(crate) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("reloading")]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    /// Another process is the service from now on.
    pub(crate) fn is_now(&self, pid: u32, status: &str) {
        tell(&[NotifyState::MainPid(pid), NotifyState::Ready, NotifyState::Status(status)]);
    }

    pub(crate) fn stopping(&self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("finishing requests in flight")]);
    }

    /// Says that the process is alive, if that is due, and returns when it will be due.
    pub(crate) fn pulse(&mut self) -> Option<Instant> {
        let interval = self.watchdog?;
        let now = Instant::now();
        if self.next <= now {
            tell(&[NotifyState::Watchdog]);
            self.next = now + interval;
        }
        Some(self.next)
    }
}

/// The addresses of the listeners that systemd has passed to this process, as `--bind` takes them.
///
/// # Errors
/// Python's.
pub(crate) fn passed_listeners(py: Python<'_>) -> PyResult<Vec<String>> {
    let passed = sd_notify::listen_fds().map(|numbers| numbers.collect()).unwrap_or_else(|error| {
        tracing::warn!(%error, "LISTEN_FDS cannot be used");
        Vec::new()
    });
    // They are meant for this process, and not for what the application starts.
    let environ = py.import("os")?.getattr("environ")?;
    for variable in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
        environ.call_method1("pop", (variable, ""))?;
    }
    Ok(passed.into_iter().map(|number| format!("fd://{number}")).collect())
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
