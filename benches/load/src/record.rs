//! What a run showed: counts and latencies per class, as one line of JSON.

use std::fmt::Write as _;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::connection::{Ending, Outcome};
use crate::plan::{Limit, Plan};

/// The record of one run.
#[derive(Debug)]
pub(crate) struct Record {
    started: Instant,
    seconds: f64,
    cpu: f64,
    in_time: u64,
    classes: Vec<ClassRecord>,
    first_failure: Option<String>,
    deadline: Option<Instant>,
}

#[derive(Debug, Default, Clone)]
struct ClassRecord {
    micros: Vec<u32>,
    other_status: u64,
    left: u64,
    failed: u64,
}

impl Record {
    pub(crate) fn new(plan: &Plan, started: Instant) -> Self {
        let deadline = match plan.limit {
            Limit::Time(length) => Some(started + length),
            Limit::Requests(_) => None,
        };
        Self {
            started,
            seconds: 0.0,
            cpu: cpu_seconds(),
            in_time: 0,
            classes: vec![ClassRecord::default(); plan.classes.len()],
            first_failure: None,
            deadline,
        }
    }

    /// Adds a request that ended `now`, and says whether it failed.
    pub(crate) fn add(&mut self, ending: Ending, now: Instant) -> bool {
        let class = &mut self.classes[ending.class];
        self.in_time += u64::from(self.deadline.is_none_or(|deadline| now <= deadline));
        match ending.outcome {
            Outcome::Answered(status) => {
                let micros = now.duration_since(ending.begun).as_micros();
                class.micros.push(u32::try_from(micros).unwrap_or(u32::MAX));
                class.other_status += u64::from(!(200..300).contains(&status));
                false
            }
            Outcome::Left => {
                class.left += 1;
                false
            }
            Outcome::Failed(message) => {
                class.failed += 1;
                self.first_failure.get_or_insert(message);
                true
            }
        }
    }

    /// Closes the record.
    pub(crate) fn end(mut self, limit: Limit) -> Self {
        self.seconds = match limit {
            Limit::Time(length) => length.as_secs_f64(),
            Limit::Requests(_) => self.started.elapsed().as_secs_f64(),
        };
        self.cpu = (cpu_seconds() - self.cpu) / self.started.elapsed().as_secs_f64();
        self
    }

    /// `requests`: all that ended; `rate`: requests a second until the limit; `busy`: this client's share of
    /// its core; latencies in microseconds.
    pub(crate) fn to_json(&self, plan: &Plan) -> String {
        let requests: u64 = self.classes.iter().map(ClassRecord::ended).sum();
        let mut text = format!(
            r#"{{"requests":{requests},"seconds":{:.6},"rate":{:.1},"busy":{:.3},"#,
            self.seconds,
            self.in_time as f64 / self.seconds,
            self.cpu
        );
        let all = ClassRecord {
            micros: self.classes.iter().flat_map(|class| class.micros.clone()).collect(),
            ..self.sum()
        };
        let _ = write!(text, r#""all":{},"classes":{{"#, all.to_json());
        for (index, (class, spec)) in self.classes.iter().zip(&plan.classes).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(text, r#"{comma}"{}":{}"#, spec.name, class.to_json());
        }
        let failure = self.first_failure.as_deref().unwrap_or_default().replace(['"', '\\'], "'");
        let _ = write!(text, r#"}},"failure":"{failure}"}}"#);
        text
    }

    fn sum(&self) -> ClassRecord {
        let mut sum = ClassRecord::default();
        for class in &self.classes {
            sum.other_status += class.other_status;
            sum.left += class.left;
            sum.failed += class.failed;
        }
        sum
    }
}

impl ClassRecord {
    fn ended(&self) -> u64 {
        self.micros.len() as u64 + self.left + self.failed
    }

    fn to_json(&self) -> String {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let at = |share: f64| {
            sorted.get(((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1)))
        };
        let [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1.0].map(|share| at(share).copied().unwrap_or(0));
        format!(
            r#"{{"answered":{},"other_status":{},"left":{},"failed":{},"p50":{p50},"p90":{p90},"p99":{p99},"max":{max}}}"#,
            sorted.len(),
            self.other_status,
            self.left,
            self.failed
        )
    }
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
