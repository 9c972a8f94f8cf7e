//! Where lines end up: a file, or the standard output.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileTypeExt,
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// An open log.
#[derive(Debug)]
pub(super) struct Sink {
    file: File,
    /// Where to open it anew; none for descriptors that were given to us.
    path: Option<PathBuf>,
    /// The most bytes in a write, if one line does not need more.
    portion: usize,
    /// Whether a failed write left half a line behind.
    torn: bool,
}

impl Sink {
    /// Opens a file for appending, or the standard output for `-`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::from_fd(io::stdout().as_fd().try_clone_to_owned()?));
        }
        // The file may be reopened after a change of the working folder.
        let path = std::path::absolute(path)?;
        let mut sink = Self::from_fd(append_to(&path)?.into());
        sink.path = Some(path);
        Ok(sink)
    }

    pub(super) fn from_fd(fd: OwnedFd) -> Self {
        let file = File::from(fd);
        let is_pipe = file.metadata().is_ok_and(|meta| meta.file_type().is_fifo());
        Self { file, path: None, portion: if is_pipe { PIPE_BUF } else { usize::MAX }, torn: false }
    }

    /// Writes whole lines. After an error some of them may have been written.
    pub(super) fn write(&mut self, mut lines: &[u8]) -> io::Result<()> {
        if self.torn && !lines.is_empty() {
            self.write_all(b"\n")?;
            self.torn = false;
        }
        while !lines.is_empty() {
            let (portion, rest) = lines.split_at(self.portion_of(lines));
            self.write_all(portion)?;
            lines = rest;
        }
        Ok(())
    }

    /// Opens the file under its path anew. On an error the old one stays.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.file = append_to(path)?;
            self.torn = false;
        }
        Ok(())
    }

    /// Other processes may write to the same pipe. Only up to `PIPE_BUF` bytes are sure to stay together (pipe(7)).
    fn portion_of(&self, lines: &[u8]) -> usize {
        if lines.len() <= self.portion {
            return lines.len();
        }
        match memchr::memrchr(b'\n', &lines[..self.portion]) {
            Some(end) => end + 1,
            None => memchr::memchr(b'\n', lines).map_or(lines.len(), |end| end + 1),
        }
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.torn = bytes[count - 1] != b'\n';
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Whoever shares the pipe with us made it non-blocking. This thread has time.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// What Linux promises; POSIX says at least 512.
const PIPE_BUF: usize = 4096;
const RETRY: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn sink(portion: usize) -> Sink {
        Sink { file: tempfile::tempfile().expect("a file"), path: None, portion, torn: false }
    }

    #[test]
    fn portions_end_with_a_line_and_only_long_lines_exceed_them() {
        let sink = sink(8);
        for (lines, expected) in [
            ("ab\n", 3),
            ("ab\ncd\n", 6),
            ("ab\ncd\nef\n", 6),
            ("abcdefg\nh\n", 8),
            ("abcdefghij\nk\n", 11),
            ("abcdefghij", 10),
        ] {
            assert_eq!(sink.portion_of(lines.as_bytes()), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        let mut sink = Sink::open(&path).expect("writable");
        sink.write_all(b"half a li").expect("writable");
        sink.write(b"").expect("nothing to do");
        sink.write(b"whole\n").expect("writable");
        sink.write(b"whole\n").expect("writable");
        assert_eq!(std::fs::read(&path).expect("written"), b"half a li\nwhole\nwhole\n");
    }

    #[test]
    fn a_full_pipe_that_does_not_block_is_waited_for() {
        let (mut reader, pipe) = io::pipe().expect("pipes can be made");
        rustix::io::ioctl_fionbio(&pipe, true).expect("allowed");
        let mut sink = Sink::from_fd(pipe.into());
        let line = [[b'x'; 99].as_slice(), b"\n"].concat();
        let lines = line.repeat(10_000);
        let expected = lines.len();
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        sink.write(&lines).expect("it is read");
        drop(sink);
        let all = reading.join().expect("no panic").expect("readable");
        assert_eq!(all.len(), expected);
    }
}
