//! The supervisor's side of the control socket. Nothing here waits.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Command, ERROR, OK};
use crate::doors::ControlSocket;

/// The socket, and those who have come to it.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
    socket: ControlSocket,
    callers: Vec<Caller>,
}

#[derive(Debug)]
struct Caller {
    stream: UnixStream,
    line: Vec<u8>,
    came: Instant,
    /// What it has asked for and waits for.
    asked: Option<Command>,
}

impl Control {
    pub(crate) fn new(path: PathBuf, socket: ControlSocket) -> Self {
        Self { path, socket, callers: Vec::new() }
    }

    pub(crate) fn socket(&self) -> (&Path, &ControlSocket) {
        (&self.path, &self.socket)
    }

    /// The socket is this process's to remove.
    pub(crate) fn claim_file(&mut self) {
        self.socket.claim_file();
    }

    /// Another process has claimed the socket.
    pub(crate) fn leave_file(&mut self) {
        self.socket.leave_file();
    }

    /// One of them is readable when a command may have come. Who waits for its answer has nothing more to say.
    pub(crate) fn bells(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let room = self.callers.len() < MOST_CALLERS;
        let talking = self.callers.iter().filter(|caller| caller.asked.is_none());
        room.then(|| self.socket.as_fd()).into_iter().chain(talking.map(|caller| caller.stream.as_fd()))
    }

    /// When to look although no bell has rung.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let talking = self.callers.iter().filter(|caller| caller.asked.is_none());
        talking.map(|caller| caller.came + PATIENCE).min()
    }

    /// The commands that have come. Each is to be answered by [`Self::answer`].
    pub(crate) fn commands(&mut self) -> Vec<Command> {
        while self.callers.len() < MOST_CALLERS
            && let Ok(stream) = self.socket.listener().accept_unix()
        {
            if stream.set_nonblocking(true).is_ok() {
                self.callers.push(Caller { stream, line: Vec::new(), came: Instant::now(), asked: None });
            }
        }
        let mut commands = Vec::new();
        self.callers.retain_mut(|caller| match caller.hear() {
            Ok(None) => caller.asked.is_some() || caller.came.elapsed() < PATIENCE,
            Ok(Some(command)) => {
                commands.push(command);
                true
            }
            Err(reason) => {
                caller.reply(ERROR, &reason);
                false
            }
        });
        commands
    }

    /// Answers all who have asked for something like this.
    pub(crate) fn answer(&mut self, is_it: impl Fn(Command) -> bool, answer: &Result<String, String>) {
        self.callers.retain_mut(|caller| {
            if !caller.asked.is_some_and(&is_it) {
                return true;
            }
            match answer {
                Ok(text) => caller.reply(OK, text),
                Err(reason) => caller.reply(ERROR, reason),
            }
            // Who has asked for the end learns of it when the connection closes.
            caller.asked == Some(Command::Stop)
        });
    }
}

impl Caller {
    /// The command, once it has come whole.
    fn hear(&mut self) -> Result<Option<Command>, String> {
        if self.asked.is_some() {
            return match self.stream.read(&mut [0]) {
                Ok(0) => Err("the caller has gone".to_owned()),
                _ => Ok(None),
            };
        }
        // Much longer than a line: to close with something unread would lose the answer.
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the command did not come whole".to_owned()),
                Ok(count) => self.line.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
            if self.line.len() > LONGEST_LINE {
                return Err("the command is too long".to_owned());
            }
        }
        let Some(line) = self.line.strip_suffix(b"\n") else { return Ok(None) };
        let line = String::from_utf8_lossy(line);
        let (word, argument) = match line.split_once(' ') {
            Some((word, argument)) => (word, Some(argument)),
            None => (line.as_ref(), None),
        };
        self.asked = Some(Command::parse(word, argument)?);
        Ok(self.asked)
    }

    /// The socket's buffer has room for a line; who does not take it gets no other.
    fn reply(&mut self, word: &str, text: &str) {
        let line = format!("{word}{}\n", text.replace(['\r', '\n'], " "));
        let _: io::Result<()> = self.stream.write_all(line.as_bytes());
    }
}

/// Further callers wait in the kernel's queue.
const MOST_CALLERS: usize = 32;
const LONGEST_LINE: usize = 256;
/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use clap::Parser;

    use super::*;
    use crate::options::Options;

    fn control() -> (tempfile::TempDir, Control) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let options = Options::parse_from(["ironbridge"]);
        let socket = ControlSocket::open(&path, &options.http, None).unwrap();
        (folder, Control::new(path, socket))
    }

    fn ask(control: &Control, text: &str) -> UnixStream {
        let mut stream = UnixStream::connect(&control.path).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    }

    fn read(mut stream: UnixStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn only_its_own_user_can_reach_it() {
        let (_folder, control) = control();
        assert_eq!(std::fs::metadata(&control.path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn who_asks_is_answered_when_it_is_done() {
        let (_folder, mut control) = control();
        let reload = ask(&control, "reload\n");
        let half = ask(&control, "sta");
        assert_eq!(control.commands(), [Command::Reload]);
        (&half).write_all(b"tus\n").unwrap();
        assert_eq!(control.commands(), [Command::Status]);
        assert_eq!(control.commands(), []);
        control.answer(|command| command == Command::Status, &Ok("{}".into()));
        assert_eq!(read(half), "ok {}\n");
        control.answer(|command| command == Command::Reload, &Err("a\nb".into()));
        assert_eq!(read(reload), "error a b\n");
        assert_eq!(control.bells().count(), 1);
    }

    #[test]
    fn nonsense_is_refused_and_costs_nothing() {
        let (_folder, mut control) = control();
        for text in ["dance\n", "scale x\n", "\n", "reload now\n"] {
            let stream = ask(&control, text);
            assert_eq!(control.commands(), []);
            assert!(read(stream).starts_with("error "), "{text}");
        }
        let long = ask(&control, &"x".repeat(1000));
        assert_eq!(control.commands(), []);
        assert_eq!(read(long), "error the command is too long\n");
        drop(ask(&control, "rel"));
        assert_eq!(control.commands(), []);
        assert!(control.callers.is_empty());
    }

    #[test]
    fn who_waits_for_an_answer_and_leaves_makes_room() {
        let (_folder, mut control) = control();
        let callers: Vec<_> = (0..MOST_CALLERS).map(|_| ask(&control, "reload\n")).collect();
        assert_eq!(control.commands().len(), MOST_CALLERS);
        drop(callers);
        let _next = ask(&control, "status\n");
        assert_eq!(control.commands(), []);
        assert_eq!(control.commands(), [Command::Status]);
    }

    #[test]
    fn a_stop_keeps_the_connection_until_the_end() {
        let (_folder, mut control) = control();
        let stop = ask(&control, "stop\n");
        assert_eq!(control.commands(), [Command::Stop]);
        control.answer(|command| command == Command::Stop, &Ok(String::new()));
        assert_eq!(control.callers.len(), 1);
        drop(control);
        assert_eq!(read(stop), "ok \n");
    }
}
