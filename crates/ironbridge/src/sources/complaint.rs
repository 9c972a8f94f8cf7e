//! clap's errors, which span several lines, in one.

use std::error::Error as _;

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What is wrong, without the option's name.
pub(super) fn reason(error: &Error) -> String {
    match error.kind() {
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => invalid_value(error),
        _ => first_line(error),
    }
}

/// The argument that the error is about, as far as it names it: `--threads`, `-x`, `b:b`.
pub(super) fn argument(error: &Error) -> Option<String> {
    let text = context(error, ContextKind::InvalidArg)?;
    Some(text.split([' ', '=']).next().unwrap_or_default().to_owned())
}

fn invalid_value(error: &Error) -> String {
    let value = context(error, ContextKind::InvalidValue).unwrap_or_default();
    let expected = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => plain(&source.to_string()),
        (None, Some(ContextValue::Strings(valid))) if !valid.is_empty() => {
            format!("expected one of {}", valid.join(", "))
        }
        _ => String::new(),
    };
    match (value.as_str(), expected.as_str()) {
        ("", "") => "needs a value".to_owned(),
        ("", expected) => format!("needs a value: {expected}"),
        (value, expected) => format!("invalid value {value:?}: {expected}"),
    }
}

/// A number parser's words in a user's.
fn plain(reason: &str) -> String {
    let range = reason.split_once(" is not in ").and_then(|(_, range)| range.split_once("..="));
    match (range, reason) {
        (Some((least, most)), _) => format!("expected a whole number from {least} to {most}"),
        (None, "invalid digit found in string") => "expected a whole number".to_owned(),
        (None, other) => other.to_owned(),
    }
}

fn context(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

fn first_line(error: &Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
