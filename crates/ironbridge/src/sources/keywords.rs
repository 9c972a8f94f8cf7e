//! Options from the keywords of `serve()` and `Server()`.

use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::known::{self, Kind, KnownOption, Reach};
use super::{Place, Setting, SourceError};

/// Reads the keywords that `function` was called with. `None` counts as not given.
///
/// # Errors
/// An unknown keyword, a value of a type that no option takes, or one that the option refuses.
pub fn settings(
    known: &[KnownOption],
    function: &'static str,
    keywords: Option<&Bound<'_, PyDict>>,
) -> Result<Vec<Setting>, SourceError> {
    let mut settings = Vec::new();
    for (key, value) in keywords.into_iter().flatten() {
        let place = Place::Keyword(function, key.to_string());
        let Some(option) = find(known, &key.to_string()) else {
            let nearest = known::nearest_option(known, &key.to_string()).map(|name| name.replace('-', "_"));
            return Err(SourceError::Unknown { place, nearest });
        };
        if !value.is_none() {
            let values = values(option, &value)
                .map_err(|reason| SourceError::WrongType { place: place.clone(), reason })?;
            settings.push(Setting::new(option, values, place)?);
        }
    }
    Ok(settings)
}

/// The application is a parameter of its own, and keywords have no dashes.
fn find<'a>(known: &'a [KnownOption], keyword: &str) -> Option<&'a KnownOption> {
    known.iter().find(|option| {
        option.reach != Reach::CommandLine && option.kind != Kind::Positional && option.keyword() == keyword
    })
}

pub(super) fn values(option: &KnownOption, value: &Bound<'_, PyAny>) -> Result<Vec<OsString>, String> {
    let sequence = value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>();
    match option.kind {
        Kind::Flag if value.is_instance_of::<PyBool>() => {
            Ok(vec![if value.is(PyBool::new(value.py(), true)) { "true" } else { "false" }.into()])
        }
        Kind::Flag => Err(expected("True or False", value)),
        Kind::List if sequence => {
            let items = value.try_iter().map_err(|error| error.to_string())?;
            items.map(|item| scalar(option, &item.map_err(|error| error.to_string())?)).collect()
        }
        _ => Ok(vec![scalar(option, value)?]),
    }
}

fn scalar(option: &KnownOption, value: &Bound<'_, PyAny>) -> Result<OsString, String> {
    let number = value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>();
    let path = value.hasattr("__fspath__").unwrap_or(false);
    match number || path || value.is_instance_of::<PyString>() || value.is_instance_of::<PyFloat>() {
        // 0o660 is an int: without this it would be read back as 432.
        true if number && option.octal => octal(value),
        true if path => {
            value.extract().map(PathBuf::into_os_string).map_err(|error: PyErr| error.to_string())
        }
        true => value.str().and_then(|text| text.extract()).map_err(|error| error.to_string()),
        false => Err(expected("a string or a number", value)),
    }
}

fn octal(value: &Bound<'_, PyAny>) -> Result<OsString, String> {
    match value.extract::<u32>() {
        Ok(mode @ 0..=0o777) => Ok(format!("{mode:o}").into()),
        _ => Err(known::OCTAL.to_owned()),
    }
}

fn expected(what: &str, value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().qualname().map(|name| name.to_string()).unwrap_or_default();
    format!("expected {what}, not {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(code: &std::ffi::CStr) -> Result<Vec<(String, Vec<OsString>)>, String> {
        Python::attach(|py| {
            let keywords = py.eval(code, None, None).unwrap().cast_into::<PyDict>().unwrap();
            let settings =
                settings(&known::options(), "serve", Some(&keywords)).map_err(|error| error.to_string())?;
            Ok(settings.into_iter().map(|setting| (setting.option.name, setting.values)).collect())
        })
    }

    #[test]
    fn python_values_become_arguments() {
        let table = [
            (c"{'threads': 8}", "threads", vec!["8"]),
            (c"{'bind': 'localhost:1'}", "bind", vec!["localhost:1"]),
            (c"{'bind': ['a:1', 'b:2']}", "bind", vec!["a:1", "b:2"]),
            (c"{'bind': ()}", "bind", vec![]),
            (c"{'graceful_timeout': 0.5}", "graceful-timeout", vec!["0.5"]),
            (c"{'no_date_header': True}", "no-date-header", vec!["true"]),
            (c"{'no_date_header': False}", "no-date-header", vec!["false"]),
            (c"{'unix_socket_mode': 0o600}", "unix-socket-mode", vec!["600"]),
            (c"{'access_log': __import__('pathlib').Path('/tmp/x')}", "access-log", vec!["/tmp/x"]),
        ];
        for (code, name, values) in table {
            let values = values.into_iter().map(OsString::from).collect();
            assert_eq!(read(code), Ok(vec![(name.to_owned(), values)]), "{code:?}");
        }
        assert_eq!(read(c"{'threads': None}"), Ok(vec![]));
    }

    #[test]
    fn mistakes_name_the_keyword() {
        let table = [
            (c"{'thread': 8}", "serve(thread=...): unknown option; did you mean threads?"),
            (c"{'app': 'x'}", "serve(app=...): unknown option"),
            (c"{'check': True}", "serve(check=...): unknown option"),
            (c"{'threads': True}", "serve(threads=...): expected a string or a number, not bool"),
            (c"{'threads': [1]}", "serve(threads=...): expected a string or a number, not list"),
            (
                c"{'threads': 0}",
                "serve(threads=...): invalid value \"0\": expected a whole number from 1 to 4096",
            ),
            (
                c"{'unix_socket_mode': 660}",
                "serve(unix_socket_mode=...): expected permission bits in octal: \"660\" or 0o660",
            ),
            (c"{'factory': 1}", "serve(factory=...): expected True or False, not int"),
        ];
        for (code, message) in table {
            let found = read(code).unwrap_err();
            assert!(found.starts_with(message), "{found}\nexpected {message}");
        }
    }
}
