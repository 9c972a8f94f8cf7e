//! Requests that the application does not begin to answer in time.
//!
//! A ladder: a warning in the log that shows where Python is, then 504 to the client, then [`RequestTimeout`] raised in the
//! application (a task of asyncio's is cancelled), and where even that does not end it, the worker is given up.
//!
//! The ladder is climbed by a task of the reactor, which needs no Python: clients hear of it even if native code holds the
//! interpreter. What needs Python happens on a thread of its own, which may wait for the interpreter.
//!
//! * [`Policy`]: how long requests may take. [`Clock`]: how far one has come.
//! * [`watch`]: looks at all of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use pyo3::{Python, create_exception, exceptions::PyBaseException};

use crate::options::PythonOptions;

create_exception!(
    ironbridge,
    RequestTimeout,
    PyBaseException,
    "Raised in a WSGI application that has not begun its response within --request-timeout."
);

/// How long requests may take until their response begins.
#[derive(Debug, Clone)]
pub struct Policy {
    warning: Option<Duration>,
    limit: Option<Duration>,
    /// Limits of paths, the longest path first. None: no limit.
    routes: Vec<(String, Option<Duration>)>,
}

impl Policy {
    /// Reads it off the options. `None`: requests may take for ever, and nobody wants to be warned.
    pub fn new(options: &PythonOptions) -> Option<Self> {
        let some = |seconds: f64| (seconds > 0.0).then(|| Duration::from_secs_f64(seconds));
        let mut routes: Vec<_> = options
            .request_timeout_for
            .iter()
            .map(|(path, seconds)| (path.clone(), some(*seconds)))
            .collect();
        routes.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        let policy =
            Self { warning: some(options.request_warning), limit: some(options.request_timeout), routes };
        let is_needed = policy.warning.is_some()
            || policy.limit.is_some()
            || policy.routes.iter().any(|(_, limit)| limit.is_some());
        is_needed.then_some(policy)
    }

    /// The limit of a request for `target`.
    fn limit(&self, target: &[u8]) -> Option<Duration> {
        let path = target.split(|byte| *byte == b'?').next().unwrap_or(target);
        let covers = |prefix: &str| {
            path.strip_prefix(prefix.as_bytes())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/") || prefix.ends_with('/'))
        };
        self.routes.iter().find(|(prefix, _)| covers(prefix)).map_or(self.limit, |(_, limit)| *limit)
    }

    /// How often to look.
    fn period(&self) -> Duration {
        let limits = self.routes.iter().filter_map(|(_, limit)| *limit);
        let shortest = limits.chain(self.limit).chain(self.warning).min().unwrap_or(LONGEST_PERIOD);
        (shortest / 8).clamp(SHORTEST_PERIOD, LONGEST_PERIOD)
    }
}

/// How far a request has come on the ladder.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
    is_warned: bool,
    timed_out: Option<Instant>,
    is_given_up: bool,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The log is to show where it is.
    Warn(Duration),
    /// The client gets 504, and the application hears of it.
    TimeOut(Duration),
    /// The application goes on as if nothing had happened.
    GiveUp(Duration),
}

impl Clock {
    /// It begins now.
    pub fn start() -> Self {
        Self { began: Instant::now(), is_warned: false, timed_out: None, is_given_up: false }
    }

    /// Whether its time is over.
    pub fn is_timed_out(&self) -> bool {
        self.timed_out.is_some()
    }

    /// What is due for a request for `target`; each step once. `is_answered`: its response has begun.
    pub fn step(&mut self, policy: &Policy, target: &[u8], is_answered: bool, now: Instant) -> Option<Step> {
        let age = now.saturating_duration_since(self.began);
        if let Some(at) = self.timed_out {
            let is_due = !self.is_given_up && now.saturating_duration_since(at) >= GRACE;
            self.is_given_up |= is_due;
            return is_due.then_some(Step::GiveUp(age));
        }
        if is_answered {
            return None;
        }
        if policy.limit(target).is_some_and(|limit| age >= limit) {
            self.timed_out = Some(now);
            return Some(Step::TimeOut(age));
        }
        let is_due = !self.is_warned && policy.warning.is_some_and(|warning| age >= warning);
        self.is_warned |= is_due;
        is_due.then_some(Step::Warn(age))
    }
}

/// What runs requests.
pub trait Runner: Send + Sync + 'static {
    /// Takes each request that is on its way one step further, and does what needs no Python. Returns what does; `now` is given to
    /// [`Clock::step`].
    fn climb(&self, policy: &Policy, now: Instant) -> Vec<Errand>;
}

