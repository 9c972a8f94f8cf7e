//! How long a job was blocked, for next to nothing when the job is short.

use std::time::Duration;

use super::{
    moment::Moment,
    regime::JobTimes,
    sync,
    sys::{own_cpu_time, own_voluntary_switches},
};

/// Measures the jobs that one thread runs.
///
/// Wall time comes from a clock without system call. Blocked time needs two of them at each end, and is looked at only
/// after jobs longer than [`WORTH_A_LOOK_NANOS`]; a baseline for it is taken only while such jobs have been seen lately.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    start: Moment,
    baseline: Option<Baseline>,
    alert: u32,
}

#[derive(Debug, Clone, Copy)]
struct Baseline {
    wall: Moment,
    cpu: Duration,
    switches: i64,
}

impl Stopwatch {
    /// For a thread that is about to run jobs, one after another.
    pub(crate) fn new() -> Self {
        Self { start: Moment::now(), baseline: None, alert: ALERT_FOR }
    }

    /// The thread was busy with something else; a job begins now.
    pub(crate) fn restart(&mut self) {
        self.start = Moment::now();
        self.baseline = (self.alert > 0).then(|| Baseline::take(self.start));
    }

    /// A job has ended, and the next may begin right here. Returns what the job took, and the time.
    pub(crate) fn lap(&mut self) -> (JobTimes, Moment) {
        if let Some(times) = sync::guess_times() {
            return (times, sync::now());
        }
        let now = Moment::now();
        let wall = now.nanos_since(self.start);
        self.start = now;
        if wall < WORTH_A_LOOK_NANOS {
            self.alert = self.alert.saturating_sub(1);
            return (JobTimes::INSTANT, now);
        }
        self.alert = ALERT_FOR;
        let after = Baseline::take(now);
        let times = match self.baseline.replace(after) {
            Some(before) if before.switches == after.switches => JobTimes::INSTANT,
            Some(before) => JobTimes { blocked: after.blocked_since(&before) },
            // The first long job after many short ones: those that follow will be judged.
            None => JobTimes { blocked: Duration::ZERO },
        };
        (times, now)
    }
}

impl Baseline {
    fn take(wall: Moment) -> Self {
        Self { wall, cpu: own_cpu_time(), switches: own_voluntary_switches() }
    }

    fn blocked_since(&self, before: &Self) -> Duration {
        self.wall.duration_since(before.wall).saturating_sub(self.cpu.saturating_sub(before.cpu))
    }
}

/// Jobs shorter than this count as not blocked.
const WORTH_A_LOOK_NANOS: u64 = 100_000;
/// Short jobs after a long one for which the thread goes on taking baselines.
const ALERT_FOR: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_waits_is_blocked_and_one_that_computes_is_not() {
        let mut watch = Stopwatch::new();
        watch.restart();
        let (_sender, receiver) = std::sync::mpsc::channel::<()>();
        let _ = receiver.recv_timeout(Duration::from_millis(20));
        let (waited, _) = watch.lap();
        assert!(waited.blocked >= Duration::from_millis(15), "{waited:?}");
        let begin = own_cpu_time();
        while own_cpu_time() - begin < Duration::from_millis(5) {}
        let (computed, _) = watch.lap();
        assert!(computed.blocked < Duration::from_millis(5), "{computed:?}");
    }

    #[test]
    fn many_short_jobs_end_the_looking() {
        let mut watch = Stopwatch::new();
        for _ in 0..=2 * ALERT_FOR {
            watch.lap();
        }
        watch.restart();
        assert!(watch.baseline.is_none());
    }
}
