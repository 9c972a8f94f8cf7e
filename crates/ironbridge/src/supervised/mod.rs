//! The supervisor's host: what `ironbridge-supervisor` needs of this process.
//!
//! [`run`] forks in the middle of it: it returns once in the supervisor, when all is over, and once in each worker, which then
//! goes on as a server alone would. Until the fork there is no thread but the main one, unless the caller's program or a preloaded
//! application has started some.
//!
//! * `household`: the supervisor itself. `house`: what it has besides workers. `succession`: its part in an upgrade.

mod house;
mod household;
mod succession;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Instant,
};

use ironbridge_http::listener::Listener;
use ironbridge_supervisor::{
    link::{Leash, News},
    supervisor::{self, Outcome},
};
use pyo3::{exceptions::PyRuntimeError, prelude::*};
use rustix::termios::isatty;

pub(crate) use self::house::House;
use self::household::{Household, title_of, watch};
use crate::{
    options::Options,
    signals::{Muffled, Role, Signals},
    system::systemd::Systemd,
    title::Title,
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

/// A worker's tie to its supervisor, and what it shows to the operator.
#[derive(Debug, Clone)]
pub(crate) struct Tie {
    leash: Arc<Leash>,
    title: Arc<Mutex<Title>>,
}

/// Keeps workers alive that serve `first`, until told to stop. `reread` reads the options again at a reload, or says in a line what
/// is wrong with them.
///
/// # Errors
/// Outside the main thread; the system does not let us wait; Python cannot fork.
pub(crate) fn run(
    py: Python<'_>,
    first: Site,
    house: House,
    reread: impl FnMut() -> Result<Site, String> + Send,
) -> PyResult<Part> {
    let signals = Signals::install(py, Role::Supervisor)?
        .ok_or_else(|| PyRuntimeError::new_err("workers can only be supervised from the main thread"))?;
    let plan = first.options.plan();
    let mut title = title_of(&first);
    title.show("supervisor", "starting");
    let mut household = Household {
        urls: house.doors.urls(),
        watcher: watch(&first.options, &house.folder),
        has_changed: false,
        title,
        house,
        successor: None,
        configured: first.options.configured.clone(),
        former: None,
        wanted: plan.workers,
        signals,
        began: Instant::now(),
        has_terminal: isatty(io::stderr()),
        sites: vec![(1, first)],
        reread,
        systemd: Systemd::new(),
        is_serving: false,
        is_stopping: false,
        is_replaced: false,
        interrupted: false,
    };
    let outcome = py.detach(|| supervisor::run(plan, &mut household));
    let Household { house, signals, mut sites, interrupted, configured, .. } = household;
    match outcome {
        Ok(Outcome::Ended { code }) => {
            if let Some(configured) = configured {
                configured.tell(py, "on_exit", ());
            }
            signals.leave(py)?;
            Ok(Part::Supervisor(if code == 0 && interrupted { INTERRUPTED } else { code }))
        }
        Ok(Outcome::Worker { generation, leash }) => {
            signals.abandon();
            let muffled = Muffled::install(py)?;
            let index = sites.iter().position(|(number, _)| *number == generation);
            let site = index.map(|index| sites.swap_remove(index).1);
            let site = site.ok_or_else(|| PyRuntimeError::new_err("a worker of an unknown generation"))?;
            let listeners = house.doors.into_listeners();
            let mut title = title_of(&site);
            title.show("worker", "starting");
            let tie = Tie { leash: Arc::new(leash), title: Arc::new(Mutex::new(title)) };
            Ok(Part::Worker(Box::new(Charge { site, listeners, muffled, tie })))
        }
        Err(error) => {
            signals.restore(py)?;
            Err(error.into())
        }
    }
}

/// Before anything else: the hooks that speak of the server as a whole.
///
/// # Errors
/// What they raise.
pub(crate) fn greet(py: Python<'_>, options: &Options) -> PyResult<()> {
    let Some(configured) = &options.configured else { return Ok(()) };
    configured.settle(py, options)?;
    configured.call(py, "nworkers_changed", (options.processes.workers, py.None()))?;
    configured.call(py, "on_starting", ())
}

impl Tie {
    /// Asks the supervisor for a replacement.
    pub(crate) fn is_tired(&self, reason: String) {
        self.leash.tell(&News::Tired(reason));
    }

    /// Shows what the worker does.
    pub(crate) fn shows(&self, state: &str) {
        self.title.lock().unwrap_or_else(PoisonError::into_inner).show("worker", state);
    }

    /// Tells the supervisor that the worker serves, and has the worker drain should it find itself alone.
    ///
    /// # Errors
    /// The system has no threads left.
    pub(crate) fn serves(&self, interface: &str, controller: Controller) -> io::Result<()> {
        let leash = Arc::clone(&self.leash);
        let wait = move || {
            leash.wait_until_alone(|| controller.announce_stop());
            tracing::warn!("the supervisor has gone: finishing requests in flight");
            controller.stop();
        };
        thread::Builder::new().name("ironbridge-leash".into()).spawn(wait)?;
        self.shows("serving");
        self.leash.tell(&News::Ready(interface.to_owned()));
        Ok(())
    }
}

/// 128 + SIGINT, as shells have it: it was interrupted before it has served.
const INTERRUPTED: i32 = 130;
