//! The command line's run: options, application, worker, exit code.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};

use ironbridge_http::{access_log::AccessLog, listener::addresses};
use ironbridge_python::asgi::lifespan::LifespanError;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;

use crate::application::search_path::Searched;
use crate::application::{self, LoadError, Loaded, report};
use crate::discovery::{self, Hints};
use crate::options::{Generate, Options};
use crate::signals::Signals;
use crate::sources::{self, Resolved, SourceError, command_line, known};
use crate::worker::{Outcome, StartError, Worker};
use crate::{generate, logging, memory, shutdown};

/// Runs `ironbridge ARGUMENTS` and returns its exit code: 0 all is well, 2 the user's mistake, 3 the application does not
/// load, 130 interrupted while it loaded.
pub fn run(py: Python<'_>, arguments: Vec<OsString>) -> i32 {
    match try_run(py, arguments) {
        Ok(()) => 0,
        Err(Stop { code, text }) => {
            if let Some(text) = text {
                complain(&format!("error: {text}"));
            }
            code
        }
    }
}

/// Prints a line for the user to the standard error output, which may be closed.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "ironbridge: {line}");
}

/// Says where the server listens, as links that terminals make clickable, and what it takes the application for.
pub(crate) fn announce(worker: &Worker) {
    for url in worker.urls() {
        tracing::info!("listening at {url}");
    }
    tracing::info!("serving an application that speaks {}", worker.interface().name());
}

/// An exit code other than 0, and what is still to be said.
struct Stop {
    code: i32,
    text: Option<String>,
}

impl Stop {
    fn mistake(error: impl ToString) -> Self {
        Self { code: MISTAKE, text: Some(error.to_string()) }
    }

    fn unexpected(error: PyErr) -> Self {
        Self { code: 1, text: Some(error.to_string()) }
    }
}

const MISTAKE: i32 = 2;
const UNLOADABLE: i32 = 3;
/// 128 + SIGINT, as shells have it.
const INTERRUPTED: i32 = 130;

fn try_run(py: Python<'_>, arguments: Vec<OsString>) -> Result<(), Stop> {
    let options = match resolve(arguments) {
        Ok(resolved) => prepare(resolved),
        Err(SourceError::Answer(text)) => return print(text.trim_end()),
        Err(error) => return Err(Stop::mistake(error)),
    }?;
    if let Some(what) = options.generate {
        return print(
            match what {
                Generate::Docs => generate::docs(),
                Generate::Types => generate::types(),
            }
            .trim_end(),
        );
    }
    let name = application_name(&options)?;
    let app = load(py, &name, &options)?;
    if options.check { check(&name, &options) } else { serve(py, app, &options) }
}

fn resolve(arguments: Vec<OsString>) -> Result<Resolved, SourceError> {
    let known = known::options();
    let highest = command_line::settings(&known, arguments)?;
    sources::resolve(&known, highest, std::env::vars_os(), std::path::Path::new(""))
}

/// Starts the log and goes to the site's folder.
fn prepare(Resolved { options, warnings, file }: Resolved) -> Result<Options, Stop> {
    memory::share_arenas();
    logging::init(options.log_level, options.log_format);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if let Some(file) = file {
        tracing::debug!("options read from {}", file.display());
    }
    if let Some(folder) = &options.chdir {
        let failed = |error| Stop::mistake(format!("option --chdir: {}: {error}", folder.display()));
        std::env::set_current_dir(folder).map_err(failed)?;
    }
    Ok(options)
}

fn application_name(options: &Options) -> Result<String, Stop> {
    if let Some(app) = &options.app {
        return Ok(app.clone());
    }
    let folder = std::env::current_dir().map_err(Stop::mistake)?;
    let choice = discovery::discover(&folder, &Hints::from_environment()).map_err(Stop::mistake)?;
    tracing::info!("serving {}: {}", choice.app, choice.reason);
    Ok(choice.app)
}

fn load(py: Python<'_>, name: &str, options: &Options) -> Result<Loaded, Stop> {
    for folder in options.pythonpath.iter().filter(|folder| !folder.exists()) {
        tracing::warn!("pythonpath: {} does not exist", folder.display());
    }
    let searched = Searched::extend(py, &options.pythonpath).map_err(Stop::unexpected)?;
    application::load(py, name, options.factory, options.python.interface, &searched).map_err(|error| {
        match error {
            LoadError::Spec(error) => Stop::mistake(error),
            error => {
                report::print(py, &error);
                Stop { code: exit_code(py, &error), text: None }
            }
        }
    })
}

fn exit_code(py: Python<'_>, error: &LoadError) -> i32 {
    match error {
        LoadError::Raised { error, .. } if error.is_instance_of::<PyKeyboardInterrupt>(py) => INTERRUPTED,
        _ => UNLOADABLE,
    }
}

fn check(name: &str, options: &Options) -> Result<(), Stop> {
    addresses(&options.http, std::env::var("PORT").ok().as_deref()).map_err(Stop::mistake)?;
    AccessLog::open(&options.http).map_err(Stop::mistake)?;
    print(&format!("ok: {name} loads, and the options are valid"))
}

fn serve(py: Python<'_>, app: Loaded, options: &Options) -> Result<(), Stop> {
    let signals = Signals::install(py).map_err(Stop::unexpected)?;
    let worker = Worker::new(app, &options.worker()).map_err(|error| start_failed(&error))?;
    let listening = signals.map(|signals| signals.listen(worker.controller()));
    let listening = listening.transpose().map_err(|error| Stop::unexpected(error.into()))?;
    if let Err(error) = py.detach(|| worker.start()) {
        complain(&format!("error: {error}"));
        // Its thread may hang in whatever keeps the application from starting.
        shutdown::leave(
            py,
            if matches!(error, StartError::Lifespan(LifespanError::Stopped)) { 0 } else { UNLOADABLE },
        );
    }
    announce(&worker);
    let outcome = py.detach(|| worker.run());
    // Handlers stay until the end of a process that cannot end by itself: a last Ctrl-C still has to work.
    if let Outcome::Stuck { threads } = outcome {
        tracing::warn!("{threads} threads still run application code: leaving without them");
        shutdown::leave(py, 0);
    }
    tracing::info!("stopped");
    match listening {
        Some(listening) => listening.leave(py).map_err(Stop::unexpected),
        None => Ok(()),
    }
}

fn start_failed(error: &StartError) -> Stop {
    match error {
        StartError::Bind(_) | StartError::Config(_) => Stop::mistake(error),
        StartError::App(_) | StartError::Lifespan(_) => {
            Stop { code: UNLOADABLE, text: Some(error.to_string()) }
        }
    }
}

/// A reader that has gone, as in `ironbridge --help | head`, has seen enough.
fn print(text: &str) -> Result<(), Stop> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Stop { code: 1, text: Some(format!("standard output: {error}")) })
        }
        _ => Ok(()),
    }
}
