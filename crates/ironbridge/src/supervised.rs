//! The supervisor's host: what `ironbridge-supervisor` needs of this process.
//!
//! [`run`] forks in the middle of it: it returns once in the supervisor, when all is over, and once in each worker, which then
//! goes on as a server alone would. Until the fork there is no thread but the main one, unless the caller's program or a preloaded
//! application has started some.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Instant,
};

use ironbridge_http::listener::Listener;
use ironbridge_supervisor::{
    fleet::Plan,
    link::{Leash, News},
    supervisor::{self, Host, Order, Outcome, Report},
};
use pyo3::{exceptions::PyRuntimeError, prelude::*};
use rustix::{
    io::Errno,
    process::{Pid, getpid},
    termios::{isatty, tcgetpgrp},
};
use serde_json::json;

use crate::{
    configured::Configured,
    control::{Command, server::Control},
    doors::{ControlSocket, Doors},
    logging, memory,
    options::Options,
    signals::{self, Muffled, Role, Signals},
    system::{pid_file::PidFile, systemd::Systemd},
    title::Title,
    upgrade::{self, Predecessor, Successor},
    watching::Watcher,
    worker::{Controller, StartError},
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

/// What a supervisor has besides its workers.
#[derive(Debug)]
pub(crate) struct House {
    doors: Doors,
    control: Option<Control>,
    predecessor: Option<Predecessor>,
    pid_file: Option<PidFile>,
    /// The folder of the start.
    folder: PathBuf,
}

/// A worker's tie to its supervisor, and what it shows to the operator.
#[derive(Debug, Clone)]
pub(crate) struct Tie {
    leash: Arc<Leash>,
    title: Arc<Mutex<Title>>,
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

    /// For a server without a supervisor: the listeners, and the pid file, which is there for as long as it is kept.
    pub(crate) fn into_parts(self) -> (Vec<Listener>, Option<PidFile>) {
        (self.doors.into_listeners(), self.pid_file)
    }
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

struct Household<F> {
    title: Title,
    watcher: Option<Watcher>,
    /// A file was changed.
    has_changed: bool,
    house: House,
    urls: Vec<String>,
    /// A new version of the program that is to take over.
    successor: Option<Successor>,
    /// Hooks, as of the last reading of the options; and as of the one before, until a reload is over.
    configured: Option<Arc<Configured>>,
    former: Option<Option<Arc<Configured>>>,
    /// How many workers there should be.
    wanted: usize,
    began: Instant,
    signals: Signals,
    /// There was a terminal at the start.
    has_terminal: bool,
    /// What the workers of each generation that may still be started serve.
    sites: Vec<(u32, Site)>,
    reread: F,
    systemd: Systemd,
    is_serving: bool,
    is_stopping: bool,
    /// Its successor serves.
    is_replaced: bool,
    interrupted: bool,
}

impl<F: FnMut() -> Result<Site, String>> Host for Household<F> {
    fn fork(&mut self) -> io::Result<Option<Pid>> {
        Python::attach(|py| {
            if let Some(configured) = &self.configured {
                configured.tell(py, "pre_fork", ());
            }
            let sys = py.import("sys")?;
            for stream in ["stdout", "stderr"] {
                // What it holds back would be written twice. A closed one holds nothing.
                let _ = sys.getattr(stream).and_then(|stream| stream.call_method0("flush"));
            }
            let child: i32 = py.import("os")?.call_method0("fork")?.extract()?;
            if let Some(configured) = self.configured.as_ref().filter(|_| child > 0) {
                configured.tell(py, "forked", (child,));
            }
            Ok::<_, PyErr>(Pid::from_raw(child))
        })
        .map_err(io::Error::from)
    }

    fn bells(&self) -> Vec<BorrowedFd<'_>> {
        let control = self.control().into_iter().flat_map(Control::bells);
        let successor = self.successor.iter().map(|successor| successor.bell().as_fd());
        [self.signals.bell()].into_iter().chain(control).chain(successor).collect()
    }

    fn orders(&mut self) -> Vec<Order> {
        let heard = self.signals.heard().unwrap_or_else(|error| {
            tracing::error!(%error, "cannot hear signals");
            Vec::new()
        });
        let mut orders: Vec<_> = heard.into_iter().filter_map(|signal| self.order(signal)).collect();
        let commands = self.control_mut().map(Control::commands).unwrap_or_default();
        orders.extend(commands.into_iter().filter_map(|command| self.obey(command)));
        orders.extend(self.look_at_successor());
        orders.extend(std::mem::take(&mut self.has_changed).then_some(Order::Reload));
        orders
    }

    fn replan(&mut self, generation: u32, live: [u32; 2]) -> Option<Plan> {
        self.title.show("supervisor", "reloading");
        self.systemd.reloading();
        let site = match (self.reread)() {
            Ok(site) => site,
            Err(reason) => {
                tracing::error!("the reload has failed: {reason}; the old workers go on");
                self.reloaded(0, Some(reason));
                return None;
            }
        };
        let plan = site.options.plan();
        let new = site.options.configured.clone();
        if let Some(new) = &new {
            Python::attach(|py| {
                new.continue_from(py, self.configured.as_ref());
                if let Err(error) = new.settle(py, &site.options) {
                    tracing::error!(%error, "the configuration file's hooks cannot be told of the options");
                }
                new.tell(py, "on_reload", ());
            });
        }
        let old = std::mem::replace(&mut self.configured, new);
        self.former.get_or_insert(old);
        self.wants(plan.workers);
        self.sites.retain(|(number, _)| live.contains(number));
        self.sites.push((generation, site));
        Some(plan)
    }

    fn close_listeners(&mut self) {
        self.house.doors.close();
        if !self.is_replaced {
            self.systemd.stopping();
        }
    }

    fn reloaded(&mut self, workers: usize, failure: Option<String>) {
        self.title.show("supervisor", "serving");
        let answer = match failure {
            None => {
                self.former = None;
                self.systemd.ready(&serving_status(workers));
                Ok(format!("reloaded: {}", serving_status(workers)))
            }
            Some(failure) => {
                self.return_to_former_hooks();
                self.systemd.ready(&format!("the last reload has failed: {failure}"));
                Err(format!("the reload has failed: {failure}; the old workers go on"))
            }
        };
        self.answer(Command::Reload, &answer);
    }

    fn report(&mut self, report: Report) {
        let status = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "state": self.state(&report),
            "age": self.began.elapsed().as_secs_f64(),
            "listening": self.urls,
            "wanted": report.wanted,
            "generation": report.generation,
            "workers": report.workers.iter().map(|worker| json!({
                "pid": worker.pid.as_raw_nonzero().get(),
                "state": worker.state,
                "generation": worker.generation,
                "age": worker.age.as_secs_f64(),
                "memory": memory::resident_of(&worker.pid.as_raw_nonzero().to_string()),
            })).collect::<Vec<_>>(),
        });
        self.answer(Command::Status, &Ok(status.to_string()));
    }

    fn ended(&mut self, worker: Pid) {
        let pid = worker.as_raw_nonzero().get();
        self.tell(|configured, py| configured.tell(py, "child_exit", (pid,)));
    }

    fn scaled(&mut self, workers: usize) {
        self.wants(workers);
        self.systemd.status(&serving_status(workers));
    }

    fn pulse(&mut self) -> Option<Instant> {
        let watchdog = self.systemd.pulse();
        let control = self.control().and_then(Control::deadline);
        let look = self.watcher.as_mut().map(|watcher| {
            if let Some(path) = watcher.look() {
                tracing::info!(
                    "{} has changed",
                    path.strip_prefix(&self.house.folder).unwrap_or(&path).display()
                );
                self.has_changed = true;
                return Instant::now();
            }
            watcher.next()
        });
        [watchdog, control, look].into_iter().flatten().min()
    }

    fn serving(&mut self, interface: &str, workers: usize) {
        self.is_serving = true;
        self.title.show("supervisor", "serving");
        for url in &self.urls {
            tracing::info!("listening at {url}");
        }
        let by = if workers == 1 { String::new() } else { format!(" with {workers} workers") };
        tracing::info!("serving an application that speaks {interface}{by}");
        if let Some(file) = &self.house.pid_file
            && self.house.predecessor.is_some()
            && let Err(error) = file.claim()
        {
            tracing::error!(%error, "the pid file cannot be written");
        }
        if let Some(mut predecessor) = self.house.predecessor.take() {
            predecessor.is_replaced();
        }
        self.systemd.ready(&serving_status(workers));
        self.tell(|configured, py| configured.tell(py, "when_ready", ()));
    }
}

