//! The diagnostic log: tracing's events as lines on the standard error output, or in a file.
//!
//! Human lines are `2026-11-23 19:30:01Z INFO  listening at http://127.0.0.1:8000`, times in UTC, colours only on a
//! terminal. What applications write to `wsgi.errors` is printed as they wrote it.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, reload};

use crate::options::LogLevel;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people: time, level, message.
    Human,
    /// For machines: one JSON object a line.
    Json,
}

/// Sends tracing's events to the standard error output from now on.
///
/// Called again, it changes level and format: a process has one log. An embedding program that has set
/// its own subscriber before keeps it.
pub fn init(level: LogLevel, format: LogFormat) {
    JSON.store(format == LogFormat::Json, Ordering::Relaxed);
    let handle = LEVEL.get_or_init(|| {
        let (filter, handle) = reload::Layer::new(filter(level));
        let lines = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(Lines { json: Format::default().json().flatten_event(true), colour: colour() })
            .with_writer(|| Output);
        let subscriber = tracing_subscriber::registry().with(filter).with(lines);
        // Fails when there is a subscriber already, which is then the one to keep.
        let _ = tracing::subscriber::set_global_default(subscriber);
        handle
    });
    let _ = handle.reload(filter(level));
}

/// The target of events that carry what an application wrote to `wsgi.errors`.
pub const WSGI_ERRORS: &str = "wsgi.errors";

static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();
static JSON: AtomicBool = AtomicBool::new(false);

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    }
}

/// <https://no-color.org>: any value but the empty one turns colours off.
fn colour() -> bool {
    FILE.lock().unwrap_or_else(PoisonError::into_inner).is_none()
        && io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes the log to a file from now on; `-` is the standard error output.
///
/// # Errors
/// The system's.
pub fn write_to(path: &Path) -> io::Result<()> {
    let target = match path.as_os_str() == "-" {
        true => None,
        false => Some(LogFile { file: open(path)?, path: path.to_owned() }),
    };
    *FILE.lock().unwrap_or_else(PoisonError::into_inner) = target;
    Ok(())
}

/// Opens the file again, after it was moved away.
pub fn reopen() {
    let mut target = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(LogFile { file, path }) = target.as_mut() else { return };
    match open(path) {
        Ok(new) => *file = new,
        Err(error) => {
            // Whoever reads the old file learns of it.
            let _ = writeln!(file, "the log file {} cannot be opened again: {error}", path.display());
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    // All processes of the server write to its end.
    File::options().create(true).append(true).open(path)
}

struct LogFile {
    file: File,
    path: PathBuf,
}

static FILE: Mutex<Option<LogFile>> = Mutex::new(None);

/// Where lines go now. Each comes in one piece.
struct Output;

impl Write for Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match FILE.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(LogFile { file, .. }) => file.write(line),
            None => io::stderr().write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Lines {
    json: Format<Json>,
    colour: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if JSON.load(Ordering::Relaxed) {
            return self.json.format_event(context, writer, event);
        }
        human(writer, event, self.colour)
    }
}

fn human(mut writer: Writer<'_>, event: &Event<'_>, colour: bool) -> fmt::Result {
    let mut text = Text::default();
    event.record(&mut text);
    if event.metadata().target() == WSGI_ERRORS {
        return writeln!(writer, "{}", text.message.strip_suffix('\n').unwrap_or(&text.message));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let level = event.metadata().level();
    let (on, off) = if colour { (paint(*level), "\x1b[0m") } else { ("", "") };
    writeln!(writer, "{} {on}{level:<5}{off} {}{}", Utc(now), text.message, text.fields)
}

/// An event's message and its other fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.fields.push_str(&format!(" {name}={value:?}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields.push_str(&format!(" {name}={value:?}")),
        }
    }
}

const fn paint(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// Time since 1970 as `2026-11-23 19:30:01Z`.
struct Utc(Duration);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Day number since 1970 to year, month, day: Howard Hinnant's `civil_from_days`, for days after 1970.
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + (month <= 2) as u64, month, day)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Captured {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn logged(colour: bool, log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let lines = tracing_subscriber::fmt::layer()
            .event_format(Lines { json: Format::default().json(), colour })
            .with_writer(captured.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), log);
        String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn days_become_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_399, "2000-02-28 23:59:59Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_795_462_201, "2026-11-23 19:30:01Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
        ] {
            assert_eq!(Utc(Duration::from_secs(seconds)).to_string(), expected);
        }
    }

    #[test]
    fn human_lines_are_time_level_message_fields() {
        let line = logged(false, || tracing::info!(pid = 7, name = "a b", "listening at {}", "http://x"));
        assert_eq!(&line[20..], " INFO  listening at http://x pid=7 name=\"a b\"\n");
    }

    #[test]
    fn colour_is_around_the_level_only() {
        let line = logged(true, || tracing::warn!("careful"));
        assert_eq!(&line[20..], " \x1b[33mWARN \x1b[0m careful\n");
    }

    #[test]
    fn wsgi_errors_are_printed_as_they_are() {
        let line = logged(false, || tracing::error!(target: "wsgi.errors", "Traceback\n  File\n"));
        assert_eq!(line, "Traceback\n  File\n");
    }
}
