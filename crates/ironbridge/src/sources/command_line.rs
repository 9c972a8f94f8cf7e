//! Options from the command line.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory};

use super::known::{self, Kind, KnownOption};
use super::{Place, Setting, SourceError, complaint};
use crate::options::Options;

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// The first argument that clap refuses; [`SourceError::Answer`] for `--help` and `--version`.
pub fn settings(known: &[KnownOption], arguments: Vec<OsString>) -> Result<Vec<Setting>, SourceError> {
    let argv = std::iter::once(OsString::from("ironbridge")).chain(arguments);
    let matches = Options::command().try_get_matches_from(argv).map_err(|error| refusal(known, &error))?;
    let given =
        known.iter().filter(|option| matches.value_source(&option.id) == Some(ValueSource::CommandLine));
    given.map(|option| Setting::new(option, values(option, &matches), place(option))).collect()
}

fn values(option: &KnownOption, matches: &ArgMatches) -> Vec<OsString> {
    match option.kind {
        Kind::Flag => vec!["true".into()],
        _ => matches.get_raw(&option.id).unwrap_or_default().map(ToOwned::to_owned).collect(),
    }
}

fn place(option: &KnownOption) -> Place {
    Place::CommandLine(match option.kind {
        Kind::Positional => "APP".to_owned(),
        _ => format!("--{}", option.name),
    })
}

fn refusal(known: &[KnownOption], error: &clap::Error) -> SourceError {
    let argument = complaint::argument(error).unwrap_or_default();
    let option = argument.starts_with('-');
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => SourceError::Answer(error.render().to_string()),
        ErrorKind::UnknownArgument if option => SourceError::Unknown {
            nearest: known::nearest_option(known, argument.trim_start_matches('-'))
                .map(|name| format!("--{name}")),
            place: Place::CommandLine(argument),
        },
        ErrorKind::UnknownArgument => SourceError::Invalid {
            place: Place::CommandLine(argument),
            reason: "only one application can be served".to_owned(),
        },
        _ => SourceError::Invalid { place: Place::CommandLine(argument), reason: complaint::reason(error) },
    }
}