/// What `--reload` watches: the site's folder, those that modules come from, and the files that options name.
fn watch(options: &Options, start: &Path) -> Option<Watcher> {
    let site = options.chdir.as_ref().map_or_else(|| start.to_owned(), |folder| start.join(folder));
    options.processes.reload.then(|| {
        let folders =
            [site.clone()].into_iter().chain(options.pythonpath.iter().map(|folder| site.join(folder)));
        let named = [&options.system.env_file, &options.config];
        let files = named.into_iter().flatten().map(|file| start.join(file)).collect();
        let patterns =
            options.processes.reload_extra.iter().map(|pattern| site.join(pattern).display().to_string());
        Watcher::new(folders.collect(), files, patterns.collect())
    })
}

fn title_of(site: &Site) -> Title {
    let name = site.options.system.name.as_deref().or(site.app.as_deref());
    Title::new(name.unwrap_or("application"))
}

fn serving_status(workers: usize) -> String {
    if workers == 1 { "serving".to_owned() } else { format!("serving with {workers} workers") }
}

impl<F> Household<F> {
    /// Calls a hook.
    fn tell(&self, call: impl FnOnce(&Configured, Python<'_>)) {
        if let Some(configured) = &self.configured {
            Python::attach(|py| call(configured, py));
        }
    }

    /// Another number of workers is wanted.
    fn wants(&mut self, workers: usize) {
        let before = std::mem::replace(&mut self.wanted, workers);
        if before != workers {
            self.tell(|configured, py| configured.tell(py, "nworkers_changed", (workers, before)));
        }
    }

    /// A reload has failed.
    fn return_to_former_hooks(&mut self) {
        let Some(old) = self.former.take() else { return };
        let new = std::mem::replace(&mut self.configured, old);
        if let Some(old) = &self.configured {
            Python::attach(|py| old.continue_from(py, new.as_ref()));
        }
    }

    /// Until this server serves, its predecessor answers commands.
    fn control(&self) -> Option<&Control> {
        self.house.control.as_ref().filter(|_| self.house.predecessor.is_none())
    }

    fn control_mut(&mut self) -> Option<&mut Control> {
        self.house.control.as_mut().filter(|_| self.house.predecessor.is_none())
    }

    fn answer(&mut self, command: Command, answer: &Result<String, String>) {
        if let Some(control) = self.control_mut() {
            control.answer(|asked| asked == command, answer);
        }
    }

    fn state(&self, report: &Report) -> &'static str {
        match (self.is_stopping, &self.successor) {
            (true, _) => "stopping",
            (false, Some(_)) => "upgrading",
            (false, None) if report.is_reloading => "reloading",
            (false, None) if self.is_serving => "serving",
            (false, None) => "starting",
        }
    }

