//! What a worker and its supervisor tell each other, over a pair of sockets.
//!
//! A worker says lines. The supervisor says one thing only, that the end is near; and its end closes with it, which is how a worker
//! notices that it is alone.

use std::{
    io::{self, ErrorKind, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

/// The supervisor's end.
#[derive(Debug)]
pub struct Link {
    socket: UnixStream,
    /// The begin of a line whose end has not come yet.
    rest: Vec<u8>,
    closed: bool,
}

/// The worker's end.
#[derive(Debug)]
pub struct Leash {
    socket: UnixStream,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It serves. With what it takes the application for.
    Ready(String),
    /// It has served for long enough, and asks for a replacement. With the reason.
    Tired(String),
}

impl Link {
    /// Both ends. None outlives an `exec`.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub fn pair() -> io::Result<(Self, Leash)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((Self { socket: ours, rest: Vec::new(), closed: false }, Leash { socket: theirs }))
    }

    /// All that the worker has said by now.
    pub fn news(&mut self) -> Vec<News> {
        let mut buffer = [0; 1024];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => self.closed = true,
                Ok(count) => {
                    self.rest.extend_from_slice(&buffer[..count]);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => self.closed |= error.kind() != ErrorKind::WouldBlock,
            }
            break;
        }
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        String::from_utf8_lossy(&lines).lines().filter_map(News::parse).collect()
    }

    /// Tells the worker that all are about to end, if it is still there.
    pub fn announce_end(&self) {
        // One byte always has room: nothing else is ever sent.
        let _ = (&self.socket).write_all(b"!");
    }

    /// To be waited for; `None` once the worker has closed its end, which then stays readable for ever.
    pub fn open(&self) -> Option<BorrowedFd<'_>> {
        (!self.closed).then(|| self.socket.as_fd())
    }
}

impl Leash {
    /// Tells the supervisor, if it is still there.
    pub fn tell(&self, news: &News) {
        let (word, text) = match news {
            News::Ready(text) => (READY, text),
            News::Tired(text) => (TIRED, text),
        };
        // A line break would begin another message.
        let line = format!("{word} {}\n", text.replace(['\r', '\n'], " "));
        // Gone: `wait_until_alone` will tell.
        let _ = (&self.socket).write_all(line.as_bytes());
    }

    /// Returns when the supervisor has ended, in whatever way. `on_announcement`: it has said that all are about to end.
    pub fn wait_until_alone(&self, on_announcement: impl Fn()) {
        let mut byte = [0];
        loop {
            match (&self.socket).read(&mut byte) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(1..) => on_announcement(),
                Ok(0) | Err(_) => return,
            }
        }
    }
}

impl News {
    fn parse(line: &str) -> Option<Self> {
        let (word, text) = line.split_once(' ')?;
        match word {
            READY => Some(Self::Ready(text.to_owned())),
            TIRED => Some(Self::Tired(text.to_owned())),
            _ => None,
        }
    }
}

const READY: &str = "ready";
const TIRED: &str = "tired";

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn news_arrive_whole_and_in_order() {
        let (mut link, leash) = Link::pair().unwrap();
        assert_eq!(link.news(), []);
        leash.tell(&News::Ready("WSGI".into()));
        leash.tell(&News::Tired("1000 requests\nand more".into()));
        (&leash.socket).write_all(b"rea").unwrap();
        let said = [News::Ready("WSGI".into()), News::Tired("1000 requests and more".into())];
        assert_eq!(link.news(), said);
        (&leash.socket).write_all(b"dy ASGI\nnonsense\n").unwrap();
        assert_eq!(link.news(), [News::Ready("ASGI".into())]);
        assert!(link.open().is_some());
        drop(leash);
        assert_eq!(link.news(), []);
        assert!(link.open().is_none());
    }

    #[test]
    fn a_worker_notices_that_it_is_alone() {
        let (link, leash) = Link::pair().unwrap();
        let (tell, told) = mpsc::channel();
        let waiting = thread::spawn(move || leash.wait_until_alone(|| tell.send(()).unwrap()));
        link.announce_end();
        told.recv().unwrap();
        assert!(!waiting.is_finished());
        drop(link);
        waiting.join().unwrap();
    }
}
