//! The loop: wait, ask the fleet, fork, signal, reap.

use std::{
    io,
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{Pid, Signal, WaitOptions, kill_process, wait},
    time::Timespec,
};

use crate::{
    exit::{Exit, cause, memory_kills},
    fleet::{Action, Event, Fleet, Plan},
    link::{Leash, Link, News},
};

/// What the operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// End when all requests in flight are answered.
    Stop,
    /// The same; given again: end at once.
    Interrupt,
    /// End at once.
    Quit,
    /// Read the options again and replace all workers.
    Reload,
    /// Open log files again, after they were moved away.
    ReopenLogs,
    /// One more worker.
    More,
    /// One worker less.
    Fewer,
}

/// What the supervisor needs of the process that it runs in.
pub trait Host {
    /// Forks this process: the worker's process id, or `None` in the worker.
    ///
    /// # Errors
    /// The system's, when it has no room for another process.
    fn fork(&mut self) -> io::Result<Option<Pid>>;

    /// Readable when orders may wait, and when a child has died.
    fn bell(&self) -> BorrowedFd<'_>;

    /// The orders that have come.
    fn orders(&mut self) -> Vec<Order>;

    /// Reads the options again, for workers of this generation. `None`: they are faulty, and the operator has been told.
    fn replan(&mut self, generation: u32) -> Option<Plan>;

    /// Closes the listeners: workers answer what the kernel still holds, and then nobody listens any more.
    fn close_listeners(&mut self);

    /// As many workers serve as are wanted. `interface`: what one of them takes the application for.
    fn serving(&mut self, interface: &str, workers: usize);
}

/// How [`run`] ends.
#[derive(Debug)]
pub enum Outcome {
    /// In the supervisor, when all workers have ended.
    Ended {
        /// What to exit with.
        code: i32,
    },
    /// In a worker that was just forked.
    Worker {
        /// The generation that it belongs to.
        generation: u32,
        /// Its end of the link.
        leash: Leash,
    },
}

/// Keeps workers alive. Returns in the supervisor when it ends, and in each worker as it begins.
///
/// # Errors
/// The system does not let us wait.
pub fn run(plan: Plan, host: &mut impl Host) -> io::Result<Outcome> {
    let mut supervisor = Supervisor {
        fleet: Fleet::new(plan),
        links: Vec::new(),
        interface: String::new(),
        memory_kills: memory_kills(),
    };
    loop {
        if let Some(outcome) = supervisor.settle(host)? {
            return Ok(outcome);
        }
        supervisor.wait(host)?;
        supervisor.obey(host);
        supervisor.listen();
        supervisor.reap()?;
    }
}

struct Supervisor {
    fleet: Fleet,
    links: Vec<(Pid, Link)>,
    interface: String,
    /// As of the last death.
    memory_kills: u64,
}

impl Supervisor {
    /// Does what there is to do now.
    fn settle(&mut self, host: &mut impl Host) -> io::Result<Option<Outcome>> {
        for action in self.fleet.settle(Instant::now()) {
            match action {
                Action::Start { generation } => {
                    if let Some(leash) = self.start(generation, host)? {
                        return Ok(Some(Outcome::Worker { generation, leash }));
                    }
                }
                Action::Stop(pid) => signal(pid, Signal::TERM),
                Action::Quit(pid) => signal(pid, Signal::QUIT),
                Action::Kill(pid) => {
                    tracing::warn!("worker {pid} does not end: killing it");
                    signal(pid, Signal::KILL);
                }
            }
        }
        for event in self.fleet.events() {
            self.report(&event, host);
        }
        Ok(self.fleet.outcome().map(|code| Outcome::Ended { code }))
    }

    /// Forks a worker. In the worker: its end of the link.
    fn start(&mut self, generation: u32, host: &mut impl Host) -> io::Result<Option<Leash>> {
        let forked = Link::pair().and_then(|pair| Ok((host.fork()?, pair)));
        match forked {
            Ok((Some(pid), (link, _))) => {
                tracing::debug!("worker {pid} starts");
                self.fleet.started(pid, generation, Instant::now());
                self.links.push((pid, link));
            }
            // The links to the others close with `self`: as long as we held them, no one would notice the supervisor's end.
            Ok((None, (_, leash))) => return Ok(Some(leash)),
            Err(error) => {
                let pause = self.fleet.not_started(Instant::now());
                tracing::error!(%error, "cannot start a worker; trying again{}", later(pause));
            }
        }
        Ok(None)
    }

