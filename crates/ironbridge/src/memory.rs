//! Memory that a burst has left behind goes back to the system.
//!
//! The C library's allocator keeps what was freed, and a pool of threads makes it keep the same many times over: after some
//! thousand uploads at once a process that needs 20 MB may hold a gigabyte for ever. Both remedies are glibc's own; with
//! another C library this does nothing.

use std::{sync::Arc, time::Duration};

use ironbridge_http::counters::Counters;

use crate::sys;

/// Has all threads share few arenas of the allocator, unless the user has said something about them. To be called before
/// threads start. One thread at a time runs Python and another one drives the reactor, so two are enough.
pub(crate) fn share_arenas() {
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        sys::limit_arenas(2);
    }
}

/// Looks once a second, and trims when the process holds much more than it did after the last time and has little to do.
pub(crate) async fn trim_when_quiet(counters: Arc<Counters>) {
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut usual = resident_bytes().unwrap_or(u64::MAX);
    let mut requests = counters.requests();
    loop {
        interval.tick().await;
        let before = std::mem::replace(&mut requests, counters.requests());
        let Some(resident) = resident_bytes() else { return };
        usual = usual.min(resident);
        if requests - before < BUSY && is_worth_it(resident, usual) {
            // A large heap takes tens of milliseconds; the reactor has better things to do.
            if tokio::task::spawn_blocking(sys::trim).await.is_err() {
                return;
            }
            usual = resident_bytes().unwrap_or(resident);
            tracing::debug!(from = resident, to = usual, "gave memory back to the system");
        }
    }
}

fn is_worth_it(resident: u64, usual: u64) -> bool {
    resident > usual.saturating_add((usual / 2).max(WORTH_TRIMMING))
}

/// Bytes that the process has in memory (proc_pid_statm(5)).
pub(crate) fn resident_bytes() -> Option<u64> {
    resident_of("self")
}

/// Bytes of memory that another process, by its id, holds.
pub(crate) fn resident_of(process: &str) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Requests between two looks that are too many to trim meanwhile.
const BUSY: u64 = 200;
const WORTH_TRIMMING: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_much_more_than_usual_is_worth_it() {
        const MB: u64 = 1 << 20;
        assert!(!is_worth_it(20 * MB, 20 * MB));
        assert!(!is_worth_it(36 * MB, 20 * MB));
        assert!(is_worth_it(37 * MB, 20 * MB));
        assert!(!is_worth_it(300 * MB, 200 * MB));
        assert!(is_worth_it(301 * MB, 200 * MB));
    }

    #[test]
    fn what_is_allocated_and_freed_goes_back() {
        let before = resident_bytes().expect("Linux tells");
        // Too small for mappings of their own, which go back by themselves.
        let mut blocks: Vec<Vec<u8>> = (0..20_000).map(|_| vec![1; 9_000]).collect();
        let held = resident_bytes().expect("Linux tells");
        assert!(held > before + 150_000_000);
        // The last one holds the others back.
        let last = blocks.pop();
        drop(blocks);
        sys::trim();
        let after = resident_bytes().expect("Linux tells");
        drop(last);
        assert!(after < before + 100_000_000, "{before} {held} {after}");
    }
}
