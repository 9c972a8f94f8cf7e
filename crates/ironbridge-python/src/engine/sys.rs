//! The operating system's clocks of threads.

use std::time::Duration;

/// CPU time that the calling thread has used.
pub(crate) fn own_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Times that the calling thread gave its processor up of its own accord: it slept, or waited for a lock.
pub(crate) fn own_voluntary_switches() -> i64 {
    // SAFETY: an all-zero `rusage` is a valid value of that plain C struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for writes of a whole `rusage`; the call cannot fail for RUSAGE_THREAD.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    usage.ru_nvcsw
}

/// The CPU clock of one thread, readable from others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuClock {
    clock: libc::clockid_t,
    thread: u32,
}

impl CpuClock {
    /// The calling thread's clock.
    pub(crate) fn of_this_thread() -> Option<Self> {
        let mut clock: libc::clockid_t = 0;
        // SAFETY: `pthread_self` always names the calling, hence living, thread; the pointer is valid for writes.
        let failed = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
        (failed == 0)
            .then(|| Self { clock, thread: rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs() })
    }

    /// CPU time that the thread has used; `None` once it has ended.
    pub(crate) fn read(self) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is valid for writes; a clock of an ended thread makes the call fail, nothing worse.
        let failed = unsafe { libc::clock_gettime(self.clock, &raw mut time) };
        (failed == 0).then(|| Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32))
    }

    /// Whether the thread has, or waits for, a processor: one that others keep from running does not sleep. `None`
    /// where the system does not say.
    pub(crate) fn is_runnable(self) -> Option<bool> {
        let stat = std::fs::read(format!("/proc/self/task/{}/stat", self.thread)).ok()?;
        // proc_pid_stat(5): the state follows the name, which is in parentheses and may contain some.
        let name_end = stat.iter().rposition(|&byte| byte == b')')?;
        Some(*stat.get(name_end + 2)? == b'R')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_computes_moves_its_clock_and_one_that_sleeps_does_not() {
        let (send_clock, clock) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            send_clock.send(CpuClock::of_this_thread()).unwrap();
            let _ = stopped.recv();
        });
        let clock = clock.recv().unwrap().expect("the thread lives");
        let before = clock.read().unwrap();
        assert_eq!(CpuClock::of_this_thread().unwrap().is_runnable(), Some(true));
        while clock.is_runnable() != Some(false) {}
        let own = own_cpu_time();
        while own_cpu_time() - own < Duration::from_millis(5) {}
        assert!(clock.read().unwrap() - before < Duration::from_millis(4), "asleep");
        let switches = own_voluntary_switches();
        stop.send(()).unwrap();
        thread.join().unwrap();
        assert!(own_voluntary_switches() >= switches);
    }
}
