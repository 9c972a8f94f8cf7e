//! The command line's run: options, application, worker, exit code.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::Path;

use ironbridge_http::{
    access_log::AccessLog,
    listener::{Listener, addresses},
};
use ironbridge_python::{asgi::lifespan::LifespanError, interface::Interface, wsgi::application::traceback};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;

use crate::application::search_path::Searched;
use crate::application::{self, LoadError, Loaded, report};
use crate::discovery::{self, Hints};
use crate::options::{Generate, Options};
use crate::recycling::{Limits, Spent};
use crate::signals::{Muffled, Role, Signals};
use crate::sources::{Resolved, SourceError, Sources, command_line, known};
use crate::supervised::{self, Charge, House, Part, Site, Tie};
use crate::system::{identity, systemd::Systemd};
use crate::worker::{Outcome, StartError, Worker};
use crate::{control, generate, logging, memory, shutdown};

/// Runs `ironbridge ARGUMENTS` and returns its exit code: 0 all is well, 1 a command to a running server failed, 2 the user's mistake,
/// 3 the application does not load, 130 interrupted while it loaded.
pub fn run(py: Python<'_>, arguments: Vec<OsString>) -> i32 {
    exit_code(try_run(py, arguments))
}

/// The exit code; says what is still to be said.
pub(crate) fn exit_code(result: Result<(), Stop>) -> i32 {
    let Err(Stop { code, text }) = result else { return 0 };
    if let Some(text) = text {
        complain(&format!("error: {text}"));
    }
    code
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
pub(crate) struct Stop {
    code: i32,
    text: Option<String>,
}

impl Stop {
    pub(crate) fn mistake(error: impl ToString) -> Self {
        Self { code: MISTAKE, text: Some(error.to_string()) }
    }

    fn failed(text: String) -> Self {
        Self { code: FAILED, text: Some(text) }
    }

    pub(crate) fn unexpected(error: PyErr) -> Self {
        Self { code: FAILED, text: Some(error.to_string()) }
    }
}

/// Commands about configurations of other servers.
const CHECK: &str = "check";
const MIGRATE: &str = "migrate";

const FAILED: i32 = 1;
const MISTAKE: i32 = 2;
const UNLOADABLE: i32 = 3;
/// 128 + SIGINT, as shells have it.
const INTERRUPTED: i32 = 130;

fn try_run(py: Python<'_>, mut arguments: Vec<OsString>) -> Result<(), Stop> {
    let word = arguments.first().and_then(|word| word.to_str()).unwrap_or_default().to_owned();
    let word = word.as_str();
    if let CHECK | MIGRATE = word {
        return translate(py, word, &arguments[1..]);
    }
    if let Some((word, _)) = control::COMMANDS.into_iter().find(|(name, _)| *name == word) {
        arguments.remove(0);
        return command(py, word, arguments);
    }
    let sources = match command_line::settings(&known::options(), arguments) {
        Ok(settings) => Sources::of_command_line(settings),
        Err(SourceError::Answer(text)) => return print(text.trim_end()),
        Err(error) => return Err(Stop::mistake(error)),
    };
    let resolved = sources.read().map_err(Stop::mistake)?;
    if let Some(table) = &resolved.table {
        resolved.warnings.iter().for_each(|warning| complain(warning));
        return print(table.trim_end());
    }
    memory::share_arenas();
    let options = prepare(resolved, sources.start())?;
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
    let start = sources.start().to_owned();
    if options.check {
        extend_environment(py, &options, &start)?;
        load(py, &name, &options)?;
        return check(&name, &options);
    }
    supervised::greet(py, &options).map_err(|error| raised(py, &error))?;
    let house = House::open(py, &options, &start).map_err(|error| start_failed(&error))?;
    if options.processes.no_supervisor {
        // The file is there until this function returns.
        let (listeners, _pid_file) = house.into_parts();
        settle_in(py, &options, &start)?;
        let app = initialize(py, load(py, &name, &options)?, &options)?;
        return serve(py, app, listeners, &options, None);
    }
    supervise(py, sources, Site { options, app: Some(name) }, house)
}

/// A command for a server that runs: `ironbridge reload`.
fn command(py: Python<'_>, word: &str, arguments: Vec<OsString>) -> Result<(), Stop> {
    let sources = match command_line::settings(&known::options(), arguments) {
        Ok(settings) => Sources::of_command_line(settings),
        Err(SourceError::Answer(text)) => return print(text.trim_end()),
        Err(error) => return Err(Stop::mistake(error)),
    };
    let Resolved { options, .. } = sources.read().map_err(Stop::mistake)?;
    let done = py.detach(|| control::client::run(word, &options, sources.start()));
    done.map_err(Stop::failed).and_then(|text| print(&text))
}

/// `ironbridge check gunicorn.conf.py`, `ironbridge migrate gunicorn ...`.
fn translate(py: Python<'_>, word: &str, arguments: &[OsString]) -> Result<(), Stop> {
    let usage = |text: &str| Stop::mistake(format!("{word}: {text}"));
    match (word, arguments) {
        (CHECK, [file]) => {
            let module = py.import("ironbridge._compat.check").map_err(Stop::unexpected)?;
            let examined = module.call_method1("examine", (file,)).and_then(|found| found.extract());
            let (text, is_fine): (String, bool) = examined.map_err(|error| Stop::mistake(error.value(py)))?;
            print(text.trim_end())?;
            if is_fine { Ok(()) } else { Err(Stop { code: FAILED, text: None }) }
        }
        (CHECK, _) => Err(usage("expected one file, such as gunicorn.conf.py")),
        (_, []) => Err(usage(
            "expected gunicorn.conf.py, uwsgi.ini, or a whole command line such as: gunicorn -w 4 shop.wsgi",
        )),
        (_, arguments) => {
            let module = py.import("ironbridge._compat.migrate").map_err(Stop::unexpected)?;
            let migrated = module.call_method1("migrate", (arguments.to_vec(),));
            let (text, report): (String, Vec<String>) =
                migrated.and_then(|found| found.extract()).map_err(|error| Stop::mistake(error.value(py)))?;
            report.iter().for_each(|line| complain(line));
            print(text.trim_end())
        }
    }
}

fn extend_environment(py: Python<'_>, options: &Options, start: &Path) -> Result<(), Stop> {
    identity::extend_environment(py, &options.system, start).map_err(Stop::mistake)?;
    match &options.configured {
        Some(configured) => configured.extend_environment(py).map_err(Stop::unexpected),
        None => Ok(()),
    }
}

/// In the process that is to serve, before the application is loaded.
pub(crate) fn settle_in(py: Python<'_>, options: &Options, start: &Path) -> Result<(), Stop> {
    extend_environment(py, options, start)?;
    identity::assume(py, &options.system).map_err(Stop::mistake)?;
    let Some(configured) = &options.configured else { return Ok(()) };
    configured.set_up_logging(py).map_err(|error| Stop::mistake(error.value(py)))?;
    configured.call(py, "post_fork", ()).map_err(|error| raised(py, &error))
}

/// The application as it is to be called, with what a configuration file puts around it.
pub(crate) fn initialize(py: Python<'_>, app: Loaded, options: &Options) -> Result<Loaded, Stop> {
    let Some(configured) = &options.configured else { return Ok(app) };
    let Loaded { callable, interface } = app;
    let kind = if interface == Interface::Wsgi { "wsgi" } else { "asgi" };
    configured.call(py, "post_worker_init", (&callable,)).map_err(|error| raised(py, &error))?;
    if interface == Interface::Asgi2 {
        tracing::warn!("pre_request and post_request are not called for an application of ASGI 2");
        return Ok(Loaded { callable, interface });
    }
    let callable = configured.wrap(py, callable, kind).map_err(|error| raised(py, &error))?;
    Ok(Loaded { callable, interface })
}

/// A hook that must not fail has failed.
fn raised(py: Python<'_>, error: &PyErr) -> Stop {
    complain(&format!("error: a hook of the configuration file failed\n{}", traceback(py, error)));
    Stop { code: UNLOADABLE, text: None }
}

/// All options again, for a reload; `app` names the application.
///
/// # Errors
/// What is wrong, in a line.
pub(crate) fn reread(
    sources: &Sources,
    app: impl FnOnce(&Options) -> Result<Option<String>, Stop>,
) -> Result<Site, String> {
    let site = sources.reread().map_err(Stop::mistake).and_then(|resolved| {
        let options = prepare(resolved, sources.start())?;
        Ok(Site { app: app(&options)?, options })
    });
    site.map_err(|Stop { text, .. }| text.unwrap_or_default())
}

/// Starts the log and goes to the site's folder.
pub(crate) fn prepare(
    Resolved { options, warnings, file, table: _ }: Resolved,
    start: &Path,
) -> Result<Options, Stop> {
    start_log(&options, start).map_err(Stop::mistake)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if let Some(file) = file {
        tracing::debug!("options read from {}", file.display());
    }
    // At a reload, what has this name may be another folder than it was.
    let (folder, what) = match &options.chdir {
        Some(folder) => (folder.as_path(), "option --chdir"),
        None => (start, "the folder of the start"),
    };
    let failed = |error| Stop::mistake(format!("{what}: {}: {error}", folder.display()));
    std::env::set_current_dir(start.join(folder)).map_err(failed)?;
    identity::restrict(&options.system);
    Ok(options)
}

/// Sends the log where the options say.
///
/// # Errors
/// One line for the user.
pub(crate) fn start_log(options: &Options, start: &Path) -> Result<(), String> {
    let file = &options.log_file;
    let path = if file.as_os_str() == "-" { file.clone() } else { start.join(file) };
    logging::write_to(&path).map_err(|error| format!("option --log-file: {}: {error}", file.display()))?;
    logging::init(options.log_level, options.log_format);
    Ok(())
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

pub(crate) fn load(py: Python<'_>, name: &str, options: &Options) -> Result<Loaded, Stop> {
    for folder in options.pythonpath.iter().filter(|folder| !folder.exists()) {
        tracing::warn!("pythonpath: {} does not exist", folder.display());
    }
    let searched = Searched::extend(py, &options.pythonpath).map_err(Stop::unexpected)?;
    application::load(py, name, options.factory, options.python.interface, &searched).map_err(|error| {
        match error {
            LoadError::Spec(error) => Stop::mistake(error),
            error => {
                report::print(py, &error);
                Stop { code: load_code(py, &error), text: None }
            }
        }
    })
}

fn load_code(py: Python<'_>, error: &LoadError) -> i32 {
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

/// Keeps workers alive; in a worker, serves.
fn supervise(py: Python<'_>, sources: Sources, site: Site, house: House) -> Result<(), Stop> {
    let start = sources.start().to_owned();
    let preloaded = match &site {
        Site { options, app: Some(name) } if options.processes.preload => {
            extend_environment(py, options, &start)?;
            let app = preload(py, name, options)?;
            if let Some(configured) = &options.configured {
                configured.tell(py, "preloaded", (&app.callable,));
            }
            Some(app)
        }
        _ => None,
    };
    let reread = {
        let is_preloaded = preloaded.is_some();
        move || {
            if is_preloaded {
                tracing::warn!("--preload: the new workers serve the code that was imported at the start");
            }
            reread(&sources, |options| application_name(options).map(Some))
        }
    };
    match supervised::run(py, site, house, reread).map_err(Stop::unexpected)? {
        Part::Supervisor(0) => {
            tracing::info!("stopped");
            Ok(())
        }
        Part::Supervisor(code) => Err(Stop { code, text: None }),
        Part::Worker(charge) => {
            let Charge { site: Site { options, app }, listeners, muffled, tie } = *charge;
            settle_in(py, &options, &start)?;
            let app = match preloaded {
                Some(app) => app,
                None => load(py, &app.unwrap_or_default(), &options)?,
            };
            let app = initialize(py, app, &options)?;
            serve(py, app, listeners, &options, Some((tie, muffled)))
        }
    }
}

/// Imports the application for all workers to come, and has the garbage collector leave alone what they share.
fn preload(py: Python<'_>, name: &str, options: &Options) -> Result<Loaded, Stop> {
    let app = load(py, name, options)?;
    let collector = py.import("gc").map_err(Stop::unexpected)?;
    for step in ["collect", "freeze"] {
        collector.call_method0(step).map_err(Stop::unexpected)?;
    }
    if let Ok(threads) = std::fs::read_dir("/proc/self/task").map(Iterator::count)
        && threads > 1
    {
        tracing::warn!(
            "--preload: importing {name} has started {}; it does not exist in workers, where what it holds stays locked",
            if threads == 2 { "a thread".to_owned() } else { format!("{} threads", threads - 1) }
        );
    }
    Ok(app)
}

/// Serves from this process. `tie`: it is a supervisor's worker.
pub(crate) fn serve(
    py: Python<'_>,
    app: Loaded,
    listeners: Vec<Listener>,
    options: &Options,
    tie: Option<(Tie, Muffled)>,
) -> Result<(), Stop> {
    let (tie, muffled) = tie.unzip();
    let role = if tie.is_some() { Role::Worker } else { Role::Alone };
    let signals = Signals::take_over(py, role, muffled.unwrap_or_default()).map_err(Stop::unexpected)?;
    let mut worker = Worker::new(app, listeners, &options.worker()).map_err(|error| start_failed(&error))?;
    let (to_ask, to_end) = (tie.clone(), worker.controller());
    let limits = Limits::choose(&options.processes.recycling);
    worker.recycle(limits, move |spent| match (spent, &to_ask) {
        (Spent::Tired(reason), Some(tie)) => tie.is_tired(reason),
        (Spent::Stuck(reason), Some(tie)) => {
            tracing::error!("{reason}");
            tie.is_tired("a request is stuck".to_owned());
        }
        (Spent::Stuck(reason), None) => {
            tracing::error!("{reason}; there is no supervisor to replace this server")
        }
        // Whoever has started it may start another one.
        (Spent::Tired(reason), None) => {
            tracing::warn!("ending, for there is no supervisor to replace this server: {reason}");
            to_end.stop();
        }
        (Spent::Dangerous(reason), _) => {
            tracing::error!("ending at once: {reason}");
            if let Some(tie) = &to_ask {
                tie.is_tired(reason);
            }
            to_end.kill();
        }
    });
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
    match &tie {
        Some(tie) => {
            let told = tie.serves(worker.interface().name(), worker.controller());
            told.map_err(|error| Stop::unexpected(error.into()))?;
        }
        None => {
            announce(&worker);
            Systemd::new().ready("serving");
        }
    }
    let controller = worker.controller();
    let configured = options.configured.as_deref();
    if tie.is_none()
        && let Some(configured) = configured
    {
        configured.tell(py, "when_ready", ());
    }
    if let Some(tie) = &tie {
        let tie = tie.clone();
        controller.on_stop(move || tie.shows("finishing requests"));
    }
    let outcome = py.detach(|| worker.run());
    if let Some(configured) = configured {
        if controller.is_killed() {
            configured.tell(py, "worker_int", ());
        }
        configured.tell(py, "worker_exit", ());
        if tie.is_none() {
            configured.tell(py, "on_exit", ());
        }
    }
    // Handlers stay until the end of a process that cannot end by itself: a last Ctrl-C still has to work.
    if let Outcome::Stuck { threads } = outcome {
        tracing::warn!("{threads} threads still run application code: leaving without them");
        shutdown::leave(py, 0);
    }
    match tie {
        // Its supervisor says that all have stopped.
        Some(_) => tracing::debug!("worker stopped"),
        None => tracing::info!("stopped"),
    }
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
