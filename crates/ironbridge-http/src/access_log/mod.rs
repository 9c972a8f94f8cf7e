//! The access log: a line per request, written by a thread of its own and never by Python.
//!
//! * [`record`]: what is known of a request, and its line in each format.
//! * [`pattern`]: formats that users write themselves.
//! * [`clock`]: local time as the formats spell it.
//! * [`basic_user`]: the user name in an Authorization header.
//!
//! [`AccessLog::write`] appends to a bounded buffer in memory. The writer takes what has gathered about every
//! 100 ms. Lines that do not fit while the writer is stuck (a full disk, a pipe that nobody reads) are dropped,
//! counted and warned about: the log may lose lines, the server never waits for it.

use std::{io, path::PathBuf, sync::Arc, thread, time::Duration};

use crate::options::{AccessLogFormat, HttpOptions};

pub mod basic_user;
pub mod clock;
pub mod pattern;
pub mod record;

mod escape;
mod queue;
mod sink;
mod writer;

pub use clock::Clock;
pub use record::{Outcome, Record};

use queue::Queue;
use sink::Sink;

/// The running access log; clones share it. When the last one is dropped, what is left gets written.
///
/// Open it after any fork: the writer is a thread.
#[derive(Debug, Clone)]
pub struct AccessLog {
    running: Arc<Running>,
}

/// Why the access log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    /// The file cannot be opened for appending.
    #[error("--access-log {}: {source}", path.display())]
    Open {
        /// The file as typed.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives us no thread.
    #[error("--access-log: cannot start its thread: {0}")]
    Thread(#[source] io::Error),
}

impl AccessLog {
    /// Opens what `--access-log` names, `-` being the standard output, and starts the writer. None without the
    /// option. Times are in the zone that `TZ` or the system names now.
    ///
    /// # Errors
    /// [`AccessLogError`].
    pub fn open(options: &HttpOptions) -> Result<Option<Self>, AccessLogError> {
        let Some(path) = &options.access_log else { return Ok(None) };
        let sink = Sink::open(path).map_err(|source| AccessLogError::Open { path: path.clone(), source })?;
        Self::start(sink, options.access_log_format.clone(), Clock::local()).map(Some)
    }

    fn start(sink: Sink, format: AccessLogFormat, clock: Clock) -> Result<Self, AccessLogError> {
        let queue = Arc::new(Queue::new(clock));
        let theirs = Arc::clone(&queue);
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer::run(&theirs, sink))
            .map_err(AccessLogError::Thread)?;
        Ok(Self { running: Arc::new(Running { queue, format }) })
    }

    /// Logs a request. Never waits for the disk.
    pub fn write(&self, record: &Record<'_>) {
        self.running.queue.push(|clock, out| record.format(&self.running.format, clock, out));
    }

    /// The response headers that lines show.
    pub fn response_headers(&self) -> impl Iterator<Item = &str> {
        let pattern = match &self.running.format {
            AccessLogFormat::Custom(pattern) => Some(pattern),
            AccessLogFormat::Common | AccessLogFormat::Combined | AccessLogFormat::Json => None,
        };
        pattern.into_iter().flat_map(|pattern| pattern.response_headers())
    }

    /// Opens the file anew, after a rotation moved it away. Lines logged before this call go to the old file.
    /// Returns at once; if the new file cannot be opened, the old one stays in use and a warning says so.
    pub fn reopen(&self) {
        self.running.queue.ask_to_reopen();
    }

    /// Waits until every line logged before this call is written or given up; at most `patience`. Says whether
    /// that was enough.
    pub fn flush(&self, patience: Duration) -> bool {
        self.running.queue.flush(patience)
    }

    /// How many lines were lost since the start, because the writer was stuck or writing failed.
    pub fn lost(&self) -> u64 {
        self.running.queue.lost()
    }
}

#[derive(Debug)]
struct Running {
    queue: Arc<Queue>,
    format: AccessLogFormat,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.queue.stop(LAST_WORDS);
    }
}