    /// What a command of the control socket asks for.
    fn obey(&mut self, command: Command) -> Option<Order> {
        if self.is_stopping && !matches!(command, Command::Stop | Command::Status) {
            self.answer(command, &Err("the server is stopping".to_owned()));
            return None;
        }
        match command {
            Command::Reload => Some(Order::Reload),
            Command::Status => Some(Order::Report),
            Command::Upgrade => {
                self.upgrade();
                None
            }
            Command::ReopenLogs => {
                logging::reopen();
                self.answer(command, &Ok("log files are opened again".to_owned()));
                Some(Order::ReopenLogs)
            }
            Command::Scale(workers) => {
                self.answer(command, &Ok(format!("{workers} workers from now on")));
                Some(Order::Scale(workers))
            }
            Command::Stop => {
                if !self.is_stopping {
                    tracing::info!("told to stop: finishing requests in flight");
                }
                self.answer(command, &Ok(String::new()));
                self.stops();
                Some(Order::Stop)
            }
        }
    }

    /// The end has begun.
    fn stops(&mut self) {
        self.is_stopping = true;
        self.title.show("supervisor", "finishing requests");
        if let Some(successor) = self.successor.take() {
            let ended = Python::attach(|py| successor.end(py));
            if let Err(error) = ended {
                tracing::error!(%error, "cannot end the new version of the program");
            }
        }
    }

