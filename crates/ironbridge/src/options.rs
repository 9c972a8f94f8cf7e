//! All options: those of the command line's own, and those that the front end and the Python side declare.
//!
//! A field here (or in [`HttpOptions`], [`PythonOptions`]) is the only definition of an option. The command line,
//! the environment, the TOML file, `serve(**options)`, `--help`, the reference docs and the type stubs follow from it.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, Parser, ValueEnum};
use ironbridge_http::options::HttpOptions;
use ironbridge_python::options::PythonOptions;
use ironbridge_supervisor::fleet::{Plan, Strategy};

use crate::configured::Configured;
use crate::logging::LogFormat;
use crate::recycling::RecyclingOptions;
use crate::system::SystemOptions;
use crate::worker::WorkerOptions;

/// Serve a Python web application over HTTP.
///
/// Every option can also be set in ironbridge.toml or pyproject.toml ([tool.ironbridge]) under its long name,
/// or in the environment: --graceful-timeout is IRONBRIDGE_GRACEFUL_TIMEOUT.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "ironbridge",
    version,
    override_usage = "ironbridge [OPTIONS] [APP]\n       ironbridge COMMAND [OPTIONS]",
    after_help = crate::control::help(),
    args_override_self = true,
    allow_negative_numbers = true,
    max_term_width = 100
)]
pub struct Options {
    /// The application: module:attribute, module, module:factory(), or a path such as site/wsgi.py.
    /// Without it, the project in the current folder is looked for.
    #[arg(value_name = "APP")]
    pub app: Option<String>,

    /// APP names a function that takes no arguments and returns the application.
    #[arg(long)]
    pub factory: bool,

    /// Change to this folder first. It is where modules are searched and where relative paths start.
    #[arg(long, value_name = "DIR")]
    pub chdir: Option<PathBuf>,

    /// Folder in which Python modules are searched, after the current one. May be given several times.
    #[arg(long, value_name = "DIR")]
    pub pythonpath: Vec<PathBuf>,

    /// Read options from this TOML file, instead of ironbridge.toml or pyproject.toml, or from a Python file such as Gunicorn's
    /// gunicorn.conf.py. Its path is relative to the folder of the start, whatever --chdir says.
    #[arg(long, short = 'c', value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Seconds that requests in flight may take to finish when the server stops.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = ironbridge_http::options::parse_seconds, alias = "timeout-graceful-shutdown")]
    pub graceful_timeout: f64,

    /// Seconds for which a server that SIGTERM or `ironbridge stop` ends serves on, while --health-path answers 503: load balancers
    /// then send nothing more, and nothing is refused.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = ironbridge_http::options::parse_seconds)]
    pub shutdown_delay: f64,

    /// Least important log messages that are shown.
    #[arg(long, value_name = "LEVEL", value_enum, ignore_case = true, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,

    /// Format of the log.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,

    /// Write the log to this file instead of the standard error output ("-").
    #[arg(long, value_name = "FILE", default_value = "-", alias = "error-logfile")]
    pub log_file: PathBuf,

    /// Load options and application, say whether all is well, and serve nothing.
    #[arg(long)]
    pub check: bool,

    /// What a Python configuration file brings besides options.
    #[arg(skip)]
    pub configured: Option<Arc<Configured>>,

    /// Print every option with its value and where that comes from, and serve nothing.
    #[arg(long)]
    pub print_config: bool,

    /// Print the options' reference page, or their Python types.
    #[arg(long, value_name = "WHAT", hide = true)]
    pub generate: Option<Generate>,

    /// The supervisor's.
    #[command(flatten)]
    pub processes: ProcessOptions,

    /// The system's.
    #[command(flatten)]
    pub system: SystemOptions,

    /// The front end's.
    #[command(flatten)]
    pub http: HttpOptions,

    /// The Python side's.
    #[command(flatten)]
    pub python: PythonOptions,
}

/// Options of the supervisor.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Processes")]
pub struct ProcessOptions {
    /// Worker processes; auto: one for each CPU that the server may use. Without it, WEB_CONCURRENCY counts on the command
    /// line.
    #[arg(long, short = 'w', value_name = "COUNT", default_value = "1", value_parser = parse_workers)]
    pub workers: usize,

