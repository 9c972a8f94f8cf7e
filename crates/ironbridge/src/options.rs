//! All options: those of the command line's own, and those that the front end and the Python side declare.
//!
//! A field here (or in [`HttpOptions`], [`PythonOptions`]) is the only definition of an option. The command line,
//! the environment, the TOML file, `serve(**options)`, `--help`, the reference docs and the type stubs follow from it.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Parser, ValueEnum};
use ironbridge_http::options::HttpOptions;
use ironbridge_python::options::PythonOptions;

use crate::logging::LogFormat;
use crate::worker::WorkerOptions;

/// Serve a Python web application over HTTP.
///
/// Every option can also be set in ironbridge.toml or pyproject.toml ([tool.ironbridge]) under its long name,
/// or in the environment: --graceful-timeout is IRONBRIDGE_GRACEFUL_TIMEOUT.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "ironbridge",
    version,
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

    /// Read options from this TOML file, instead of ironbridge.toml or pyproject.toml. Its path is relative to the
    /// folder of the start, whatever --chdir says.
    #[arg(long, short = 'c', value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Seconds that requests in flight may take to finish when the server stops.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = ironbridge_http::options::parse_seconds)]
    pub graceful_timeout: f64,

    /// Least important log messages that are shown.
    #[arg(long, value_name = "LEVEL", value_enum, ignore_case = true, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,

    /// Format of the log on the standard error output.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,

    /// Load options and application, say whether all is well, and serve nothing.
    #[arg(long)]
    pub check: bool,

    /// Print the options' reference page, or their Python types.
    #[arg(long, value_name = "WHAT", hide = true)]
    pub generate: Option<Generate>,

    /// The front end's.
    #[command(flatten)]
    pub http: HttpOptions,

    /// The Python side's.
    #[command(flatten)]
    pub python: PythonOptions,
}

impl Options {
    /// The part that a worker needs.
    pub fn worker(&self) -> WorkerOptions {
        WorkerOptions {
            http: self.http.clone(),
            python: self.python.clone(),
            graceful_timeout: Duration::from_secs_f64(self.graceful_timeout),
        }
    }
}

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
    fn seconds_become_the_workers_duration() {
        let options = Options::parse_from(["ironbridge", "--graceful-timeout=0.5"]);
        assert_eq!(options.worker().graceful_timeout, Duration::from_millis(500));
    }
}