/// How long the end of the server waits for a log that cannot be written.
const LAST_WORDS: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{BufRead, BufReader},
        path::Path,
    };

    use jiff::tz::TimeZone;

    use super::*;
    use crate::{access_log::record::tests::record, listener::tests::options};

    const SOON: Duration = Duration::from_secs(20);

    fn open(path: &Path) -> AccessLog {
        let path = path.to_str().expect("temporary paths are UTF-8");
        AccessLog::open(&options(&["--access-log", path])).expect("writable").expect("asked for")
    }

    fn write(log: &AccessLog, target: &str) {
        log.write(&Record { target: target.as_bytes(), ..record() });
    }

    fn targets(text: &str) -> Vec<&str> {
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|line| line.split(' ').nth(6).expect("a target")).collect()
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).expect("the log exists")
    }

    #[test]
    fn without_the_option_there_is_no_log() {
        assert!(AccessLog::open(&options(&[])).expect("nothing to fail").is_none());
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let error =
            AccessLog::open(&options(&["--access-log", "/nowhere/a.log"])).expect_err("no such folder");
        assert_eq!(error.to_string(), "--access-log /nowhere/a.log: No such file or directory (os error 2)");
    }

    #[test]
    fn lines_are_appended_in_order_and_written_when_the_last_handle_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        fs::write(&path, "1 - - [x +0] \"GET /old -\n").expect("writable");
        let log = open(&path);
        let other = log.clone();
        write(&log, "/1");
        drop(log);
        write(&other, "/2");
        drop(other);
        assert_eq!(targets(&read(&path)), ["/old", "/1", "/2"]);
    }

    #[test]
    fn a_flush_brings_everything_to_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        let log = open(&path);
        assert!(log.flush(SOON), "nothing to wait for");
        for round in 1..=3 {
            write(&log, "/x");
            assert!(log.flush(SOON));
            assert_eq!(targets(&read(&path)).len(), round);
        }
    }

    #[test]
    fn a_line_is_written_soon_without_anybody_asking() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        let log = open(&path);
        for round in 1..=2 {
            write(&log, "/x");
            let limit = std::time::Instant::now() + SOON;
            while targets(&read(&path)).len() < round {
                assert!(std::time::Instant::now() < limit, "the writer sleeps on");
                thread::yield_now();
            }
        }
    }

    #[test]
    fn after_a_rotation_new_lines_go_to_the_new_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (folder.path().join("a.log"), folder.path().join("a.log.1"));
        let log = open(&path);
        write(&log, "/before");
        fs::rename(&path, &old).expect("same folder");
        write(&log, "/still-before");
        log.reopen();
        write(&log, "/after");
        drop(log);
        assert_eq!(targets(&read(&old)), ["/before", "/still-before"]);
        assert_eq!(targets(&read(&path)), ["/after"]);
    }

    #[test]
    fn a_failed_reopening_keeps_the_old_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("logs");
        fs::create_dir(&inner).expect("new");
        let log = open(&inner.join("a.log"));
        fs::rename(&inner, folder.path().join("moved")).expect("same folder");
        log.reopen();
        write(&log, "/x");
        drop(log);
        assert_eq!(targets(&read(&folder.path().join("moved/a.log"))), ["/x"]);
    }

    #[test]
    fn a_stuck_log_drops_whole_lines_and_counts_them_but_never_waits() {
        let (reader, pipe) = io::pipe().expect("pipes can be made");
        let log = AccessLog::start(
            Sink::from_fd(pipe.into()),
            AccessLogFormat::Combined,
            Clock::new(TimeZone::UTC),
        )
        .expect("a thread");
        let long = "x".repeat(1000);
        let total: u64 = 20_000;
        for number in 0..total {
            write(&log, &format!("/{number}/{long}"));
        }
        assert!(!log.flush(Duration::ZERO), "nobody reads the pipe");
        let lost = log.lost();
        assert!(lost > 0 && lost < total, "{lost}");
        // The reader wakes up: everything that was not dropped arrives, in order and whole.
        let reading = thread::spawn(move || {
            let lines = BufReader::new(reader).lines().map(|line| line.expect("UTF-8"));
            let numbers = lines.map(|line| {
                assert!(line.ends_with("\"agent\""), "{line}");
                let target = line.split(' ').nth(6).expect("a target").to_owned();
                target.split('/').nth(1).expect("a number").parse::<u64>().expect("a number")
            });
            numbers.collect::<Vec<_>>()
        });
        assert!(log.flush(SOON));
        assert_eq!(log.lost(), lost);
        drop(log);
        let numbers = reading.join().expect("all lines were whole");
        assert_eq!(numbers.len() as u64, total - lost);
        assert!(numbers.is_sorted());
    }

    #[test]
    fn a_reader_that_has_gone_costs_lines_and_nothing_else() {
        let (reader, pipe) = io::pipe().expect("pipes can be made");
        drop(reader);
        let log =
            AccessLog::start(Sink::from_fd(pipe.into()), AccessLogFormat::Common, Clock::new(TimeZone::UTC))
                .expect("a thread");
        write(&log, "/1");
        write(&log, "/2");
        assert!(log.flush(SOON));
        assert_eq!(log.lost(), 2);
    }

    #[test]
    fn many_threads_write_whole_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        let log = open(&path);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1000).for_each(|number| write(&log, &format!("/{number}"))));
            }
        });
        drop(log);
        let text = read(&path);
        assert_eq!(targets(&text).len(), 8000);
        assert!(text.lines().all(|line| line.ends_with("\"agent\"")));
    }
}
