//! The options that exist, read off clap's definition.

use clap::{ArgAction, CommandFactory};

use crate::options::Options;

/// An option, as sources other than the command line see it.
#[derive(Debug, Clone)]
pub struct KnownOption {
    /// Its long name, with dashes; "app" for the application.
    pub name: String,
    /// What it takes.
    pub kind: Kind,
    /// Whether a file, the environment and `serve()` may set it too.
    pub reach: Reach,
    /// Whether it takes permission bits, which people write in octal.
    pub octal: bool,
    /// clap's name of it.
    pub id: String,
}

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it is given or not.
    Flag,
    /// One value.
    Value,
    /// Any number of values.
    List,
    /// One value without a name: the application.
    Positional,
}

/// Who may set an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Every source.
    Everywhere,
    /// Every source but the file: the option that names the file.
    NotFile,
    /// What says what this one run is for.
    CommandLine,
}

impl KnownOption {
    /// The name in Python: a keyword of `serve()`.
    pub fn keyword(&self) -> String {
        self.name.replace('-', "_")
    }

    /// The name of the environment variable.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.keyword().to_ascii_uppercase())
    }
}

/// All options in the order of `--help`.
pub fn options() -> Vec<KnownOption> {
    let command = Options::command();
    command
        .get_arguments()
        .filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version"))
        .map(known)
        .collect()
}

/// The option that is written like this, dashes and underscores being the same.
pub fn find<'a>(known: &'a [KnownOption], name: &str) -> Option<&'a KnownOption> {
    let name = name.replace('_', "-");
    known.iter().find(|option| option.name == name)
}

/// The most similar of `names`, if one is similar at all.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = names.into_iter().map(|name| (strsim::jaro_winkler(wrong, name), name));
    let best = scored.max_by(|(left, _), (right, _)| left.total_cmp(right))?;
    (best.0 > SIMILAR).then_some(best.1)
}

/// What to use instead of an option that does not exist: one that other servers call so, or the most similar one that all
/// sources take, by its long name.
pub fn nearest_option(known: &[KnownOption], wrong: &str) -> Option<String> {
    if let Some((_, ours)) = ELSEWHERE.iter().find(|(theirs, _)| *theirs == wrong.replace('_', "-")) {
        return Some((*ours).to_owned());
    }
    let names =
        known.iter().filter(|option| option.reach != Reach::CommandLine).map(|option| option.name.as_str());
    nearest(&wrong.replace('_', "-"), names).map(str::to_owned)
}

/// The complaint about a mode that was written as a decimal number.
pub const OCTAL: &str = "expected permission bits in octal: \"660\" or 0o660";

/// What the names of our environment variables begin with.
pub const PREFIX: &str = "IRONBRIDGE_";

/// Names that other servers have for options of ours.
const ELSEWHERE: [(&str, &str); 9] = [
    ("preload-app", "preload"),
    ("host", "bind"),
    ("port", "bind"),
    ("uds", "bind"),
    ("blocking-threads", "threads"),
    ("access-logfile", "access-log"),
    ("timeout-keep-alive", "keep-alive"),
    ("keepalive", "keep-alive"),
    ("timeout-graceful-shutdown", "graceful-timeout"),
];

/// Similarity (Jaro-Winkler) from which on a name is worth suggesting.
const SIMILAR: f64 = 0.85;

fn known(argument: &clap::Arg) -> KnownOption {
    let name = argument.get_long().map_or_else(|| argument.get_id().to_string(), str::to_owned);
    let kind = match argument.get_action() {
        _ if argument.is_positional() => Kind::Positional,
        ArgAction::SetTrue => Kind::Flag,
        ArgAction::Append => Kind::List,
        _ => Kind::Value,
    };
    let reach = match name.as_str() {
        "check" | "print-config" | "generate" => Reach::CommandLine,
        "config" => Reach::NotFile,
        _ => Reach::Everywhere,
    };
    let octal =
        argument.get_value_names().is_some_and(|names| names.iter().any(|name| name.as_str() == "MODE"));
    KnownOption { kind, reach, octal, id: argument.get_id().to_string(), name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(name: &str) -> KnownOption {
        find(&options(), name).unwrap().clone()
    }

    #[test]
    fn names_follow_from_the_long_option() {
        let option = option("graceful-timeout");
        assert_eq!(option.keyword(), "graceful_timeout");
        assert_eq!(option.variable(), "IRONBRIDGE_GRACEFUL_TIMEOUT");
    }

    #[test]
    fn kinds_follow_from_the_definition() {
        assert_eq!(option("app").kind, Kind::Positional);
        assert_eq!(option("factory").kind, Kind::Flag);
        assert_eq!(option("bind").kind, Kind::List);
        assert_eq!(option("pythonpath").kind, Kind::List);
        assert_eq!(option("threads").kind, Kind::Value);
        assert!(option("unix_socket_mode").octal);
    }

    #[test]
    fn only_similar_names_are_suggested() {
        let known = options();
        assert_eq!(nearest_option(&known, "thread").as_deref(), Some("threads"));
        assert_eq!(nearest_option(&known, "graceful_timout").as_deref(), Some("graceful-timeout"));
        for none in ["zzz", "certfile", "statsd-host"] {
            assert_eq!(nearest_option(&known, none), None, "{none}");
        }
        assert_eq!(nearest_option(&known, "port").as_deref(), Some("bind"));
    }
}
