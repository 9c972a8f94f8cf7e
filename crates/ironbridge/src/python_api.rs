//! The Python module `ironbridge._native`: `main`, `serve`, `Server`.

use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use ironbridge_python::asgi::event_loop;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::application::search_path::Searched;
use crate::application::{self, Loaded};
use crate::options::Options;
use crate::signals::{Role, Signals};
use crate::sources::{Resolved, SourceError, Sources, keywords, known};
use crate::supervised::{self, Charge, House, Part, Site};
use crate::system::{SystemOptions, identity};
use crate::worker::{self, Controller, Outcome, StartError, Worker, WorkerOptions};
use crate::{cli, memory, shutdown};

/// Ironbridge's native part. Use it through the package ``ironbridge``.
#[pymodule(gil_used = false)]
pub mod _native {
    #[pymodule_export]
    use super::Server;
    #[pymodule_export]
    use super::main;
    #[pymodule_export]
    use super::serve;

    /// The version of this build.
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        use pyo3::types::{PyAnyMethods, PyModuleMethods};
        let exception = module.py().get_type::<ironbridge_python::asgi::values::ClientDisconnected>();
        module.add("ClientDisconnected", exception)?;
        module
            .add("RequestTimeout", module.py().get_type::<ironbridge_python::overtime::RequestTimeout>())?;
        // Not in __all__: it is for tests.
        module.setattr("_new_event_loop", pyo3::wrap_pyfunction!(super::new_event_loop, module)?)
    }
}

/// Run the command line.
///
/// Args:
///     argv: The arguments, without the program's name.
///
/// Returns:
///     The exit code: 0 when all is well, 2 for a mistake in the options, 3 when the application does not load.
#[pyfunction]
fn main(py: Python<'_>, argv: Vec<OsString>) -> i32 {
    cli::run(py, argv)
}

/// The event loop of ASGI applications without a server, for tests.
#[pyfunction(name = "_new_event_loop")]
fn new_event_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    event_loop::standalone(py)
}

/// Serve a WSGI (PEP 3333) or ASGI (3.0, 2.0) application until the process is told to stop.
///
/// In the main thread, SIGINT (Ctrl-C) and SIGTERM stop the server gracefully: it accepts nothing new and gives requests in
/// flight ``graceful_timeout`` seconds to finish. A second Ctrl-C ends it at once. In other threads signals are left alone.
/// Handlers that were installed before are put back afterwards.
///
/// With ``workers=4`` this process becomes the supervisor of four worker processes, which are forked (``os.fork``) and never
/// return from this call.
///
/// Args:
///     app: The application: a callable, or a string such as ``"shop.wsgi:application"``.
///     **options: Every option of the command line under its long name, with underscores: ``bind="127.0.0.1:8000"``,
///         ``threads=64``, ``graceful_timeout=30.0``. ``ironbridge --help`` lists them. ``None`` means "not given". They win over
///         the environment (``IRONBRIDGE_*``), and that over ``ironbridge.toml``.
///
/// Raises:
///     TypeError: An option does not exist, has a value of the wrong type, or ``app`` is no application.
///     ValueError: An option has a value that it does not take, or ``app`` is a string that names nothing.
///     OSError: An address cannot be bound.
///     RuntimeError: With ``workers``: not in the main thread, or no worker starts.
///     Exception: Whatever importing the application raises.
#[pyfunction]
#[pyo3(signature = (app, **options))]
fn serve(py: Python<'_>, app: &Bound<'_, PyAny>, options: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
    let sources = read_options("serve", options, &[], py)?;
    let options = first_options(&sources)?;
    identity::restrict(&options.system);
    memory::share_arenas();
    supervised::greet(py, &options)?;
    if options.processes.workers > 1 {
        return supervise(app, &sources, options);
    }
    let (system, all) = (options.system.clone(), options.clone());
    identity::extend_environment(py, &system, sources.start()).map_err(PyValueError::new_err)?;
    let (listeners, _pid_file) = House::open(py, &options, sources.start()).map_err(exception)?.into_parts();
    let (app, options) = load(app, &options)?;
    let app = cli::initialize(py, app, &all)
        .map_err(|_| PyRuntimeError::new_err("a hook of the configuration file failed; the log says why"))?;
    let signals = Signals::install(py, Role::Guest)?;
    let made = identity::assume(py, &system)
        .map_err(StartError::Config)
        .and_then(|()| Worker::new(app, listeners, &options));
    let worker = match made {
        Ok(worker) => worker,
        Err(error) => {
            signals.map(|signals| signals.restore(py)).transpose()?;
            return Err(exception(error));
        }
    };
    let listening = signals.map(|signals| signals.listen(worker.controller())).transpose()?;
    if let Err(error) = py.detach(|| worker.start()) {
        listening.map(|listening| listening.restore(py)).transpose()?;
        return Err(exception(error));
    }
    cli::announce(&worker);
    let outcome = py.detach(|| worker.run());
    report(outcome);
    listening.map_or(Ok(()), |listening| listening.restore(py))
}

