//! How a process ended, in words for the operator.

use std::fmt;

use rustix::process::WaitStatus;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// `None` for a process that was only stopped or continued.
    pub fn new(status: WaitStatus) -> Option<Self> {
        let code = status.exit_status().map(Self::Code);
        code.or_else(|| status.terminating_signal().map(Self::Signal))
    }

    /// The exit code that a supervisor ends with in its stead: that of the process, or as shells have it 128 and the signal.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match name(number) {
                Some(name) => write!(f, "{name}"),
                None => write!(f, "signal {number}"),
            },
        }
    }
}

/// What the exit most likely means. `out_of_memory`: the kernel has killed some process for want of memory meanwhile.
pub fn cause(exit: Exit, out_of_memory: bool) -> &'static str {
    match exit {
        Exit::Signal(SIGKILL) if out_of_memory => ": the kernel ran out of memory and chose it",
        Exit::Signal(SIGKILL) => ": somebody killed it",
        Exit::Signal(SIGSEGV | SIGBUS | SIGILL | SIGFPE) => {
            ": native code crashed (PYTHONFAULTHANDLER=1 shows where)"
        }
        Exit::Signal(SIGABRT) => ": native code gave up, or Python met a fatal error",
        _ => "",
    }
}

/// How many processes the kernel has killed for want of memory since it booted; 0 where it does not tell.
pub fn memory_kills() -> u64 {
    let counters = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let count = counters.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
}

const SIGKILL: i32 = rustix::process::Signal::KILL.as_raw();
const SIGSEGV: i32 = rustix::process::Signal::SEGV.as_raw();
const SIGBUS: i32 = rustix::process::Signal::BUS.as_raw();
const SIGILL: i32 = rustix::process::Signal::ILL.as_raw();
const SIGFPE: i32 = rustix::process::Signal::FPE.as_raw();
const SIGABRT: i32 = rustix::process::Signal::ABORT.as_raw();
const SIGTERM: i32 = rustix::process::Signal::TERM.as_raw();
const SIGINT: i32 = rustix::process::Signal::INT.as_raw();
const SIGQUIT: i32 = rustix::process::Signal::QUIT.as_raw();
const SIGHUP: i32 = rustix::process::Signal::HUP.as_raw();

const fn name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        SIGKILL => "SIGKILL",
        SIGSEGV => "SIGSEGV",
        SIGBUS => "SIGBUS",
        SIGILL => "SIGILL",
        SIGFPE => "SIGFPE",
        SIGABRT => "SIGABRT",
        SIGTERM => "SIGTERM",
        SIGINT => "SIGINT",
        SIGQUIT => "SIGQUIT",
        SIGHUP => "SIGHUP",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_reads_what_happened() {
        let line = |exit, out_of_memory| format!("{exit}{}", cause(exit, out_of_memory));
        assert_eq!(line(Exit::Code(3), true), "exit code 3");
        assert_eq!(line(Exit::Signal(9), true), "SIGKILL: the kernel ran out of memory and chose it");
        assert_eq!(line(Exit::Signal(9), false), "SIGKILL: somebody killed it");
        assert_eq!(
            line(Exit::Signal(11), false),
            "SIGSEGV: native code crashed (PYTHONFAULTHANDLER=1 shows where)"
        );
        assert_eq!(line(Exit::Signal(64), false), "signal 64");
        assert_eq!((Exit::Code(3).code(), Exit::Signal(11).code()), (3, 139));
    }
}
