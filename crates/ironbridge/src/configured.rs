//! What a Python configuration file (`-c gunicorn.conf.py`) brings besides options: hooks, variables, the set-up of Python's logging.
//!
//! The Python package `ironbridge._compat` reads such files, and gives hooks the objects that they expect. This module calls it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::options::{LogLevel, Options};

/// Hooks, variables and logging of a configuration file.
#[derive(Debug)]
pub struct Configured {
    hooks: Option<Py<PyAny>>,
    logging: Option<Py<PyAny>>,
    environment: Py<PyAny>,
}

/// An option of the file.
#[derive(Debug)]
pub(crate) struct Given {
    /// Its keyword.
    pub(crate) option: String,
    pub(crate) value: Py<PyAny>,
    /// What error messages begin with.
    pub(crate) place: String,
}

/// A file, and the variable `GUNICORN_CMD_ARGS`, read.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) given: Vec<Given>,
    pub(crate) warnings: Vec<String>,
    pub(crate) configured: Configured,
}

/// Whether `--config` names a Python file, and not one in TOML.
pub(crate) fn is_python(file: &Path) -> bool {
    let text = file.to_string_lossy();
    text.starts_with("python:") || text.starts_with("file:") || text.ends_with(".py")
}

/// Executes a file and reads `arguments`, in `folder` if one is given.
///
/// # Errors
/// One line for the user.
pub(crate) fn read(
    py: Python<'_>,
    file: Option<&Path>,
    arguments: Option<&str>,
    folder: Option<&Path>,
) -> Result<Reading, String> {
    let load = || -> PyResult<Reading> {
        let module = py.import("ironbridge._compat.config")?;
        let found = module
            .call_method1("load", (file.map(Path::as_os_str), arguments, folder.map(Path::as_os_str)))?;
        let mut given = Vec::new();
        for item in found.getattr("given")?.try_iter()? {
            let item = item?;
            given.push(Given {
                option: item.getattr("option")?.extract()?,
                value: item.getattr("value")?.unbind(),
                place: item.getattr("place")?.extract()?,
            });
        }
        let part = |name| {
            Ok::<_, PyErr>(Some(found.getattr(name)?).filter(|part| !part.is_none()).map(Bound::unbind))
        };
        Ok(Reading {
            given,
            warnings: found.getattr("warnings")?.extract()?,
            configured: Configured {
                hooks: part("hooks")?,
                logging: part("logging")?,
                environment: found.getattr("environment")?.unbind(),
            },
        })
    };
    load().map_err(|error| error.value(py).to_string())
}

impl Configured {
    /// Sets the file's variables.
    ///
    /// # Errors
    /// Python's.
    pub(crate) fn extend_environment(&self, py: Python<'_>) -> PyResult<()> {
        py.import("os")?.getattr("environ")?.call_method1("update", (&self.environment,)).map(drop)
    }

    /// Sets up Python's logging.
    ///
    /// # Errors
    /// The configuration's.
    pub(crate) fn set_up_logging(&self, py: Python<'_>) -> PyResult<()> {
        self.logging.as_ref().map_or(Ok(()), |logging| logging.call_method0(py, "apply").map(drop))
    }

    /// Calls a hook, if there are any. Which ones there are is the Python side's business.
    ///
    /// # Errors
    /// What the hook raises, where that ends the server.
    pub(crate) fn call<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        arguments: impl PyCallArgs<'py>,
    ) -> PyResult<()> {
        let Some(hooks) = &self.hooks else { return Ok(()) };
        hooks.bind(py).call_method1(name, arguments).map(drop)
    }

    /// As [`Self::call`], where the server goes on whatever happens.
    pub(crate) fn tell<'py>(&self, py: Python<'py>, name: &str, arguments: impl PyCallArgs<'py>) {
        if let Err(error) = self.call(py, name, arguments) {
            tracing::error!("the hook {name} of the configuration file has failed: {error}");
        }
    }

    /// Says what options are in the end.
    ///
    /// # Errors
    /// Python's.
    pub(crate) fn settle(&self, py: Python<'_>, options: &Options) -> PyResult<()> {
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let all = PyDict::new(py);
        all.set_item("workers", options.processes.workers)?;
        all.set_item("threads", options.python.threads)?;
        all.set_item("backlog", options.http.backlog)?;
        all.set_item("max_requests", options.processes.recycling.max_requests)?;
        all.set_item("max_requests_jitter", options.processes.recycling.max_requests_jitter)?;
        all.set_item("request_timeout", options.python.request_timeout)?;
        all.set_item("graceful_timeout", options.graceful_timeout)?;
        all.set_item("preload", options.processes.preload)?;
        let level = match options.log_level {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        };
        all.set_item("log_level", level)?;
        let known = [
            ("app", options.app.clone()),
            ("chdir", text(&options.chdir)),
            ("pid_file", text(&options.system.pid_file)),
        ];
        for (name, value) in known.into_iter().filter(|(_, value)| value.is_some()) {
            all.set_item(name, value)?;
        }
        if !options.http.bind.is_empty() {
            all.set_item("bind", &options.http.bind)?;
        }
        self.call(py, "settle", (all,))
    }

    /// The application with the file's `pre_request` and `post_request` around it.
    ///
    /// # Errors
    /// Python's.
    pub(crate) fn wrap(&self, py: Python<'_>, app: Py<PyAny>, interface: &str) -> PyResult<Py<PyAny>> {
        match &self.hooks {
            Some(hooks) => hooks.call_method1(py, "wrap", (app, interface)),
            None => Ok(app),
        }
    }

    /// Takes over what hooks have left behind on `server`.
    pub(crate) fn continue_from(&self, py: Python<'_>, previous: Option<&Arc<Self>>) {
        let hooks = previous.and_then(|previous| previous.hooks.as_ref()).map(|hooks| hooks.clone_ref(py));
        self.tell(py, "continue_from", (hooks,));
    }
}
