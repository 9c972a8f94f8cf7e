//! The supervisor's host: what `ironbridge-supervisor` needs of this process.
//!
//! [`run`] forks in the middle of it: it returns once in the supervisor, when all is over, and once in each worker, which then
//! goes on as a server alone would. Until the fork there is no thread but the main one, unless the caller's program or a preloaded
//! application has started some.

use std::{io, os::fd::BorrowedFd, sync::Arc, thread, time::Instant};

use ironbridge_http::listener::Listener;
use ironbridge_supervisor::{
    fleet::Plan,
    link::{Leash, News},
    supervisor::{self, Host, Order, Outcome},
};
use pyo3::{exceptions::PyRuntimeError, prelude::*};
use rustix::{
    io::Errno,
    process::Pid,
    termios::{isatty, tcgetpgrp},
};

use crate::{
    options::Options,
    signals::{self, Muffled, Role, Signals},
    system::systemd::Systemd,
    worker::Controller,
};

/// What the workers of one generation are to serve.
#[derive(Debug)]
pub(crate) struct Site {
    /// Their options.
    pub(crate) options: Options,
    /// The application's name on the command line, if it is to be imported.
    pub(crate) app: Option<String>,
}

/// How [`run`] ends.
#[derive(Debug)]
pub(crate) enum Part {
    /// In the supervisor, when all workers have ended: the exit code.
    Supervisor(i32),
    /// In a worker that was just forked.
    Worker(Box<Charge>),
}

/// What a worker is given.
#[derive(Debug)]
pub(crate) struct Charge {
    /// What it is to serve.
    pub(crate) site: Site,
    /// Where.
    pub(crate) listeners: Vec<Listener>,
    /// To be taken over by its own signals.
    pub(crate) muffled: Muffled,
    /// What ties it to its supervisor.
    pub(crate) tie: Tie,
}

/// A worker's tie to its supervisor.
#[derive(Debug, Clone)]
pub(crate) struct Tie(Arc<Leash>);

/// Keeps workers alive that serve `first`, until told to stop. `reread` reads the options again at a reload, and tells the
/// operator what is wrong with them.
///
/// # Errors
/// Outside the main thread; the system does not let us wait; Python cannot fork.
pub(crate) fn run(
    py: Python<'_>,
    first: Site,
    listeners: Vec<Listener>,
    reread: impl FnMut() -> Option<Site> + Send,
) -> PyResult<Part> {
    let signals = Signals::install(py, Role::Supervisor)?
        .ok_or_else(|| PyRuntimeError::new_err("workers can only be supervised from the main thread"))?;
    let plan = first.options.plan();
    let mut household = Household {
        urls: listeners.iter().map(Listener::url).collect(),
        listeners,
        signals,
        has_terminal: isatty(io::stderr()),
        sites: vec![(1, first)],
        reread,
        systemd: Systemd::new(),
        is_serving: false,
        is_stopping: false,
        interrupted: false,
    };
    let outcome = py.detach(|| supervisor::run(plan, &mut household));
    let Household { listeners, signals, mut sites, interrupted, .. } = household;
    match outcome {
        Ok(Outcome::Ended { code }) => {
            signals.leave(py)?;
            Ok(Part::Supervisor(if code == 0 && interrupted { INTERRUPTED } else { code }))
        }
        Ok(Outcome::Worker { generation, leash }) => {
            signals.abandon();
            let muffled = Muffled::install(py)?;
            let index = sites.iter().position(|(number, _)| *number == generation);
            let site = index.map(|index| sites.swap_remove(index).1);
            let site = site.ok_or_else(|| PyRuntimeError::new_err("a worker of an unknown generation"))?;
            Ok(Part::Worker(Box::new(Charge { site, listeners, muffled, tie: Tie(Arc::new(leash)) })))
        }
        Err(error) => {
            signals.restore(py)?;
            Err(error.into())
        }
    }
}

impl Tie {
    /// Asks the supervisor for a replacement.
    pub(crate) fn is_tired(&self, reason: String) {
        self.0.tell(&News::Tired(reason));
    }

    /// Tells the supervisor that the worker serves, and has the worker drain should it find itself alone.
    ///
    /// # Errors
    /// The system has no threads left.
    pub(crate) fn serves(&self, interface: &str, controller: Controller) -> io::Result<()> {
        let leash = Arc::clone(&self.0);
        let wait = move || {
            leash.wait_until_alone();
            tracing::warn!("the supervisor has gone: finishing requests in flight");
            controller.stop();
        };
        thread::Builder::new().name("ironbridge-leash".into()).spawn(wait)?;
        self.0.tell(&News::Ready(interface.to_owned()));
        Ok(())
    }
}

