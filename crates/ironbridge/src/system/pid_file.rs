//! A file that says which process the server is.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};

/// A file with this process's id. Dropped in the same process, it removes the file, unless another process has replaced it.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    process: u32,
}

impl PidFile {
    /// Writes the file, unless there is a `predecessor`, which stands in it until [`Self::claim`].
    ///
    /// # Errors
    /// One line for the user: another process that lives stands in it, or it cannot be written.
    pub fn create(path: &Path, predecessor: Option<u32>) -> Result<Self, String> {
        let failed = |error: io::Error| format!("option --pid-file: {}: {error}", path.display());
        // A later change of the working folder must not change what is removed at the end.
        let path = std::path::absolute(path).map_err(failed)?;
        let process = std::process::id();
        match read(&path) {
            Ok(Some(other)) if other != process && Some(other) != predecessor && lives(other) => {
                return Err(format!("option --pid-file: {}: process {other} runs already", path.display()));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        if predecessor.is_none() {
            write(&path, process).map_err(failed)?;
        }
        Ok(Self { path, process })
    }

    /// Writes the file, in the place of a predecessor.
    ///
    /// # Errors
    /// The system's.
    pub fn claim(&self) -> io::Result<()> {
        write(&self.path, self.process)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if std::process::id() == self.process
            && matches!(read(&self.path), Ok(Some(pid)) if pid == self.process)
        {
            // At worst a stale file stays, which the next start replaces.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// The process id that a file holds; `None`: something else.
///
/// # Errors
/// The system's.
pub fn read(path: &Path) -> io::Result<Option<u32>> {
    // Whatever the file is, an id is short.
    let mut text = String::new();
    let read = io::Read::take(fs::File::open(path)?, 64);
    match io::Read::read_to_string(&mut { read }, &mut text) {
        Ok(_) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(error),
    }
}

fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

/// Nobody sees half of it.
fn write(path: &Path, pid: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut draft = tempfile::Builder::new().prefix(".").permissions(mode()).tempfile_in(folder)?;
    writeln!(draft, "{pid}")?;
    draft.persist(path).map(drop).map_err(|error| error.error)
}

fn mode() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_there_for_as_long_as_the_process_and_readable_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.pid");
        let file = PidFile::create(&path, None).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        drop(file);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn a_process_that_lives_is_in_the_way_and_one_that_does_not_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.pid");
        fs::write(&path, "1\n").unwrap();
        let refusal = PidFile::create(&path, None).unwrap_err();
        assert_eq!(refusal, format!("option --pid-file: {}: process 1 runs already", path.display()));
        for stale in ["4194303999", "0", "no number", ""] {
            fs::write(&path, stale).unwrap();
            drop(PidFile::create(&path, None).unwrap());
        }
    }

    #[test]
    fn a_file_that_another_process_has_replaced_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.pid");
        let file = PidFile::create(&path, None).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(read(&path).unwrap(), Some(1));
    }

    #[test]
    fn a_predecessor_stands_in_it_until_its_successor_claims_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.pid");
        fs::write(&path, "1\n").unwrap();
        let file = PidFile::create(&path, Some(1)).unwrap();
        assert_eq!(read(&path).unwrap(), Some(1));
        file.claim().unwrap();
        assert_eq!(read(&path).unwrap(), Some(std::process::id()));
    }

    #[test]
    fn a_forked_process_removes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.pid");
        let mut file = PidFile::create(&path, None).unwrap();
        file.process = 1;
        drop(file);
        assert!(path.exists());
    }
}
