//! The loop: wait, ask the fleet, fork, signal, reap.

use std::{
    io,
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait, waitpid},
    time::Timespec,
};

use crate::{
    exit::{Exit, cause, memory_kills},
    fleet::{Action, Event, Fleet, Plan, Standing},
    link::{Leash, Link, News},
};

/// What the operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// End when all requests in flight are answered, after the notice that the plan gives.
    Stop,
    /// The same without notice; given again: end at once.
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
    /// So many workers.
    Scale(usize),
    /// Say how things are, to [`Host::report`].
    Report,
}

/// How things are.
#[derive(Debug, Clone)]
pub struct Report {
    /// How many workers are wanted.
    pub wanted: usize,
    /// How often all have been replaced, beginning with 1.
    pub generation: u32,
    /// All workers are being replaced.
    pub is_reloading: bool,
    /// Each worker, oldest first.
    pub workers: Vec<Standing>,
}

/// What the supervisor needs of the process that it runs in.
pub trait Host {
    /// Forks this process: the worker's process id, or `None` in the worker.
    ///
    /// # Errors
    /// The system's, when it has no room for another process.
    fn fork(&mut self) -> io::Result<Option<Pid>>;

    /// One of them is readable when orders may wait, and when a child has died.
    fn bells(&self) -> Vec<BorrowedFd<'_>>;

    /// The orders that have come.
    fn orders(&mut self) -> Vec<Order>;

    /// Reads the options again, for workers of this generation. `None`: they are faulty, and the operator has been told.
    /// `live`: of the former generations, those of which workers may still be started.
    fn replan(&mut self, generation: u32, live: [u32; 2]) -> Option<Plan>;

    /// Closes the listeners: workers answer what the kernel still holds, and then nobody listens any more.
    fn close_listeners(&mut self);

    /// A reload is over; `failure`: why the workers that were there go on.
    fn reloaded(&mut self, workers: usize, failure: Option<String>);

    /// A worker has ended, in whatever way.
    fn ended(&mut self, worker: Pid);

    /// Another number of workers is wanted.
    fn scaled(&mut self, workers: usize);

    /// The answer to [`Order::Report`].
    fn report(&mut self, report: Report);

    /// Called whenever something has happened, and at the moment that it returned last.
    fn pulse(&mut self) -> Option<Instant>;

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
        to_reopen: Vec::new(),
        stop_at: None,
        memory_kills: memory_kills(),
    };
    loop {
        if let Some(outcome) = supervisor.settle(host)? {
            return Ok(outcome);
        }
        let pulse = host.pulse();
        supervisor.wait(host, pulse)?;
        supervisor.obey(host);
        if supervisor.stop_at.is_some_and(|at| at <= Instant::now()) {
            supervisor.stop(false, host);
        }
        supervisor.listen();
        supervisor.reap(host)?;
    }
}

struct Supervisor {
    fleet: Fleet,
    links: Vec<(Pid, Link)>,
    interface: String,
    /// Who started while log files were moved away, and may have opened an old one.
    to_reopen: Vec<Pid>,
    /// The end was announced for then.
    stop_at: Option<Instant>,
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