/// A server in the background, for tests and notebooks.
///
/// Example:
///     >>> with ironbridge.Server(app) as server:
///     ...     urllib.request.urlopen(server.url).read()
///
/// It listens on a free port of 127.0.0.1 unless ``bind`` is given, and logs warnings and errors only unless ``log_level``
/// is. It can be started again after it was stopped. Threads of the application that run longer than ``graceful_timeout`` after
/// ``stop()`` are left behind.
///
/// Args:
///     app: The application: a callable, or a string such as ``"shop.wsgi:application"``.
///     **options: As for :func:`serve`.
///
/// Raises:
///     TypeError: An option does not exist, has a value of the wrong type, or ``app`` is no application.
///     ValueError: An option has a value that it does not take, or ``app`` is a string that names nothing.
///     Exception: Whatever importing the application raises.
#[pyclass(frozen, module = "ironbridge")]
#[derive(Debug)]
pub struct Server {
    app: Loaded,
    options: WorkerOptions,
    running: std::sync::Mutex<Option<Running>>,
    /// It runs, or some thread is about to start it.
    claimed: AtomicBool,
}

/// A started server.
#[derive(Debug)]
struct Running {
    controller: Controller,
    urls: Vec<String>,
    thread: JoinHandle<()>,
}

#[pymethods]
impl Server {
    #[new]
    #[pyo3(signature = (app, **options))]
    fn new(app: &Bound<'_, PyAny>, options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let defaults = [("bind", "127.0.0.1:0"), ("log_level", "warn")];
        let options = first_options(&read_options("Server", options, &defaults, app.py())?)?;
        if options.processes.workers > 1 {
            return Err(PyValueError::new_err(
                "a Server is one process: use serve() for more than one worker",
            ));
        }
        let SystemOptions { pid_file, name, control_socket, user, group, umask, env_file } = &options.system;
        let given = [
            ("pid_file", pid_file.is_some()),
            ("name", name.is_some()),
            ("control_socket", control_socket.is_some()),
            ("user", user.is_some()),
            ("group", group.is_some()),
            ("umask", umask.is_some()),
            ("env_file", env_file.is_some()),
        ];
        if let Some((name, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
            let text = format!("a Server is part of a program, which decides about {name}");
            return Err(PyValueError::new_err(text));
        }
        let (app, options) = load(app, &options)?;
        Ok(Self { app, options, running: std::sync::Mutex::new(None), claimed: AtomicBool::new(false) })
    }

    /// Bind, and serve from a background thread. Returns when connections are accepted.
    ///
    /// Raises:
    ///     RuntimeError: The server runs already.
    ///     OSError: An address cannot be bound.
    fn start(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        if this.claimed.swap(true, Ordering::AcqRel) {
            return Err(PyRuntimeError::new_err("the server runs already"));
        }
        Self::start_claimed(slf).inspect_err(|_| this.claimed.store(false, Ordering::Release))
    }

    /// Stop gracefully, and wait until nothing is in flight any more. Does nothing when the server does not run.
    fn stop(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let Some(running) = this.lock(py)?.take() else { return Ok(()) };
        py.import("atexit")?.call_method1("unregister", (slf.getattr("stop")?,))?;
        let ended = py.detach(move || {
            running.controller.stop();
            running.thread.join()
        });
        this.claimed.store(false, Ordering::Release);
        ended.map_err(|_| PyRuntimeError::new_err("the server's thread died"))
    }

    /// Where the server listens, as a link: ``http://127.0.0.1:41234``. The first of ``urls``.
    ///
    /// Raises:
    ///     RuntimeError: The server does not run.
    #[getter]
    fn url(&self, py: Python<'_>) -> PyResult<String> {
        self.urls(py)?.into_iter().next().ok_or_else(|| PyRuntimeError::new_err("the server does not listen"))
    }

    /// All links, in the order of ``bind``.
    ///
    /// Raises:
    ///     RuntimeError: The server does not run.
    #[getter]
    fn urls(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let running = self.lock(py)?;
        running
            .as_ref()
            .map(|running| running.urls.clone())
            .ok_or_else(|| PyRuntimeError::new_err("the server does not run"))
    }

    /// All addresses as ``socket.connect`` takes them: ``("127.0.0.1", 41234)``, or the path of a unix socket.
    ///
    /// Raises:
    ///     RuntimeError: The server does not run.
    #[getter]
    fn addresses<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.urls(py)?.iter().map(|url| address(py, url)).collect()
    }

