//! Options from `ironbridge.toml`, or from `[tool.ironbridge]` in `pyproject.toml`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::known::{self, Kind, KnownOption, Reach};
use super::{Place, Setting, SourceError};

/// A file of options, read.
#[derive(Debug)]
pub struct OptionsFile {
    path: PathBuf,
    table: Table,
}

/// Reads the file that was named, or else the one in `folder`, if there is one.
///
/// # Errors
/// The named file does not exist, or the file found is not TOML.
pub fn find(explicit: Option<&Path>, folder: &Path) -> Result<Option<OptionsFile>, SourceError> {
    if let Some(path) = explicit {
        let shared = path.file_name().is_some_and(|name| name == SHARED);
        return read(path, shared)
            .map(|table| Some(OptionsFile { path: path.to_owned(), table: table.unwrap_or_default() }));
    }
    for (name, shared) in [(OWN, false), (SHARED, true)] {
        let path = folder.join(name);
        if path.is_file()
            && let Some(table) = read(&path, shared)?
        {
            return Ok(Some(OptionsFile { path, table }));
        }
    }
    Ok(None)
}

impl OptionsFile {
    /// The file's keys as settings.
    ///
    /// # Errors
    /// An unknown key, or a value that its option does not take.
    pub fn settings(&self, known: &[KnownOption]) -> Result<Vec<Setting>, SourceError> {
        self.table.iter().map(|(key, value)| self.setting(known, key, value)).collect()
    }

    /// Where the file is.
    pub fn into_path(self) -> PathBuf {
        self.path
    }

    fn setting(&self, known: &[KnownOption], key: &str, value: &Value) -> Result<Setting, SourceError> {
        let place = Place::File(self.path.clone(), key.to_owned());
        let Some(option) = known::find(known, key) else {
            return Err(SourceError::Unknown { place, nearest: known::nearest_option(known, key) });
        };
        let values = match option.reach {
            Reach::Everywhere => values(option, value),
            Reach::NotFile => Err("a file cannot name another file"),
            Reach::CommandLine => Err("only the command line takes this option"),
        };
        match values {
            Ok(values) => Setting::new(option, values, place),
            Err(reason) => Err(SourceError::Invalid { place, reason: reason.to_owned() }),
        }
    }
}

/// The file that is all ours.
const OWN: &str = "ironbridge.toml";
/// The file in which we have a table.
const SHARED: &str = "pyproject.toml";

fn read(path: &Path, shared: bool) -> Result<Option<Table>, SourceError> {
    let failed = |reason: String| SourceError::File { path: path.to_owned(), reason };
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let table: Table = text.parse().map_err(|error| failed(syntax_error(&text, &error)))?;
    if !shared {
        return Ok(Some(table));
    }
    match table.get("tool").and_then(|tool| tool.get("ironbridge")) {
        None => Ok(None),
        Some(Value::Table(table)) => Ok(Some(table.clone())),
        Some(_) => Err(failed("tool.ironbridge: expected a table".to_owned())),
    }
}

fn syntax_error(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().replace('\n', ", ");
    match error.span() {
        Some(span) => format!("line {}: {message}", text[..span.start].matches('\n').count() + 1),
        None => message,
    }
}

fn values(option: &KnownOption, value: &Value) -> Result<Vec<OsString>, &'static str> {
    match (option.kind, value) {
        (Kind::Flag, Value::Boolean(flag)) => Ok(vec![flag.to_string().into()]),
        (Kind::Flag, _) => Err("expected true or false"),
        (Kind::List, Value::Array(items)) => items.iter().map(|item| scalar(option, item)).collect(),
        (_, value) => Ok(vec![scalar(option, value)?]),
    }
}

fn scalar(option: &KnownOption, value: &Value) -> Result<OsString, &'static str> {
    match value {
        Value::String(text) => Ok(text.into()),
        // 0o660 arrives here as 432: TOML keeps no trace of how a number was written.
        Value::Integer(mode @ 0..=0o777) if option.octal => Ok(format!("{mode:o}").into()),
        Value::Integer(_) if option.octal => Err(known::OCTAL),
        Value::Integer(number) => Ok(number.to_string().into()),
        Value::Float(number) => Ok(number.to_string().into()),
        Value::Boolean(_) => Err("expected a value, not true or false"),
        Value::Array(_) => Err("expected one value, not a list"),
        Value::Table(_) => Err("expected a value, not a table"),
        Value::Datetime(_) => Err("expected a value, not a date"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Vec<(String, Vec<OsString>)> {
        let file = OptionsFile { path: PathBuf::from("ironbridge.toml"), table: text.parse().unwrap() };
        let settings = file.settings(&known::options()).unwrap();
        settings.into_iter().map(|setting| (setting.option.name, setting.values)).collect()
    }

    #[test]
    fn keys_take_dashes_and_underscores() {
        let expected = vec![("queue-size".to_owned(), vec![OsString::from("3")])];
        assert_eq!(settings("queue-size = 3"), expected);
        assert_eq!(settings("queue_size = 3"), expected);
    }

    #[test]
    fn modes_are_octal_however_they_are_written() {
        for text in ["unix-socket-mode = 0o660", "unix-socket-mode = '660'"] {
            assert_eq!(settings(text)[0].1, [OsString::from("660")], "{text}");
        }
    }

    #[test]
    fn one_string_is_a_list_of_one() {
        assert_eq!(settings("bind = ':80'")[0].1, [OsString::from(":80")]);
    }
}
