//! Keeps every connection busy until the limit, then lets the last answers come.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::connection::{Connection, Ending};
use crate::plan::{Limit, Plan};
use crate::record::Record;

/// All connections and the epoll that watches them.
pub(crate) struct Driver<'plan> {
    plan: &'plan Plan,
    poll: OwnedFd,
    connections: Vec<Connection>,
    choice: Choice,
    buffer: Vec<u8>,
}

/// Picks classes by weight, the same ones in each run.
struct Choice {
    state: u64,
    total: u64,
}

impl<'plan> Driver<'plan> {
    pub(crate) fn new(plan: &'plan Plan) -> io::Result<Self> {
        Ok(Self {
            plan,
            poll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: (0..plan.connections).map(Connection::new).collect(),
            choice: Choice {
                state: 0x9e37_79b9_7f4a_7c15,
                total: plan.classes.iter().map(|class| class.weight).sum(),
            },
            buffer: vec![0; BUFFER],
        })
    }

    /// Sends requests until `limit` and waits for their answers.
    pub(crate) fn run(&mut self, limit: Limit) -> io::Result<Record> {
        if self.plan.fan {
            self.gather()?;
        }
        let mut run = Run::new(limit, self.plan);
        if self.plan.fan {
            self.send_round(&mut run);
        } else {
            for index in 0..self.connections.len() {
                self.refill(index, None, &mut run);
            }
        }
        let mut events = Vec::with_capacity(256);
        while run.in_flight > 0 {
            let Some(wait) = run.patience() else {
                self.give_up(&mut run);
                break;
            };
            events.clear();
            match epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&timespec(wait)))
            {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let index = event.data.u64() as usize;
                let ending = self.connections[index].ready(self.plan, &mut self.buffer);
                if ending.is_some() {
                    self.refill(index, ending, &mut run);
                }
            }
        }
        Ok(run.record.end(limit))
    }

    /// Records how a request ended and begins the next one on its connection.
    fn refill(&mut self, index: usize, mut ending: Option<Ending>, run: &mut Run) {
        loop {
            if let Some(ending) = ending.take() {
                run.ended(ending);
            }
            if self.plan.fan {
                if run.in_flight == 0 {
                    self.send_round(run);
                }
                return;
            }
            if !run.wants_more() {
                return;
            }
            run.begun();
            let class = self.choice.next(self.plan);
            ending = self.connections[index].begin(class, self.plan, &self.poll);
            if ending.is_none() {
                return;
            }
        }
    }

    /// Opens every connection that is not open: whoever is missing would not hear what is sent.
    fn gather(&mut self) -> io::Result<()> {
        for connection in self.connections.iter_mut().filter(|connection| !connection.is_open()) {
            connection.open(self.plan, &self.poll)?;
        }
        let deadline = Instant::now() + SILENCE;
        let mut events = Vec::with_capacity(256);
        while !self.connections.iter().all(Connection::is_open) {
            let wait = deadline.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return Err(io::Error::other("not every connection became a WebSocket"));
            }
            events.clear();
            epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&timespec(wait)))?;
            for event in &events {
                self.connections[event.data.u64() as usize].ready(self.plan, &mut self.buffer);
            }
        }
        Ok(())
    }

    /// The first connection sends, and all of them are to receive it.
    fn send_round(&mut self, run: &mut Run) {
        if !run.wants_more() {
            return;
        }
        let class = self.choice.next(self.plan);
        for connection in &mut self.connections[1..] {
            run.begun();
            connection.listen(class, self.plan);
        }
        run.begun();
        if let Some(ending) = self.connections[0].begin(class, self.plan, &self.poll) {
            run.ended(ending);
        }
    }

    fn give_up(&mut self, run: &mut Run) {
        for connection in self.connections.iter_mut().filter(|connection| connection.is_busy()) {
            if let Some(ending) = connection.give_up() {
                run.ended(ending);
            }
        }
    }
}

/// The state of one run.
struct Run {
    limit: Limit,
    started: Instant,
    begun: u64,
    in_flight: usize,
    failures: u64,
    progress: Instant,
    record: Record,
}

impl Run {
    fn new(limit: Limit, plan: &Plan) -> Self {
        let started = Instant::now();
        Self {
            limit,
            started,
            begun: 0,
            in_flight: 0,
            failures: 0,
            progress: started,
            record: Record::new(plan, started),
        }
    }

    fn wants_more(&self) -> bool {
        let open = match self.limit {
            Limit::Time(length) => self.started.elapsed() < length,
            Limit::Requests(count) => self.begun < count,
        };
        open && self.failures < MOST_FAILURES
    }

    fn begun(&mut self) {
        self.begun += 1;
        self.in_flight += 1;
    }

    fn ended(&mut self, ending: Ending) {
        self.in_flight -= 1;
        self.progress = Instant::now();
        self.failures += u64::from(self.record.add(ending, self.progress));
    }

    /// How long the next event may take: none when the server has been silent for too long.
    fn patience(&self) -> Option<Duration> {
        SILENCE.checked_sub(self.progress.elapsed()).filter(|left| !left.is_zero())
    }
}

impl Choice {
    fn next(&mut self, plan: &Plan) -> usize {
        if plan.classes.len() == 1 {
            return 0;
        }
        // xorshift64: enough to mix classes.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let mut ticket = (self.state >> 16) % self.total;
        for (index, class) in plan.classes.iter().enumerate() {
            if ticket < class.weight {
                return index;
            }
            ticket -= class.weight;
        }
        plan.classes.len() - 1
    }
}

fn timespec(wait: Duration) -> Timespec {
    Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) }
}

/// Room for one read.
const BUFFER: usize = 256 * 1024;

/// A server that completes nothing for so long is taken for dead.
const SILENCE: Duration = Duration::from_secs(15);

/// A run with so many failures is given up: its figures mean nothing.
const MOST_FAILURES: u64 = 100_000;