/// 128 + SIGINT, as shells have it: it was interrupted before it has served.
const INTERRUPTED: i32 = 130;

struct Household<F> {
    listeners: Vec<Listener>,
    urls: Vec<String>,
    signals: Signals,
    /// There was a terminal at the start.
    has_terminal: bool,
    /// What the workers of each generation that may still be started serve.
    sites: Vec<(u32, Site)>,
    reread: F,
    systemd: Systemd,
    is_serving: bool,
    is_stopping: bool,
    interrupted: bool,
}

impl<F: FnMut() -> Option<Site>> Host for Household<F> {
    fn fork(&mut self) -> io::Result<Option<Pid>> {
        Python::attach(|py| {
            let sys = py.import("sys")?;
            for stream in ["stdout", "stderr"] {
                // What it holds back would be written twice. A closed one holds nothing.
                let _ = sys.getattr(stream).and_then(|stream| stream.call_method0("flush"));
            }
            let child: i32 = py.import("os")?.call_method0("fork")?.extract()?;
            Ok::<_, PyErr>(Pid::from_raw(child))
        })
        .map_err(io::Error::from)
    }

    fn bell(&self) -> BorrowedFd<'_> {
        self.signals.bell()
    }

    fn orders(&mut self) -> Vec<Order> {
        let heard = self.signals.heard().unwrap_or_else(|error| {
            tracing::error!(%error, "cannot hear signals");
            Vec::new()
        });
        heard.into_iter().filter_map(|signal| self.order(signal)).collect()
    }

    fn replan(&mut self, generation: u32, live: [u32; 2]) -> Option<Plan> {
        self.systemd.reloading();
        let Some(site) = (self.reread)() else {
            self.systemd.ready("the last reload has failed: its options are faulty");
            return None;
        };
        let plan = site.options.plan();
        self.sites.retain(|(number, _)| live.contains(number));
        self.sites.push((generation, site));
        Some(plan)
    }

    fn close_listeners(&mut self) {
        self.listeners.clear();
        self.systemd.stopping();
    }

    fn reloaded(&mut self, workers: usize, failure: Option<String>) {
        match failure {
            None => self.systemd.ready(&serving_status(workers)),
            Some(failure) => self.systemd.ready(&format!("the last reload has failed: {failure}")),
        }
    }

    fn scaled(&mut self, workers: usize) {
        self.systemd.status(&serving_status(workers));
    }

    fn pulse(&mut self) -> Option<Instant> {
        self.systemd.pulse()
    }

    fn serving(&mut self, interface: &str, workers: usize) {
        self.is_serving = true;
        for url in &self.urls {
            tracing::info!("listening at {url}");
        }
        let by = if workers == 1 { String::new() } else { format!(" with {workers} workers") };
        tracing::info!("serving an application that speaks {interface}{by}");
        self.systemd.ready(&serving_status(workers));
    }
}

fn serving_status(workers: usize) -> String {
    if workers == 1 { "serving".to_owned() } else { format!("serving with {workers} workers") }
}

impl<F> Household<F> {
    fn order(&mut self, signal: i32) -> Option<Order> {
        let order = match signal {
            libc::SIGTERM => Order::Stop,
            libc::SIGINT => Order::Interrupt,
            libc::SIGQUIT => Order::Quit,
            // Nobody is there any more who could have meant a reload.
            libc::SIGHUP if self.terminal_is_gone() => Order::Stop,
            libc::SIGHUP => Order::Reload,
            libc::SIGUSR1 => Order::ReopenLogs,
            libc::SIGTTIN => Order::More,
            libc::SIGTTOU => Order::Fewer,
            // A child's end: the supervisor looks anyway.
            _ => return None,
        };
        let ends = matches!(order, Order::Stop | Order::Interrupt | Order::Quit);
        let quick = order == Order::Quit || order == Order::Interrupt && self.is_stopping;
        if ends && (quick || !self.is_stopping) {
            signals::announce_stop(signal, quick);
        }
        self.interrupted |= order == Order::Interrupt && !self.is_serving;
        self.is_stopping |= ends;
        Some(order)
    }

    /// Whether the terminal that was there at the start was closed: the kernel then sends SIGHUP.
    fn terminal_is_gone(&self) -> bool {
        self.has_terminal && tcgetpgrp(io::stderr()) == Err(Errno::IO)
    }
}