    fn wait(&self, host: &impl Host) -> io::Result<()> {
        let bell = host.bell();
        let mut waited = vec![PollFd::new(&bell, PollFlags::IN)];
        let links: Vec<_> = self.links.iter().filter_map(|(_, link)| link.open()).collect();
        waited.extend(links.iter().map(|link| PollFd::new(link, PollFlags::IN)));
        let left = self.fleet.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        // Rounded up: to wake before the deadline would be to wake twice.
        let left = left.and_then(|left| Timespec::try_from(left + Duration::from_millis(1)).ok());
        match poll(&mut waited, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn obey(&mut self, host: &mut impl Host) {
        for order in host.orders() {
            match order {
                Order::Stop => self.stop(false, host),
                Order::Interrupt => self.stop(self.fleet.is_stopping(), host),
                Order::Quit => self.stop(true, host),
                _ if self.fleet.is_stopping() => {}
                Order::Reload => {
                    if let Some(plan) = host.replan(self.fleet.next_generation()) {
                        tracing::info!("reloading: starting {} new", workers(plan.workers));
                        self.fleet.reload(plan);
                    }
                }
                Order::ReopenLogs => {
                    self.fleet.alive().for_each(|pid| signal(pid, Signal::USR1));
                }
                Order::More | Order::Fewer => {
                    self.fleet.scale(order == Order::More);
                    tracing::info!("{} from now on", workers(self.fleet.workers()));
                }
            }
        }
    }

    fn stop(&mut self, quick: bool, host: &mut impl Host) {
        self.fleet.stop(quick);
        host.close_listeners();
    }

    fn listen(&mut self) {
        for (pid, link) in &mut self.links {
            for news in link.news() {
                match news {
                    News::Ready(interface) => {
                        self.fleet.ready(*pid);
                        self.interface = interface;
                    }
                    News::Tired(reason) => {
                        tracing::info!("worker {pid} is to be replaced: {reason}");
                        self.fleet.tired(*pid);
                    }
                }
            }
        }
    }

    /// Also orphans that the system has given to us, where we are process 1.
    fn reap(&mut self) -> io::Result<()> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let Some(exit) = Exit::new(status) else { continue };
                    self.fleet.exited(pid, exit, Instant::now());
                    self.links.retain(|(owner, _)| *owner != pid);
                }
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn report(&mut self, event: &Event, host: &mut impl Host) {
        match event {
            Event::Serving => host.serving(&self.interface, self.fleet.workers()),
            Event::Reloaded => tracing::info!("reloaded: {} new", workers(self.fleet.workers())),
            Event::ReloadFailed(exit) => {
                tracing::error!("the reload has failed: a new worker ended with {exit}; the old ones go on");
            }
            Event::Died { pid, exit, pause } => {
                let kills = memory_kills();
                let out_of_memory = kills > std::mem::replace(&mut self.memory_kills, kills);
                let why = cause(*exit, out_of_memory);
                tracing::error!("worker {pid} ended with {exit}{why}; starting another{}", later(*pause));
            }
            Event::Unusable(exit) => match exit {
                // Its own words stand above.
                Exit::Code(_) => tracing::error!("the application does not start: giving up"),
                Exit::Signal(_) => tracing::error!(
                    "the application does not start: its worker ended with {exit}{}",
                    cause(*exit, memory_kills() > self.memory_kills)
                ),
            },
        }
    }
}

/// To a process that has ended already: nothing.
fn signal(pid: Pid, signal: Signal) {
    if let Err(error) = kill_process(pid, signal)
        && error != Errno::SRCH
    {
        tracing::error!(%error, "cannot signal worker {pid}");
    }
}

fn later(pause: Duration) -> String {
    if pause.is_zero() { String::new() } else { format!(" in {pause:?}") }
}

fn workers(count: usize) -> String {
    if count == 1 { "1 worker".to_owned() } else { format!("{count} workers") }
}
