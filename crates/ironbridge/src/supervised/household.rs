//! The supervisor itself: what it answers to signals and commands, and what it tells the operator, systemd and hooks.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use ironbridge_supervisor::{
    fleet::Plan,
    supervisor::{Host, Order, Report},
};
use pyo3::prelude::*;
use rustix::{io::Errno, process::Pid, termios::tcgetpgrp};
use serde_json::json;

use super::{House, Site};
use crate::{
    configured::Configured,
    control::{Command, server::Control},
    logging, memory,
    options::Options,
    signals::{self, Signals},
    system::systemd::Systemd,
    title::Title,
    upgrade::Successor,
    watching::Watcher,
};

pub(super) struct Household<F> {
    pub(super) title: Title,
    pub(super) watcher: Option<Watcher>,
    /// A file was changed.
    pub(super) has_changed: bool,
    pub(super) house: House,
    pub(super) urls: Vec<String>,
    /// A new version of the program that is to take over.
    pub(super) successor: Option<Successor>,
    /// Hooks, as of the last reading of the options; and as of the one before, until a reload is over.
    pub(super) configured: Option<Arc<Configured>>,
    pub(super) former: Option<Option<Arc<Configured>>>,
    /// How many workers there should be.
    pub(super) wanted: usize,
    pub(super) began: Instant,
    pub(super) signals: Signals,
    /// There was a terminal at the start.
    pub(super) has_terminal: bool,
    /// What the workers of each generation that may still be started serve.
    pub(super) sites: Vec<(u32, Site)>,
    pub(super) reread: F,
    pub(super) systemd: Systemd,
    pub(super) is_serving: bool,
    pub(super) is_stopping: bool,
    /// Its successor serves.
    pub(super) is_replaced: bool,
    pub(super) interrupted: bool,
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
        self.title.show("supervisor", if self.is_serving { "serving" } else { "waiting for a change" });
        let answer = match failure {
            None => {
                self.former = None;
                self.systemd.ready(&serving_status(workers));
                Ok(format!("reloaded: {}", serving_status(workers)))
            }
            Some(failure) => {
                self.return_to_former_hooks();
                let status = format!("the last reload has failed: {failure}");
                // Who has never served is not ready because of that.
                if self.is_serving {
                    self.systemd.ready(&status)
                } else {
                    self.systemd.status(&status)
                }
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
        self.house.replace_predecessor();
        self.systemd.ready(&serving_status(workers));
        self.tell(|configured, py| configured.tell(py, "when_ready", ()));
    }
}

impl<F> Household<F> {
    /// Calls a hook.
    pub(super) fn tell(&self, call: impl FnOnce(&Configured, Python<'_>)) {
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

    pub(super) fn answer(&mut self, command: Command, answer: &Result<String, String>) {
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
    pub(super) fn stops(&mut self) {
        self.is_stopping = true;
        self.title.show("supervisor", "finishing requests");
        if let Some(successor) = self.successor.take() {
            let ended = Python::attach(|py| successor.end(py));
            if let Err(error) = ended {
                tracing::error!(%error, "cannot end the new version of the program");
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

/// What `--reload` watches: the site's folder, those that modules come from, and the files that options name.
pub(super) fn watch(options: &Options, start: &Path) -> Option<Watcher> {
    let site = options.chdir.as_ref().map_or_else(|| start.to_owned(), |folder| start.join(folder));
    options.processes.reload.then(|| {
        let folders =
            [site.clone()].into_iter().chain(options.pythonpath.iter().map(|folder| site.join(folder)));
        let named = [&options.system.env_file, &options.config];
        let plain = |file: &PathBuf| file.strip_prefix("file:").map_or_else(|_| file.clone(), Path::to_owned);
        let files = named.into_iter().flatten().map(|file| start.join(plain(file))).collect();
        let patterns =
            options.processes.reload_extra.iter().map(|pattern| site.join(pattern).display().to_string());
        Watcher::new(folders.collect(), files, patterns.collect())
    })
}

pub(super) fn title_of(site: &Site) -> Title {
    let name = site.options.system.name.as_deref().or(site.app.as_deref());
    Title::new(name.unwrap_or("application"))
}

fn serving_status(workers: usize) -> String {
    if workers == 1 { "serving".to_owned() } else { format!("serving with {workers} workers") }
}