    /// Serve from this process itself. Nothing replaces it when it crashes, and it cannot be reloaded: for debuggers.
    #[arg(long)]
    pub no_supervisor: bool,

    /// How SIGHUP replaces workers: all, with twice as many for a moment, or rolling, one after the other.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = ReloadStrategy::All)]
    pub reload_strategy: ReloadStrategy,

    /// For development: reload when sources, templates or .env files change. An application that does not start is waited for.
    #[arg(long, conflicts_with_all = ["preload", "no_supervisor"])]
    pub reload: bool,

    /// Further file whose change reloads the application, or pattern of such files, such as data/**/*.yaml. May be given several
    /// times.
    #[arg(long, value_name = "FILE", alias = "reload-extra-file")]
    pub reload_extra: Vec<String>,

    /// Import the application once, before workers are forked, which then share its memory. Threads and connections that
    /// it opens at import do not work in workers, and SIGHUP does not read its code again.
    #[arg(long)]
    pub preload: bool,

    /// After what a worker is replaced.
    #[command(flatten)]
    pub recycling: RecyclingOptions,
}

/// How a reload replaces workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReloadStrategy {
    /// All at once.
    All,
    /// One after the other.
    Rolling,
}

fn parse_workers(text: &str) -> Result<usize, String> {
    let cpus = || thread::available_parallelism().map_or(1, NonZero::get);
    match text {
        "auto" => Ok(cpus().min(MOST_WORKERS)),
        _ => match text.parse() {
            Ok(count @ 1..=MOST_WORKERS) => Ok(count),
            _ => Err(format!("expected a whole number from 1 to {MOST_WORKERS}, or auto")),
        },
    }
}

/// More would only fight for the CPUs.
const MOST_WORKERS: usize = 1024;

impl Options {
    /// What the supervisor is to keep alive.
    pub fn plan(&self) -> Plan {
        let lifespan = self.python.lifespan_timeout;
        let end = self.graceful_timeout + if lifespan > 0.0 { lifespan } else { 0.0 };
        Plan {
            workers: self.processes.workers,
            strategy: match self.processes.reload_strategy {
                ReloadStrategy::All => Strategy::All,
                ReloadStrategy::Rolling => Strategy::Rolling,
            },
            waits: self.processes.reload,
            notice: Duration::from_secs_f64(self.shutdown_delay),
            patience: Duration::from_secs_f64(end) + LAST_PATIENCE,
        }
    }

    /// The part that a worker needs.
    pub fn worker(&self) -> WorkerOptions {
        WorkerOptions {
            http: self.http.clone(),
            python: self.python.clone(),
            graceful_timeout: Duration::from_secs_f64(self.graceful_timeout),
            shutdown_delay: Duration::from_secs_f64(self.shutdown_delay),
        }
    }
}

/// How long a worker may take to end beyond what its own deadlines allow; then it is killed.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// How important a log message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Each step of the machinery.
    Trace,
    /// Each connection.
    Debug,
    /// The server's life cycle.
    Info,
    /// We coped; look soon.
    Warn,
    /// Someone must act.
    Error,
}

impl ValueEnum for LogLevel {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Trace => PossibleValue::new("trace"),
            Self::Debug => PossibleValue::new("debug"),
            Self::Info => PossibleValue::new("info"),
            Self::Warn => PossibleValue::new("warn").alias("warning"),
            Self::Error => PossibleValue::new("error").alias("critical"),
        })
    }
}

/// What `--generate` prints. For maintainers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Generate {
    /// `docs/options.md`.
    Docs,
    /// `python/ironbridge/options.py`.
    Types,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn workers_are_a_number_or_one_for_each_cpu() {
        assert_eq!(parse_workers("4"), Ok(4));
        assert!(parse_workers("auto").is_ok_and(|count| count >= 1));
        for wrong in ["0", "-1", "1025", "all", ""] {
            assert_eq!(
                parse_workers(wrong),
                Err("expected a whole number from 1 to 1024, or auto".to_owned())
            );
        }
    }

    #[test]
    fn seconds_become_the_workers_duration() {
        let options = Options::parse_from(["ironbridge", "--graceful-timeout=0.5"]);
        assert_eq!(options.worker().graceful_timeout, Duration::from_millis(500));
    }
}
