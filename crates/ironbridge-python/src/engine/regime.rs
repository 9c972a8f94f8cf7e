//! Fast or slow: whether the application's calls block.
//!
//! The sign is blocked time (wall time less the thread's own CPU time), not duration: a page that computes for
//! 0.2 ms belongs to the fast regime, a query that waits for 0.2 ms to the slow one.

use std::time::Duration;

/// What one job took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobTimes {
    /// Time that the thread spent asleep in the kernel during the job.
    pub blocked: Duration,
}

impl JobTimes {
    /// A job that was too short to look at.
    pub const INSTANT: Self = Self { blocked: Duration::ZERO };

    /// A job that the watchdog found blocked and that has not ended yet.
    pub fn blocked_so_far() -> Self {
        Self { blocked: CAP }
    }
}

/// A moving average over jobs, with a gap between its two thresholds so that it does not flutter.
#[derive(Debug, Clone, Copy)]
pub struct Regime {
    average_nanos: i64,
    fast: bool,
    /// The fast regime is being tried, although nothing says yet that it fits.
    on_trial: bool,
    /// Jobs in the slow regime so far.
    slow_jobs: u32,
    /// After how many of them the fast regime is tried.
    patience: u32,
}

impl Default for Regime {
    fn default() -> Self {
        Self { average_nanos: 0, fast: true, on_trial: false, slow_jobs: 0, patience: SHORT_PATIENCE }
    }
}

impl Regime {
    /// Whether the leader runs jobs itself.
    pub fn is_fast(&self) -> bool {
        self.fast
    }

    /// Takes one job into account.
    pub fn observe(&mut self, times: JobTimes) {
        let sample = times.blocked.min(CAP).as_nanos() as i64;
        if sample == 0 && self.average_nanos < WEIGHT && self.fast && !self.on_trial {
            // The usual case: nothing to learn.
            return;
        }
        self.average_nanos += (sample - self.average_nanos) / WEIGHT;
        if self.fast && self.average_nanos > SLOW_ABOVE_NANOS {
            self.turn_slow();
        } else if self.average_nanos < FAST_BELOW_NANOS {
            self.fast = true;
            self.on_trial = false;
            self.patience = SHORT_PATIENCE;
        } else if !self.fast {
            self.slow_jobs += 1;
            self.try_fast();
        }
    }

    fn turn_slow(&mut self) {
        self.fast = false;
        self.slow_jobs = 0;
        self.patience = if self.on_trial { (self.patience * 2).min(LONG_PATIENCE) } else { SHORT_PATIENCE };
        self.on_trial = false;
    }

    /// Threads that fight for the interpreter look blocked, and the slow regime makes them fight: without a trial now and
    /// then, an application that only computes could stay slow for ever. One that blocks fails its trial at its first job.
    fn try_fast(&mut self) {
        if self.slow_jobs >= self.patience {
            self.fast = true;
            self.on_trial = true;
            self.average_nanos = i64::midpoint(SLOW_ABOVE_NANOS, FAST_BELOW_NANOS);
        }
    }
}

/// One job counts for no more than this, so that a single long wait does not decide for seconds.
const CAP: Duration = Duration::from_millis(1);
/// Each job moves the average by this part of the difference.
const WEIGHT: i64 = 32;
/// Above this average, waking another thread (some 20 microseconds of CPU time) is the lesser evil.
const SLOW_ABOVE_NANOS: i64 = 60_000;
const FAST_BELOW_NANOS: i64 = 30_000;
/// Jobs before the first trial of the fast regime; doubled with each that fails.
const SHORT_PATIENCE: u32 = 256;
const LONG_PATIENCE: u32 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(jobs: impl IntoIterator<Item = u64>) -> Regime {
        let mut regime = Regime::default();
        for micros in jobs {
            regime.observe(JobTimes { blocked: Duration::from_micros(micros) });
        }
        regime
    }

    #[test]
    fn computing_stays_fast_however_long_it_takes() {
        assert!(after([0; 1000]).is_fast());
    }

    #[test]
    fn blocking_calls_turn_it_slow_and_computing_turns_it_back() {
        let mut regime = after([5_000; 8]);
        assert!(!regime.is_fast());
        for _ in 0..200 {
            regime.observe(JobTimes::INSTANT);
        }
        assert!(regime.is_fast());
    }

    #[test]
    fn one_job_in_ten_that_sleeps_is_slow_and_one_in_a_hundred_is_not() {
        let one_in = |n: usize| after((0..2000).map(move |i| if i % n == 0 { 50_000 } else { 0 }));
        assert!(!one_in(10).is_fast());
        assert!(one_in(100).is_fast());
    }
}
