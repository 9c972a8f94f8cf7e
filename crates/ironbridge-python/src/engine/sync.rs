//! The synchronisation and the time that the engine stands on; a model checker's under the feature `model`.

#[cfg(not(feature = "model"))]
pub(crate) use self::real::*;

#[cfg(feature = "model")]
pub(crate) use self::model::*;

#[cfg(not(feature = "model"))]
mod real {
    use std::time::Duration;
    pub(crate) use std::{
        sync::{
            Condvar, Mutex, MutexGuard,
            atomic::{AtomicBool, Ordering},
        },
        thread,
    };

    use crate::engine::{moment::Moment, regime::JobTimes};

    pub(crate) fn now() -> Moment {
        Moment::now()
    }

    /// Waits for `wake` no longer than `patience`; `true`: it was over.
    pub(crate) fn wait_for<'a, T>(
        _mutex: &'a Mutex<T>,
        wake: &Condvar,
        guard: MutexGuard<'a, T>,
        patience: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let (guard, timeout) = wake.wait_timeout(guard, patience).expect("no code panics under this lock");
        (guard, timeout.timed_out())
    }

    /// Nothing: the real clocks are asked.
    pub(crate) fn guess_times() -> Option<JobTimes> {
        None
    }

    /// Nothing: the real clocks are asked.
    pub(crate) fn guess_cpu_time() -> Option<Duration> {
        None
    }
}

/// Time is as random as the schedule: it advances by nothing or by much, and a wait that may time out does so at once
/// or after others have run.
#[cfg(feature = "model")]
mod model {
    use shuttle::rand::{Rng, thread_rng};
    pub(crate) use shuttle::{
        sync::{
            Condvar, Mutex, MutexGuard,
            atomic::{AtomicBool, Ordering},
        },
        thread,
    };
    use std::{
        sync::{OnceLock, atomic::AtomicU64},
        time::Duration,
    };

    use crate::engine::{moment::Moment, regime::JobTimes};

    pub(crate) fn now() -> Moment {
        static ORIGIN: OnceLock<Moment> = OnceLock::new();
        static MICROS: AtomicU64 = AtomicU64::new(0);
        let step = if thread_rng().gen_bool(0.5) { 0 } else { thread_rng().gen_range(100..2_000) };
        let micros = MICROS.fetch_add(step, Ordering::SeqCst) + step;
        *ORIGIN.get_or_init(Moment::now) + Duration::from_micros(micros)
    }

    pub(crate) fn wait_for<'a, T>(
        mutex: &'a Mutex<T>,
        _wake: &Condvar,
        guard: MutexGuard<'a, T>,
        _patience: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        drop(guard);
        for _ in 0..thread_rng().gen_range(1..4) {
            thread::yield_now();
        }
        (mutex.lock().expect("no code panics under this lock"), true)
    }

    /// Instant, or blocked for long.
    pub(crate) fn guess_times() -> Option<JobTimes> {
        Some(if thread_rng().gen_bool(0.5) { JobTimes::INSTANT } else { JobTimes::blocked_so_far() })
    }

    /// Makes any finding of the watchdog possible.
    pub(crate) fn guess_cpu_time() -> Option<Duration> {
        Some(Duration::from_micros(thread_rng().gen_range(0..10_000)))
    }
}