    fn __enter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        Self::start(&slf)?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(slf: &Bound<'_, Self>, _exception: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
        Self::stop(slf)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        match self.url(py) {
            Ok(url) => format!("<ironbridge.Server at {url}>"),
            Err(_) => "<ironbridge.Server, not running>".to_owned(),
        }
    }
}

impl Server {
    /// Starts the server for the only thread that may.
    fn start_claimed(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (app, options) = (this.app.clone_ref(py), this.options.clone());
        let (ready, started) = mpsc::channel();
        let body = move || serve_in_background(app, &options, &ready);
        let thread = thread::Builder::new().name("ironbridge-server".into()).spawn(body)?;
        let (controller, urls) = py
            .detach(move || started.recv())
            .map_err(|_| PyRuntimeError::new_err("the server's thread died"))?
            .map_err(exception)?;
        *this.lock(py)? = Some(Running { controller, urls, thread });
        // Without this, a program that forgets to stop the server would be torn down under its feet.
        py.import("atexit")?.call_method1("register", (slf.getattr("stop")?,))?;
        Ok(())
    }

    /// Held for a moment only, and never while Python runs other code.
    fn lock<'a>(&'a self, _py: Python<'_>) -> PyResult<std::sync::MutexGuard<'a, Option<Running>>> {
        self.running.lock().map_err(|_| PyRuntimeError::new_err("the server's state is lost"))
    }
}

type Started = Result<(Controller, Vec<String>), StartError>;

/// The worker is made in its own thread, so that no part of it ever has to change threads.
fn serve_in_background(app: Loaded, options: &WorkerOptions, ready: &mpsc::Sender<Started>) {
    let made = worker::bind(&options.http)
        .and_then(|listeners| Python::attach(|_| Worker::new(app, listeners, options)));
    let worker = match made.and_then(|worker| worker.start().map(|()| worker)) {
        Ok(worker) => worker,
        Err(error) => return drop(ready.send(Err(error))),
    };
    cli::announce(&worker);
    if ready.send(Ok((worker.controller(), worker.urls()))).is_ok() {
        report(worker.run());
    }
}

fn report(outcome: Outcome) {
    if let Outcome::Stuck { threads } = outcome {
        tracing::warn!("{threads} threads still run application code: left behind");
    }
}

/// Serves with worker processes.
fn supervise(app: &Bound<'_, PyAny>, sources: &Sources, options: Options) -> PyResult<()> {
    let py = app.py();
    // In the workers, so that a reload reads its code again.
    let name = app.cast::<PyString>().ok().map(ToString::to_string);
    let preloaded = match &name {
        Some(name) if options.processes.preload => Some(load(name.into_pyobject(py)?.as_any(), &options)?.0),
        Some(_) => None,
        None => Some(load(app, &options)?.0),
    };
    let house = House::open(py, &options, sources.start()).map_err(exception)?;
    let reread = || cli::reread(sources, |_| Ok(name.clone()));
    match supervised::run(py, Site { options, app: name.clone() }, house, reread)? {
        Part::Supervisor(0) => Ok(()),
        Part::Supervisor(code) => {
            let text =
                format!("no worker starts: the first one ended with exit code {code}; the log says why");
            Err(PyRuntimeError::new_err(text))
        }
        Part::Worker(charge) => {
            let Charge { site: Site { options, app }, listeners, muffled, tie } = *charge;
            let app = cli::settle_in(py, &options, sources.start()).and_then(|()| match preloaded {
                Some(app) => Ok(app),
                None => cli::load(py, &app.unwrap_or_default(), &options),
            });
            let app = app.and_then(|app| cli::initialize(py, app, &options));
            let served = app.and_then(|app| cli::serve(py, app, listeners, &options, Some((tie, muffled))));
            // The caller's program goes on in the supervisor only.
            shutdown::leave(py, cli::exit_code(served));
        }
    }
}

