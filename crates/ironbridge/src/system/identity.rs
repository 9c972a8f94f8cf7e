//! Who the process is: user, group, umask, and further environment variables.
//!
//! All of it goes through Python's `os`: it knows what has to be told to whom (`os.environ`), and does it without unsafe code.

use std::path::Path;

use pyo3::{
    exceptions::{PyKeyError, PyOSError},
    prelude::*,
};
use rustix::{fs::Mode, process::umask};

use super::SystemOptions;

/// Sets the umask, if one is wanted.
pub fn restrict(options: &SystemOptions) {
    if let Some(bits) = options.umask {
        umask(Mode::from_raw_mode(bits as rustix::fs::RawMode));
    }
}

/// Adds the variables of the environment file, if there is one.
///
/// # Errors
/// One line for the user: the file cannot be read, or a line of it is no assignment.
pub fn extend_environment(py: Python<'_>, options: &SystemOptions, start: &Path) -> Result<(), String> {
    let Some(file) = &options.env_file else { return Ok(()) };
    let failed = |error: String| format!("option --env-file: {}: {error}", file.display());
    let lines = dotenvy::from_path_iter(start.join(file)).map_err(|error| failed(error.to_string()))?;
    let set = |name: &str, value: &str| -> PyResult<()> {
        py.import("os")?.getattr("environ")?.call_method1("setdefault", (name, value)).map(drop)
    };
    for line in lines {
        let (name, value) = line.map_err(|error| failed(error.to_string()))?;
        set(&name, &value).map_err(|error| failed(error.to_string()))?;
    }
    Ok(())
}

/// Becomes the user and the group that the application is to run as, for good.
///
/// # Errors
/// One line for the user: there is no such user or group, or this process may not become it.
pub fn assume(py: Python<'_>, options: &SystemOptions) -> Result<(), String> {
    let user = options.user.as_deref().map(|name| look_up_user(py, name)).transpose()?;
    let named = options.group.as_deref().map(|name| look_up_group(py, name)).transpose()?;
    let Some(group) = named.or(user.as_ref().map(|user| user.group)) else { return Ok(()) };
    let option = if options.group.is_some() { "group" } else { "user" };
    let os = py.import("os").map_err(|error| error.to_string())?;
    // The order matters: who is not root any more may change nothing.
    let refused = |option: &str| {
        let option = option.to_owned();
        move |error: PyErr| {
            format!("option --{option}: this process may not become it: {}", plain(py, &error))
        }
    };
    match &user {
        Some(User { name: Some(name), .. }) => {
            os.call_method1("initgroups", (name, group)).map_err(refused("user"))?;
        }
        // Root's other groups are nobody else's business.
        _ => drop(os.call_method1("setgroups", ([group],)).map_err(refused(option))?),
    }
    os.call_method1("setgid", (group,)).map_err(refused(option))?;
    if let Some(user) = &user {
        os.call_method1("setuid", (user.number,)).map_err(refused("user"))?;
    }
    Ok(())
}

struct User {
    number: u32,
    group: u32,
    /// Of numbers that have no entry there is none.
    name: Option<String>,
}

fn look_up_user(py: Python<'_>, text: &str) -> Result<User, String> {
    let find = || -> PyResult<Option<User>> {
        let users = py.import("pwd")?;
        let found = match text.parse::<u32>() {
            Ok(number) => users.call_method1("getpwuid", (number,)),
            Err(_) => users.call_method1("getpwnam", (text,)),
        };
        match found {
            Ok(entry) => Ok(Some(User {
                number: entry.getattr("pw_uid")?.extract()?,
                group: entry.getattr("pw_gid")?.extract()?,
                name: Some(entry.getattr("pw_name")?.extract()?),
            })),
            Err(error) if error.is_instance_of::<PyKeyError>(py) => {
                Ok(text.parse().ok().map(|number| User { number, group: number, name: None }))
            }
            Err(error) => Err(error),
        }
    };
    let found = find().map_err(|error| format!("option --user: {error}"))?;
    found.ok_or_else(|| format!("option --user: there is no user {text:?}"))
}

fn look_up_group(py: Python<'_>, text: &str) -> Result<u32, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let entry =
        py.import("grp").and_then(|groups| groups.call_method1("getgrnam", (text,))?.getattr("gr_gid"));
    match entry.and_then(|number| number.extract()) {
        Ok(number) => Ok(number),
        Err(error) if error.is_instance_of::<PyKeyError>(py) => {
            Err(format!("option --group: there is no group {text:?}"))
        }
        Err(error) => Err(format!("option --group: {error}")),
    }
}

/// An `OSError` in the system's words.
fn plain(py: Python<'_>, error: &PyErr) -> String {
    let words = error.value(py).getattr("strerror").ok().and_then(|words| words.extract().ok());
    words.filter(|_| error.is_instance_of::<PyOSError>(py)).unwrap_or_else(|| error.to_string())
}
