//! `ironbridge reload` and its like: finds the server, asks it, and says what became of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use super::{Command, ERROR, OK};
use crate::options::Options;
use crate::system::pid_file;

/// Carries out `ironbridge WORD [ARGUMENT]`; the server is the one that the options name. Returns what is to be printed.
///
/// # Errors
/// One line for the user.
pub(crate) fn run(word: &str, options: &Options, start: &Path) -> Result<String, String> {
    let argument = options.app.as_deref();
    let wants_json = word == super::STATUS && argument == Some("json");
    let command = Command::parse(word, argument.filter(|_| !wants_json))?;
    if let Some(socket) = &options.system.control_socket {
        let text = ask(&start.join(socket), command)?;
        return Ok(match command {
            Command::Status if !wants_json => describe(&text),
            _ => text,
        });
    }
    let Some(file) = &options.system.pid_file else {
        return Err(format!(
            "{word}: which server? Say --control-socket or --pid-file, as its own options do, or set it in ironbridge.toml"
        ));
    };
    signal(&start.join(file), command)
}

/// Asks by the control socket.
fn ask(path: &Path, command: Command) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("control socket {}: {error}", path.display());
    let mut stream = UnixStream::connect(path).map_err(failed)?;
    writeln!(stream, "{}", command.line()).map_err(failed)?;
    let mut reader = BufReader::new(stream);
    let mut answer = String::new();
    reader.read_line(&mut answer).map_err(failed)?;
    let answer = answer.trim_end();
    if let Some(reason) = answer.strip_prefix(ERROR) {
        return Err(reason.to_owned());
    }
    let Some(text) = answer.strip_prefix(OK.trim_end()) else {
        return Err("the server has ended without an answer".to_owned());
    };
    if command == Command::Stop {
        // It closes when the server ends.
        let _ = reader.read_to_end(&mut Vec::new());
        return Ok("stopped".to_owned());
    }
    Ok(text.trim_start().to_owned())
}

/// Asks by a signal, to which there is no answer.
fn signal(path: &Path, command: Command) -> Result<String, String> {
    let failed = |what: &str| format!("pid file {}: {what}", path.display());
    let number = pid_file::read(path).map_err(|error| failed(&error.to_string()))?;
    let pid = number.and_then(|number| i32::try_from(number).ok()).and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| failed("there is no process id in it"))?;
    let gone = || failed(&format!("process {pid} does not run"));
    let send = |signal| match kill_process(pid, signal) {
        Err(Errno::SRCH) => Err(gone()),
        Err(error) => Err(failed(&format!("process {pid}: {error}"))),
        Ok(()) => Ok(()),
    };
    match command {
        Command::Reload => {
            send(Signal::HUP).map(|()| "asked to reload; the log says what becomes of it".to_owned())
        }
        Command::Upgrade => {
            send(Signal::USR2).map(|()| "asked to upgrade; the log says what becomes of it".to_owned())
        }
        Command::ReopenLogs => send(Signal::USR1).map(|()| "asked to open log files again".to_owned()),
        Command::Stop => {
            send(Signal::TERM)?;
            // It is nobody's child here, and not every system lets one wait for somebody else's.
            while test_kill_process(pid).is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok("stopped".to_owned())
        }
        Command::Status => match test_kill_process(pid) {
            Err(Errno::SRCH) => Err(gone()),
            _ => Ok(format!("process {pid} runs; a server with --control-socket says more")),
        },
        Command::Scale(_) => Err("scale: a server hears this by its --control-socket only".to_owned()),
    }
}

/// A status for people.
fn describe(json: &str) -> String {
    let Ok(status) = serde_json::from_str::<Value>(json) else { return json.to_owned() };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut lines = vec![format!(
        "ironbridge {} is {}, process {}, for {}",
        text(&status["version"]),
        text(&status["state"]),
        status["pid"],
        age(&status["age"])
    )];
    let list = |key: &str| status[key].as_array().cloned().unwrap_or_default();
    lines.extend(list("listening").iter().map(|url| format!("listening at {}", text(url))));
    lines.push(format!("{} workers wanted, generation {}", status["wanted"], status["generation"]));
    for worker in list("workers") {
        let memory = worker["memory"].as_u64().map(|bytes| format!(", {} MB", bytes / 1_000_000));
        lines.push(format!(
            "worker {}: {}, generation {}, for {}{}",
            worker["pid"],
            text(&worker["state"]),
            worker["generation"],
            age(&worker["age"]),
            memory.unwrap_or_default()
        ));
    }
    lines.join("\n")
}

fn age(seconds: &Value) -> String {
    let seconds = seconds.as_f64().unwrap_or(0.0);
    match seconds {
        0.0..90.0 => format!("{seconds:.0} s"),
        90.0..5400.0 => format!("{:.0} min", seconds / 60.0),
        5400.0..129_600.0 => format!("{:.0} h", seconds / 3600.0),
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}