    /// Starts the newest version of the program, for it to take over.
    fn upgrade(&mut self) {
        let started = self.start_successor();
        match started {
            Ok(successor) => {
                tracing::info!("upgrading: process {} starts", successor.pid);
                self.successor = Some(successor);
            }
            Err(reason) => self.upgrade_failed(&reason),
        }
    }

    fn start_successor(&mut self) -> Result<Successor, String> {
        if getpid().is_init() {
            return Err(
                "this is process 1, whose end would be the end of the container; reload instead".to_owned()
            );
        }
        if !self.is_serving {
            return Err("this server does not serve yet".to_owned());
        }
        self.tell(|configured, py| configured.tell(py, "pre_exec", ()));
        let control = self.house.control.as_ref().map(Control::socket);
        Python::attach(|py| {
            if let Some(former) = self.successor.take() {
                former.end(py)?;
            }
            Successor::start(py, &self.house.folder, &self.house.doors, control)
        })
        .map_err(|error| error.to_string())
    }

    fn upgrade_failed(&mut self, reason: &str) {
        tracing::error!("the upgrade has failed: {reason}; this server goes on");
        self.systemd.status(&format!("the last upgrade has failed: {reason}"));
        self.answer(
            Command::Upgrade,
            &Err(format!("the upgrade has failed: {reason}; the old server goes on")),
        );
    }

    /// Ends this server when its successor serves.
    fn look_at_successor(&mut self) -> Option<Order> {
        let successor = self.successor.as_ref()?;
        let pid = successor.pid;
        match Python::attach(|py| successor.news(py)) {
            Ok(upgrade::News::None) => None,
            Ok(upgrade::News::Serves) => {
                tracing::info!("upgraded: process {pid} serves; finishing requests in flight");
                self.successor = None;
                self.house.doors.leave_files();
                self.systemd.is_now(pid.unsigned_abs(), "upgraded");
                self.answer(Command::Upgrade, &Ok(format!("upgraded: process {pid} serves")));
                if let Some(mut control) = self.house.control.take() {
                    control.leave_file();
                }
                self.is_replaced = true;
                self.is_stopping = true;
                // Without notice: nobody else has to notice.
                Some(Order::Interrupt)
            }
            Ok(upgrade::News::Ended(code)) => {
                self.successor = None;
                self.upgrade_failed(&match code {
                    0.. => format!("the new server ended with exit code {code}"),
                    _ => format!("the new server ended with signal {}", -code),
                });
                None
            }
            Err(error) => {
                self.successor = None;
                self.upgrade_failed(&error.to_string());
                None
            }
        }
    }

    fn order(&mut self, signal: i32) -> Option<Order> {
        let order = match signal {
            libc::SIGTERM => Order::Stop,
            libc::SIGINT => Order::Interrupt,
            libc::SIGQUIT => Order::Quit,
            // Nobody is there any more who could have meant a reload.
            libc::SIGHUP if self.terminal_is_gone() => Order::Stop,
            libc::SIGHUP => Order::Reload,
            libc::SIGUSR1 => {
                logging::reopen();
                Order::ReopenLogs
            }
            libc::SIGTTIN => Order::More,
            libc::SIGTTOU => Order::Fewer,
            libc::SIGUSR2 => {
                if !self.is_stopping {
                    self.upgrade();
                }
                return None;
            }
            // A child's end: the supervisor looks anyway.
            _ => return None,
        };
        let ends = matches!(order, Order::Stop | Order::Interrupt | Order::Quit);
        let quick = order == Order::Quit || order == Order::Interrupt && self.is_stopping;
        if ends && (quick || !self.is_stopping) {
            signals::announce_stop(signal, quick);
        }
        self.interrupted |= order == Order::Interrupt && !self.is_serving;
        if ends {
            self.stops();
        }
        Some(order)
    }

    /// Whether the terminal that was there at the start was closed: the kernel then sends SIGHUP.
    fn terminal_is_gone(&self) -> bool {
        self.has_terminal && tcgetpgrp(io::stderr()) == Err(Errno::IO)
    }
}