/// Something that needs Python.
pub type ForPython = Box<dyn FnOnce(Python<'_>) + Send>;

/// What is to be done with Python, or said.
pub enum Errand {
    /// Something that needs Python.
    Python(ForPython),
    /// The worker is to be replaced. With the reason.
    GiveUp(String),
}

/// Is told that the worker is to be replaced, and why.
pub type OnStuck = Arc<dyn Fn(String) + Send + Sync>;

/// Watches over requests for as long as it is polled.
pub async fn watch(runner: std::sync::Weak<impl Runner>, policy: Policy, on_stuck: OnStuck) {
    let mut interval = tokio::time::interval(policy.period());
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut helpers: Vec<(Instant, Arc<AtomicBool>)> = Vec::new();
    loop {
        interval.tick().await;
        let Some(runner) = runner.upgrade() else { return };
        let now = Instant::now();
        let mut errands = Vec::new();
        for errand in runner.climb(&policy, now) {
            match errand {
                Errand::Python(errand) => errands.push(errand),
                Errand::GiveUp(reason) => on_stuck(reason),
            }
        }
        if !errands.is_empty() {
            helpers.push((now, help(errands)));
        }
        helpers.retain(|(_, is_attached)| !is_attached.load(Ordering::Acquire));
        if helpers.iter().any(|(since, _)| now.duration_since(*since) >= GRACE) {
            helpers.clear();
            on_stuck(format!(
                "native code has held Python's interpreter for {} s; {}",
                GRACE.as_secs(),
                busy_threads()
            ));
        }
    }
}

/// Runs errands on a thread of their own. The flag is set when it has got hold of the interpreter.
fn help(errands: Vec<ForPython>) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let is_attached = Arc::clone(&flag);
    let body = move || {
        // An interpreter that ends has no use for them.
        let _ = Python::try_attach(|py| {
            is_attached.store(true, Ordering::Release);
            errands.into_iter().for_each(|errand| errand(py));
        });
    };
    if let Err(error) = thread::Builder::new().name("ironbridge-overtime".to_owned()).spawn(body) {
        tracing::error!(%error, "cannot start a thread to look after a request that takes too long");
        flag.store(true, Ordering::Release);
    }
    flag
}

/// The threads of this process that use a CPU at the moment, for the log.
fn busy_threads() -> String {
    let busy = std::fs::read_dir("/proc/self/task").into_iter().flatten().filter_map(|entry| {
        let folder = entry.ok()?.path();
        let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
        let (before, after) = stat.rsplit_once(')')?;
        let (id, name) = before.split_once(" (")?;
        // Waiting for the interpreter is sleep; whoever holds it runs, or is in a system call.
        let waits_for = std::fs::read_to_string(folder.join("wchan")).unwrap_or_default();
        let is_waiting = waits_for.contains("futex") || waits_for.contains("poll");
        (!is_waiting)
            .then(|| format!("{name} ({id}, state {})", after.trim_start().chars().next().unwrap_or('?')))
    });
    let busy: Vec<String> = busy.collect();
    if busy.is_empty() { "all threads wait".to_owned() } else { format!("busy: {}", busy.join(", ")) }
}

/// How long an application may take to end after its request has timed out.
const GRACE: Duration = Duration::from_secs(5);
const SHORTEST_PERIOD: Duration = Duration::from_millis(20);
const LONGEST_PERIOD: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(warning: u64, limit: u64, routes: &[(&str, u64)]) -> Policy {
        let some = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
        let mut routes: Vec<_> =
            routes.iter().map(|(path, limit)| ((*path).to_owned(), some(*limit))).collect();
        routes.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Policy { warning: some(warning), limit: some(limit), routes }
    }

    #[test]
    fn the_ladder_is_climbed_step_by_step_and_each_step_once() {
        let policy = policy(2, 5, &[]);
        let mut clock = Clock::start();
        let began = clock.began;
        let mut step = |seconds| clock.step(&policy, b"/", false, began + Duration::from_secs(seconds));
        let seconds = Duration::from_secs;
        assert_eq!(step(1), None);
        assert_eq!(step(2), Some(Step::Warn(seconds(2))));
        assert_eq!(step(3), None);
        assert_eq!(step(5), Some(Step::TimeOut(seconds(5))));
        assert_eq!(step(9), None);
        assert_eq!(step(10), Some(Step::GiveUp(seconds(10))));
        assert_eq!(step(20), None);
    }

    #[test]
    fn a_response_that_has_begun_may_take_for_ever() {
        let policy = policy(2, 5, &[]);
        let mut clock = Clock::start();
        let late = clock.began + Duration::from_secs(100);
        assert_eq!(clock.step(&policy, b"/", true, late), None);
    }

    #[test]
    fn the_longest_path_decides_and_covers_whole_segments() {
        let policy = policy(0, 5, &[("/reports", 60), ("/reports/fast", 1), ("/events/", 0)]);
        let limit = |target: &str| policy.limit(target.as_bytes()).map(|limit| limit.as_secs());
        assert_eq!(limit("/"), Some(5));
        assert_eq!(limit("/reports?x=/reports/fast"), Some(60));
        assert_eq!(limit("/reports/2026"), Some(60));
        assert_eq!(limit("/reportsx"), Some(5));
        assert_eq!(limit("/reports/fast/1"), Some(1));
        assert_eq!(limit("/events/1"), None);
    }
}
