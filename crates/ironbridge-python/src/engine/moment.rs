//! Points in time, as cheap as they get: every job asks for one and compares it with two others.

use std::{
    ops::{Add, AddAssign},
    time::Duration,
};

/// Nanoseconds of the monotonic clock (clock_gettime(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// What the clock says. No system call: the kernel shares its clock with every process.
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Self(time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs())
    }

    /// Nanoseconds since `earlier`; 0 if that is later.
    pub fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Time since `earlier`; nothing if that is later.
    pub fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, time: Duration) {
        *self = *self + time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_ordered_and_their_distance_is_never_negative() {
        let first = Moment::now();
        let second = first + Duration::from_millis(5);
        assert!(second > first && Moment::now() >= first);
        assert_eq!(second.duration_since(first), Duration::from_millis(5));
        assert_eq!(first.duration_since(second), Duration::ZERO);
    }
}
