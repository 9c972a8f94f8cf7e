//! Options from `IRONBRIDGE_*` variables.

use std::ffi::{OsStr, OsString};

use super::known::{self, Kind, KnownOption, PREFIX, Reach};
use super::{Place, Setting, SourceError};

/// What the environment says.
#[derive(Debug)]
pub struct Reading {
    /// Its settings.
    pub settings: Vec<Setting>,
    /// Variables that look like ours and are none.
    pub warnings: Vec<String>,
}

/// Picks our variables. An empty one counts as unset, as container tools pass those.
///
/// # Errors
/// The first variable with a value that its option does not take.
pub fn settings(
    known: &[KnownOption],
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Reading, SourceError> {
    let mut reading = Reading { settings: Vec::new(), warnings: Vec::new() };
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        match known.iter().find(|option| option.reach != Reach::CommandLine && option.variable() == name) {
            _ if value.is_empty() => {}
            Some(option) => reading.settings.push(setting(option, name, &value)?),
            None => reading.warnings.push(unknown(known, name)),
        }
    }
    Ok(reading)
}

/// What variables that platforms set say of options of ours. They count less than any other source: nobody has meant this one
/// server by them.
///
/// # Errors
/// As [`settings`].
pub fn defaults(
    known: &[KnownOption],
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<Setting>, SourceError> {
    let given = PLATFORM.iter().filter_map(|(name, option)| {
        let value = variable(name).filter(|value| !value.is_empty())?;
        Some(setting(known::find(known, option)?, name, &value))
    });
    given.collect()
}

/// Variables of hosting platforms, and the options that they mean.
const PLATFORM: [(&str, &str); 1] = [("WEB_CONCURRENCY", "workers")];

fn setting(option: &KnownOption, name: &str, value: &OsStr) -> Result<Setting, SourceError> {
    let place = Place::Environment(name.to_owned());
    let values = match option.kind {
        Kind::Flag => vec![boolean(value, &place)?.to_string().into()],
        Kind::List => list(value),
        Kind::Value | Kind::Positional => vec![value.to_owned()],
    };
    Setting::new(option, values, place)
}

fn boolean(value: &OsStr, place: &Place) -> Result<bool, SourceError> {
    match value.to_string_lossy().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        other => {
            let reason = format!("invalid value {other:?}: expected true or false");
            Err(SourceError::Invalid { place: place.clone(), reason })
        }
    }
}

/// A comma parts the values of a list. Text that is not UTF-8 is one value.
fn list(value: &OsStr) -> Vec<OsString> {
    match value.to_str() {
        Some(text) => {
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(OsString::from).collect()
        }
        None => vec![value.to_owned()],
    }
}

fn unknown(known: &[KnownOption], name: &str) -> String {
    let wrong = name[PREFIX.len()..].to_ascii_lowercase();
    let nearest =
        known::nearest_option(known, &wrong).and_then(|name| Some(known::find(known, &name)?.variable()));
    let hint = nearest.map(|variable| format!("; did you mean {variable}?")).unwrap_or_default();
    format!("environment variable {}: no such option, ignored{hint}", name.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Reading {
        settings(&known::options(), variables.iter().map(|(name, value)| (name.into(), value.into())))
            .unwrap()
    }

    #[test]
    fn booleans_have_four_spellings_each() {
        for (text, expected) in [
            ("1", true),
            ("TRUE", true),
            ("yes", true),
            ("on", true),
            ("0", false),
            ("False", false),
            ("no", false),
        ] {
            let reading = read(&[("IRONBRIDGE_FACTORY", text)]);
            assert_eq!(reading.settings[0].values, [OsString::from(expected.to_string())], "{text}");
        }
    }

    #[test]
    fn empty_variables_are_unset() {
        assert!(read(&[("IRONBRIDGE_THREADS", ""), ("IRONBRIDGE_FACTORY", "")]).settings.is_empty());
    }

    #[test]
    fn unknown_variables_are_a_warning_with_the_nearest_name() {
        let reading = read(&[("IRONBRIDGE_THREAD", "3"), ("IRONBRIDGE_ZZZZ", "3"), ("PATH", "/bin")]);
        assert_eq!(
            reading.warnings,
            [
                "environment variable IRONBRIDGE_THREAD: no such option, ignored; did you mean IRONBRIDGE_THREADS?",
                "environment variable IRONBRIDGE_ZZZZ: no such option, ignored",
            ]
        );
    }

    #[test]
    fn options_of_one_run_cannot_be_set_here() {
        assert_eq!(read(&[("IRONBRIDGE_CHECK", "1")]).warnings.len(), 1);
    }
}