/// Where options come from; `defaults` are keywords that hold where the caller gives none.
fn read_options(
    function: &'static str,
    given: Option<&Bound<'_, PyDict>>,
    defaults: &[(&str, &str)],
    py: Python<'_>,
) -> PyResult<Sources> {
    let known = known::options();
    let all = PyDict::new(py);
    for (name, value) in defaults {
        all.set_item(name, value)?;
    }
    // None counts as not given, but an unknown name is a mistake whatever its value.
    for (name, value) in given.into_iter().flatten() {
        if !(value.is_none() && all.contains(&name)?) {
            all.set_item(name, value)?;
        }
    }
    keywords::settings(&known, function, Some(&all)).map(Sources::of_keywords).map_err(source_exception)
}

fn first_options(sources: &Sources) -> PyResult<Options> {
    let Resolved { options, warnings, .. } = sources.read().map_err(source_exception)?;
    cli::start_log(&options, sources.start()).map_err(PyValueError::new_err)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if let Some(folder) = &options.chdir {
        std::env::set_current_dir(folder)?;
    }
    Ok(options)
}

fn load(app: &Bound<'_, PyAny>, options: &Options) -> PyResult<(Loaded, WorkerOptions)> {
    let py = app.py();
    let loaded = match app.cast::<PyString>() {
        Ok(name) => {
            let searched = Searched::extend(py, &options.pythonpath)?;
            application::load(py, &name.to_string(), options.factory, options.python.interface, &searched)
        }
        Err(_) => application::adopt(app, options.factory, options.python.interface),
    };
    Ok((loaded.map_err(|error| error.into_exception(py))?, options.worker()))
}

fn source_exception(error: SourceError) -> PyErr {
    match error {
        SourceError::Unknown { .. } | SourceError::WrongType { .. } => {
            PyTypeError::new_err(error.to_string())
        }
        error => PyValueError::new_err(error.to_string()),
    }
}

fn exception(error: StartError) -> PyErr {
    match error {
        StartError::Bind(text) => PyOSError::new_err(text),
        StartError::Config(text) => PyValueError::new_err(text),
        StartError::App(error) => error,
        StartError::Lifespan(error) => PyRuntimeError::new_err(error.to_string()),
    }
}

/// `http://[::1]:80` as `("::1", 80)`, `unix:/run/x` as `"/run/x"`.
fn address<'py>(py: Python<'py>, url: &str) -> PyResult<Bound<'py, PyAny>> {
    let authority = url.split_once("://").map_or(url, |(_, authority)| authority).trim_end_matches('/');
    match authority.rsplit_once(':') {
        Some((host, port)) if !url.starts_with("unix:") => {
            let port: u16 =
                port.parse().map_err(|_| PyRuntimeError::new_err(format!("{url} has no port")))?;
            Ok((host.trim_matches(['[', ']']), port).into_pyobject(py)?.into_any())
        }
        _ => Ok(url.trim_start_matches("unix:").into_pyobject(py)?.into_any()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_addresses() {
        Python::attach(|py| {
            let text = |url| address(py, url).unwrap().repr().unwrap().to_string();
            assert_eq!(text("http://127.0.0.1:8000"), "('127.0.0.1', 8000)");
            assert_eq!(text("http://[::1]:80/"), "('::1', 80)");
            assert_eq!(text("unix:/run/x:y.sock"), "'/run/x:y.sock'");
        });
    }
}
