//! Workers that have served for long enough ask for a replacement: a remedy for applications that leak.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use ironbridge_http::{
    counters::Counters,
    options::{parse_seconds, parse_size},
};

use crate::memory::resident_bytes;

/// After what a worker is replaced.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Processes")]
pub struct RecyclingOptions {
    /// Replace a worker after about so many requests. 0: never. Its successor serves first, and no request is lost.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_requests: u64,

    /// Up to so many requests more, chosen by each worker for itself, so that not all are replaced at once.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_requests_jitter: u64,

    /// Replace a worker after so many seconds. 0: never.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = parse_seconds)]
    pub max_lifetime: f64,

    /// Up to so many seconds more, chosen by each worker for itself.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = parse_seconds)]
    pub max_lifetime_jitter: f64,

    /// Replace a worker that holds so much memory (resident set, as `ps` shows it). 0: never.
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = parse_size)]
    pub max_memory: u64,

    /// End a worker that holds so much memory at once, with the requests that it has in flight, before the machine runs out of
    /// it. 0: never.
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = parse_size)]
    pub max_memory_hard: u64,
}

/// The limits of one worker, jitter included.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    requests: Option<u64>,
    lifetime: Option<Duration>,
    memory: Option<u64>,
    memory_hard: Option<u64>,
}

/// What a worker is to do about a limit that it has reached. With the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spent {
    /// Ask for a replacement, and serve until it is there.
    Tired(String),
    /// Ask for a replacement, if there is a supervisor: a request is stuck.
    Stuck(String),
    /// End at once.
    Dangerous(String),
}

impl Limits {
    /// Chooses the limits of this process.
    pub fn choose(options: &RecyclingOptions) -> Self {
        let limit = |value: u64| (value > 0).then_some(value);
        let lifetime = options.max_lifetime + options.max_lifetime_jitter * chance("lifetime");
        let jitter = (options.max_requests_jitter as f64 * chance("requests")).round() as u64;
        Self {
            requests: limit(options.max_requests).map(|most| most.saturating_add(jitter)),
            lifetime: (options.max_lifetime > 0.0).then(|| Duration::from_secs_f64(lifetime)),
            memory: limit(options.max_memory),
            memory_hard: limit(options.max_memory_hard),
        }
    }

    fn is_unlimited(&self) -> bool {
        self.requests.is_none()
            && self.lifetime.is_none()
            && self.memory.is_none()
            && self.memory_hard.is_none()
    }

    /// What follows from these figures of a worker.
    fn judge(&self, requests: u64, age: Duration, resident: u64) -> Option<Spent> {
        let mb = |bytes: u64| format!("{} MB", bytes >> 20);
        if let Some(most) = self.memory_hard.filter(|most| resident >= *most) {
            return Some(Spent::Dangerous(format!(
                "it holds {} of memory, of at most {}",
                mb(resident),
                mb(most)
            )));
        }
        let reason = if self.requests.is_some_and(|most| requests >= most) {
            format!("it has had {requests} requests")
        } else if self.lifetime.is_some_and(|most| age >= most) {
            format!("it has served for {} s", age.as_secs())
        } else if self.memory.is_some_and(|most| resident >= most) {
            format!("it holds {} of memory", mb(resident))
        } else {
            return None;
        };
        Some(Spent::Tired(reason))
    }
}

/// Looks at the worker's figures now and then, and tells `act` what follows: once that it is tired, once that it is dangerous.
pub(crate) async fn watch(limits: Limits, counters: Arc<Counters>, act: impl Fn(Spent)) {
    if limits.is_unlimited() {
        return;
    }
    let born = Instant::now();
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut is_tired = false;
    loop {
        interval.tick().await;
        let watches_memory = limits.memory.is_some() || limits.memory_hard.is_some();
        let resident = if watches_memory { resident_bytes().unwrap_or(0) } else { 0 };
        match limits.judge(counters.requests(), born.elapsed(), resident) {
            Some(spent @ Spent::Dangerous(_)) => return act(spent),
            Some(spent) if !is_tired => {
                is_tired = true;
                act(spent);
            }
            _ => {}
        }
    }
}

/// A number from 0 to 1. Workers are forked from one process, so each starts from its own id.
fn chance(what: &str) -> f64 {
    let number = RandomState::new().hash_one((std::process::id(), what, std::time::SystemTime::now()));
    number as f64 / u64::MAX as f64
}

const LOOK_EVERY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    fn options() -> RecyclingOptions {
        RecyclingOptions {
            max_requests: 0,
            max_requests_jitter: 0,
            max_lifetime: 0.0,
            max_lifetime_jitter: 0.0,
            max_memory: 0,
            max_memory_hard: 0,
        }
    }

    #[test]
    fn jitter_makes_limits_higher_and_differs() {
        let options = RecyclingOptions {
            max_requests: 1000,
            max_requests_jitter: 1000,
            max_lifetime: 10.0,
            max_lifetime_jitter: 10.0,
            ..options()
        };
        let chosen: Vec<Limits> = (0..20).map(|_| Limits::choose(&options)).collect();
        let requests: Vec<u64> = chosen.iter().map(|limits| limits.requests.unwrap()).collect();
        assert!(requests.iter().all(|most| (1000..=2000).contains(most)), "{requests:?}");
        assert!(requests.iter().any(|most| most != &requests[0]), "{requests:?}");
        let ten = Duration::from_secs(10);
        assert!(chosen.iter().all(|limits| (ten..=2 * ten).contains(&limits.lifetime.unwrap())));
    }

    #[test]
    fn jitter_alone_limits_nothing() {
        let options = RecyclingOptions { max_requests_jitter: 50, max_lifetime_jitter: 50.0, ..options() };
        assert!(Limits::choose(&options).is_unlimited());
    }

    #[test]
    fn each_limit_has_its_reason_and_the_hard_one_goes_first() {
        let limits = Limits::choose(&RecyclingOptions {
            max_requests: 100,
            max_lifetime: 60.0,
            max_memory: 200 * MB,
            max_memory_hard: 400 * MB,
            ..options()
        });
        let judge = |requests, seconds, mb| limits.judge(requests, Duration::from_secs(seconds), mb * MB);
        let tired = |reason: &str| Some(Spent::Tired(reason.to_owned()));
        assert_eq!(judge(99, 59, 199), None);
        assert_eq!(judge(100, 0, 0), tired("it has had 100 requests"));
        assert_eq!(judge(0, 61, 0), tired("it has served for 61 s"));
        assert_eq!(judge(0, 0, 200), tired("it holds 200 MB of memory"));
        let dangerous = "it holds 400 MB of memory, of at most 400 MB".to_owned();
        assert_eq!(judge(100, 61, 400), Some(Spent::Dangerous(dangerous)));
    }
}
