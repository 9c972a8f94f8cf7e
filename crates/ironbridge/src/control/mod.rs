//! Commands for a server that runs: `ironbridge reload`, `status` and so on.
//!
//! A command goes to the supervisor's control socket as one line. The answer is one line too, `ok ...` or `error ...`, given when
//! the command has been carried out, and the end of the connection.
//!
//! * [`Command`]: what can be asked for. [`server`]: the supervisor's side. [`client`]: the other one.

pub(crate) mod client;
pub(crate) mod server;

/// What a server can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Reload,
    Stop,
    Status,
    Scale(usize),
    ReopenLogs,
    Upgrade,
}

impl Command {
    /// The words of a command, from a line or a command line.
    ///
    /// # Errors
    /// What would be right.
    pub(crate) fn parse(word: &str, argument: Option<&str>) -> Result<Self, String> {
        match (word, argument) {
            (SCALE, Some(workers)) => match workers.parse() {
                Ok(workers @ 1..=1024) => Ok(Self::Scale(workers)),
                _ => Err(format!("{SCALE} {workers}: expected a number of workers from 1 to 1024")),
            },
            (SCALE, None) => Err(format!("{SCALE}: expected a number of workers")),
            (_, Some(argument)) => Err(format!("{word}: unexpected argument {argument}")),
            (RELOAD, None) => Ok(Self::Reload),
            (STOP, None) => Ok(Self::Stop),
            (STATUS, None) => Ok(Self::Status),
            (REOPEN_LOGS, None) => Ok(Self::ReopenLogs),
            (UPGRADE, None) => Ok(Self::Upgrade),
            (_, None) => Err(format!("{word}: unknown command")),
        }
    }

    /// The line that asks for it.
    pub(crate) fn line(self) -> String {
        match self {
            Self::Reload => RELOAD.to_owned(),
            Self::Stop => STOP.to_owned(),
            Self::Status => STATUS.to_owned(),
            Self::Scale(workers) => format!("{SCALE} {workers}"),
            Self::ReopenLogs => REOPEN_LOGS.to_owned(),
            Self::Upgrade => UPGRADE.to_owned(),
        }
    }
}

/// The words that are commands and no applications, each with its meaning.
pub(crate) const COMMANDS: [(&str, &str); 6] = [
    (RELOAD, "replace all workers, with new code and options; fails if the new ones do not start"),
    (STOP, "finish requests in flight, and end"),
    (STATUS, "say how the server and its workers are; with `status json`, for programs"),
    (SCALE, "scale N: run N workers from now on"),
    (REOPEN_LOGS, "open log files again, after they were moved away"),
    (UPGRADE, "have a new version of the program take over"),
];

/// The commands, for `--help`.
pub(crate) fn help() -> String {
    let lines = COMMANDS.iter().map(|(name, meaning)| format!("  {name:<12} {meaning}\n"));
    format!(
        "Commands for a server that runs, which --control-socket or --pid-file names:\n{}\n\nComing from another server:\n  \
         check FILE   say what becomes of each setting of a gunicorn.conf.py\n  \
         migrate ...  print ironbridge.toml for a gunicorn.conf.py, a uwsgi.ini, or a command line of gunicorn or uvicorn",
        lines.collect::<String>().trim_end()
    )
}

const RELOAD: &str = "reload";
const STOP: &str = "stop";
const STATUS: &str = "status";
const SCALE: &str = "scale";
const REOPEN_LOGS: &str = "logs-reopen";
const UPGRADE: &str = "upgrade";

/// What an answer begins with.
const OK: &str = "ok ";
const ERROR: &str = "error ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_words_with_at_most_one_argument() {
        for command in [
            Command::Reload,
            Command::Stop,
            Command::Status,
            Command::Scale(3),
            Command::ReopenLogs,
            Command::Upgrade,
        ] {
            let line = command.line();
            let (word, argument) = match line.split_once(' ') {
                Some((word, argument)) => (word, Some(argument)),
                None => (line.as_str(), None),
            };
            assert_eq!(Command::parse(word, argument), Ok(command));
            assert!(COMMANDS.iter().any(|(name, _)| *name == word));
        }
        for (word, argument) in [(SCALE, None), (SCALE, Some("0")), (RELOAD, Some("now")), ("", None)] {
            assert!(Command::parse(word, argument).is_err(), "{word} {argument:?}");
        }
    }
}