    /// Until something happens, or it is time for the fleet's next step or the host's `pulse`.
    fn wait(&self, host: &impl Host, pulse: Option<Instant>) -> io::Result<()> {
        let links = self.links.iter().filter_map(|(_, link)| link.open());
        let all: Vec<_> = host.bells().into_iter().chain(links).collect();
        let mut waited: Vec<_> = all.iter().map(|one| PollFd::new(one, PollFlags::IN)).collect();
        let next = [self.fleet.deadline(), pulse, self.stop_at].into_iter().flatten().min();
        let left = next.map(|at| at.saturating_duration_since(Instant::now()));
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
                Order::Stop => self.announce_end(host),
                Order::Interrupt => self.stop(self.fleet.is_stopping(), host),
                Order::Quit => self.stop(true, host),
                Order::Report => host.report(Report {
                    wanted: self.fleet.workers(),
                    generation: self.fleet.live_generations()[0],
                    is_reloading: self.fleet.is_reloading(),
                    workers: self.fleet.standings(Instant::now()).collect(),
                }),
                _ if self.fleet.is_stopping() || self.stop_at.is_some() => {}
                Order::Reload => {
                    if let Some(plan) =
                        host.replan(self.fleet.next_generation(), self.fleet.live_generations())
                    {
                        tracing::info!("reloading: starting {}", workers(plan.workers, "new "));
                        self.fleet.reload(plan);
                    }
                }
                Order::ReopenLogs => {
                    for (pid, serves) in self.fleet.alive() {
                        // One that starts may not listen yet, and would die of it.
                        if serves { signal(pid, Signal::USR1) } else { self.to_reopen.push(pid) }
                    }
                }
                Order::More => self.scale(self.fleet.workers() + 1, host),
                Order::Fewer => self.scale(self.fleet.workers() - 1, host),
                Order::Scale(workers) => self.scale(workers, host),
            }
        }
    }

    fn scale(&mut self, wanted: usize, host: &mut impl Host) {
        self.fleet.scale(wanted);
        tracing::info!("{} from now on", workers(self.fleet.workers(), ""));
        host.scaled(self.fleet.workers());
    }

    /// Has workers serve on for a while, and say to who asks that they are about to end.
    fn announce_end(&mut self, host: &mut impl Host) {
        let notice = self.fleet.notice();
        if notice.is_zero() || self.fleet.is_stopping() {
            return self.stop(false, host);
        }
        if self.stop_at.is_none() {
            tracing::info!("serving on for {notice:?}, so that load balancers notice");
            self.stop_at = Some(Instant::now() + notice);
            self.links.iter().for_each(|(_, link)| link.announce_end());
        }
    }

    fn stop(&mut self, quick: bool, host: &mut impl Host) {
        self.stop_at = None;
        self.fleet.stop(quick);
        host.close_listeners();
    }

    fn listen(&mut self) {
        let is_ending = self.stop_at.is_some();
        for (pid, link) in &mut self.links {
            for news in link.news() {
                match news {
                    News::Ready(interface) => {
                        self.fleet.ready(*pid);
                        self.interface = interface;
                        if is_ending {
                            link.announce_end();
                        }
                        self.to_reopen.retain(|starting| {
                            let is_it = starting == pid;
                            if is_it {
                                signal(*pid, Signal::USR1);
                            }
                            !is_it
                        });
                    }
                    News::Tired(reason) => {
                        tracing::info!("worker {pid} is to be replaced: {reason}");
                        self.fleet.tired(*pid);
                    }
                }
            }
        }
    }

    /// Takes leave of workers that have ended. Other children are somebody else's to wait for, unless the system has given
    /// orphans to us because we are process 1.
    fn reap(&mut self, host: &mut impl Host) -> io::Result<()> {
        let workers: Vec<Pid> = self.links.iter().map(|(pid, _)| *pid).collect();
        for pid in workers {
            if let Some((_, status)) = ended(|| waitpid(Some(pid), WaitOptions::NOHANG))? {
                self.ended(pid, status, host);
            }
        }
        while getpid().is_init()
            && let Some((pid, status)) = ended(|| wait(WaitOptions::NOHANG))?
        {
            self.ended(pid, status, host);
        }
        Ok(())
    }

    fn ended(&mut self, pid: Pid, status: WaitStatus, host: &mut impl Host) {
        if let Some(exit) = Exit::new(status) {
            host.ended(pid);
            self.fleet.exited(pid, exit, Instant::now());
            self.links.retain(|(owner, _)| *owner != pid);
            self.to_reopen.retain(|starting| *starting != pid);
        }
    }

    fn report(&mut self, event: &Event, host: &mut impl Host) {
        match event {
            Event::Serving => host.serving(&self.interface, self.fleet.workers()),
            Event::Reloaded => {
                tracing::info!("reloaded: {}", workers(self.fleet.workers(), "new "));
                host.reloaded(self.fleet.workers(), None);
            }
            Event::ReloadFailed(exit) => {
                tracing::error!("the reload has failed: a new worker ended with {exit}; the old ones go on");
                host.reloaded(self.fleet.workers(), Some(format!("a new worker ended with {exit}")));
            }
            Event::Died { pid, exit, pause } => {
                let kills = memory_kills();
                let out_of_memory = kills > std::mem::replace(&mut self.memory_kills, kills);
                let why = cause(*exit, out_of_memory);
                tracing::error!("worker {pid} ended with {exit}{why}; starting another{}", later(*pause));
            }
            Event::Waiting => {
                tracing::error!("the application does not start; waiting for a change");
                host.reloaded(self.fleet.workers(), Some("the application does not start".to_owned()));
            }
            Event::Unusable(exit) => match exit {
                // Its own words stand above.
                Exit::Code(_) => tracing::error!("the first worker did not start: giving up"),
                Exit::Signal(_) => tracing::error!(
                    "the first worker did not start: it ended with {exit}{}",
                    cause(*exit, memory_kills() > self.memory_kills)
                ),
            },
        }
    }
}

/// Asks again when a signal came in between. `None`: nobody has ended.
fn ended(
    ask: impl Fn() -> Result<Option<(Pid, WaitStatus)>, Errno>,
) -> io::Result<Option<(Pid, WaitStatus)>> {
    loop {
        match ask() {
            Err(Errno::INTR) => {}
            Err(Errno::CHILD) => return Ok(None),
            answer => return Ok(answer?),
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

fn workers(count: usize, kind: &str) -> String {
    format!("{count} {kind}worker{}", if count == 1 { "" } else { "s" })
}
