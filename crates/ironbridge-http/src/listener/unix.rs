//! Unix socket listeners.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use ironbridge_exchange::peer::Address;
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Type};
use tempfile::TempPath;

use super::{BindError, Listener, Socket, address::BindAddress, sys};
use crate::options::HttpOptions;

/// Listens at a path that, at every moment, names the old socket, nothing, or ours with its final mode and group.
///
/// Binding straight to the path would need the stale socket gone first, and would show the new one before its
/// mode is set. So the socket is bound beside it, made ready, and renamed over it.
pub(super) fn bind(address: &BindAddress, path: &Path, options: &HttpOptions) -> Result<Listener, BindError> {
    // A later change of the working folder must not change what we remove at the end.
    let path = std::path::absolute(path).map_err(|error| BindError::from_io(address, error))?;
    make_way(address, &path)?;
    let (socket, draft) = bind_beside(&path).map_err(|error| from_path_error(address, &path, error))?;
    restrict(address, &draft, options)?;
    let file = publish(&socket, draft, path.clone(), options.backlog)
        .map_err(|error| BindError::from_io(address, error))?;
    Ok(Listener {
        socket: Socket::Unix(UnixListener::from(socket), Some(file)),
        local: Address::Unix(Some(path)),
    })
}

/// Listens on a name without a file (Linux). Mode and group do not apply: it has none.
pub(super) fn bind_abstract(
    address: &BindAddress,
    name: &str,
    options: &HttpOptions,
) -> Result<Listener, BindError> {
    let socket = bound(Path::new(&format!("\0{name}")))
        .and_then(|socket| socket.listen(backlog(options.backlog)).map(|()| socket))
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => BindError::PathTooLong { at: address.blame() },
            _ => BindError::from_io(address, error),
        })?;
    let local = Address::Unix(Some(format!("@{name}").into()));
    Ok(Listener { socket: Socket::Unix(UnixListener::from(socket), None), local })
}

/// The file of a unix socket: removed when this is dropped, if the path still names this very socket and this
/// is the process that made it. So a forked worker, or an old server after a new one took the path, leaves it.
#[derive(Debug)]
pub struct UnlinkOnDrop {
    path: PathBuf,
    device: u64,
    inode: u64,
    process: u32,
}

impl UnlinkOnDrop {
    /// For a socket that is there, and another process's to remove; `None`: it is not.
    pub(super) fn of_another(path: &Path) -> Option<Self> {
        let file = fs::symlink_metadata(path).ok()?;
        Some(Self { path: path.to_owned(), device: file.dev(), inode: file.ino(), process: 0 })
    }

    /// From now on it is this process that removes the file.
    pub(super) fn claim(&mut self) {
        self.process = std::process::id();
    }

    /// From now on the file is another process's to remove.
    pub(super) fn leave(&mut self) {
        self.process = 0;
    }
}

impl Drop for UnlinkOnDrop {
    fn drop(&mut self) {
        let ours = |file: fs::Metadata| (file.dev(), file.ino()) == (self.device, self.inode);
        if std::process::id() == self.process && fs::symlink_metadata(&self.path).is_ok_and(ours) {
            // At worst a stale socket stays, which the next start replaces.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Refuses to replace what is in use or is no socket. What is left is absent or stale.
fn make_way(address: &BindAddress, path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            return Err(BindError::NotASocket { at: address.blame(), path: path.to_owned() });
        }
        Ok(_) => {}
        // Nothing there, or nothing that we may see: binding will tell.
        Err(_) => return Ok(()),
    }
    match is_live(path) {
        Ok(false) => Ok(()),
        Ok(true) => Err(BindError::InUse { at: address.blame(), by: " (another process listens there)" }),
        Err(error) => Err(BindError::from_io(address, error)),
    }
}

fn is_live(path: &Path) -> io::Result<bool> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let Err(error) = socket.connect(&SockAddr::unix(path)?) else { return Ok(true) };
    match Errno::from_io_error(&error) {
        Some(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        // A full backlog, or a socket of another kind, has an owner too.
        Some(Errno::AGAIN | Errno::PROTOTYPE) => Ok(true),
        _ => Err(error),
    }
}

/// Binds under a name that nobody knows, in the same folder. It is shorter than most, as the system allows only
/// about 100 bytes for the whole path.
fn bind_beside(path: &Path) -> io::Result<(socket2::Socket, TempPath)> {
    // The path itself must fit too, or no client could connect.
    SockAddr::unix(path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    Ok(tempfile::Builder::new().prefix(".").rand_bytes(4).make_in(folder, bound)?.into_parts())
}

fn bound(path: &Path) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    Ok(socket)
}

fn restrict(address: &BindAddress, draft: &Path, options: &HttpOptions) -> Result<(), BindError> {
    if let Some(name) = &options.unix_socket_group {
        let failed = |source| BindError::Group { group: name.clone(), source };
        let group = match name.parse() {
            Ok(number) => number,
            Err(_) => sys::group_number(name)
                .map_err(failed)?
                .ok_or_else(|| BindError::NoGroup { group: name.clone() })?,
        };
        std::os::unix::fs::chown(draft, None, Some(group)).map_err(failed)?;
    }
    let mode = fs::Permissions::from_mode(options.unix_socket_mode);
    fs::set_permissions(draft, mode).map_err(|error| BindError::from_io(address, error))
}

fn publish(
    socket: &socket2::Socket,
    draft: TempPath,
    path: PathBuf,
    pending: u32,
) -> io::Result<UnlinkOnDrop> {
    socket.listen(backlog(pending))?;
    let file = fs::symlink_metadata(&draft)?;
    draft.persist(&path).map_err(|error| error.error)?;
    Ok(UnlinkOnDrop { path, device: file.dev(), inode: file.ino(), process: std::process::id() })
}

fn from_path_error(address: &BindAddress, path: &Path, error: io::Error) -> BindError {
    let at = address.blame();
    match error.kind() {
        io::ErrorKind::InvalidInput => BindError::PathTooLong { at },
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            BindError::NoFolder { at, path: path.parent().unwrap_or(path).to_owned() }
        }
        _ => BindError::from_io(address, error),
    }
}

fn backlog(pending: u32) -> i32 {
    i32::try_from(pending).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::net::{UnixDatagram, UnixStream},
        sync::atomic::{AtomicBool, Ordering},
    };

    use tempfile::TempDir;

    use super::*;
    use crate::listener::tests::{bind, bind_with, options, refusal};

    fn folder() -> (TempDir, PathBuf, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.sock");
        let text = format!("unix:{}", path.display());
        (folder, path, text)
    }

    /// Listens and ends as a killed process does: without cleaning up.
    fn leave_stale(text: &str) {
        let mut listener = bind(text).expect("free or stale");
        let Socket::Unix(_, Some(file)) = &mut listener.socket else { panic!("not a unix socket") };
        file.process = 0;
    }

    fn names(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).expect("it exists");
        entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_socket_listens_with_its_mode_and_leaves_nothing_behind() {
        let (folder, path, text) = folder();
        let listener = bind_with(&text, &options(&["--unix-socket-mode", "602"])).expect("a new path");
        assert_eq!(listener.url(), text);
        assert_eq!(listener.local(), Address::Unix(Some(path.clone())));
        UnixStream::connect(&path).expect("it listens");
        assert_eq!(fs::metadata(&path).expect("it exists").mode() & 0o777, 0o602);
        assert_eq!(names(&folder), ["app.sock"]);
        drop(listener);
        assert_eq!(names(&folder), [""; 0]);
    }

    #[test]
    fn a_stale_socket_is_replaced() {
        let (_folder, path, text) = folder();
        drop(UnixListener::bind(&path).expect("a new path"));
        let _listener = bind(&text).expect("nobody listens there any more");
        UnixStream::connect(&path).expect("it listens");
    }

    #[test]
    fn a_live_socket_is_in_use_and_stays_reachable() {
        let (folder, path, text) = folder();
        let _first = bind(&text).expect("a new path");
        let expected = format!("--bind {text}: address already in use (another process listens there)");
        assert_eq!(refusal(&text), expected);
        UnixStream::connect(&path).expect("the first still listens");
        assert_eq!(names(&folder), ["app.sock"]);
    }

    #[test]
    fn a_replaced_socket_is_never_missing_from_its_path() {
        let (_folder, path, text) = folder();
        leave_stale(&text);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut looks = 0;
                while !done.load(Ordering::Relaxed) || looks == 0 {
                    assert!(fs::symlink_metadata(&path).is_ok(), "there was a gap");
                    looks += 1;
                }
            });
            for _ in 0..200 {
                leave_stale(&text);
            }
            done.store(true, Ordering::Relaxed);
            watcher.join().expect("no gap was seen");
        });
    }

    #[test]
    fn a_socket_with_a_full_backlog_is_in_use() {
        let (_folder, path, text) = folder();
        let _busy = bind_with(&text, &options(&["--backlog", "1"])).expect("a new path");
        let mut waiting = Vec::new();
        loop {
            let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
            socket.set_nonblocking(true).expect("allowed");
            if socket.connect(&SockAddr::unix(&path).expect("short")).is_err() {
                break;
            }
            waiting.push(socket);
            assert!(waiting.len() < 10, "the backlog never fills");
        }
        assert!(refusal(&text).contains("already in use"));
    }

    #[test]
    fn a_datagram_socket_is_in_use() {
        let (_folder, path, text) = folder();
        let _datagram = UnixDatagram::bind(&path).expect("the path is free");
        assert!(refusal(&text).contains("already in use"));
    }

    #[test]
    fn what_is_not_a_socket_is_left_alone() {
        let (_folder, path, text) = folder();
        fs::write(&path, "mine").expect("writable");
        assert_eq!(refusal(&text), format!("--bind {text}: {} exists and is not a socket", path.display()));
        assert_eq!(fs::read(&path).expect("still there"), b"mine");
    }

    #[test]
    fn the_end_of_an_old_server_leaves_the_socket_of_a_new_one() {
        let (_folder, path, text) = folder();
        let old = bind(&text).expect("a new path");
        fs::remove_file(&path).expect("it exists");
        let _new = bind(&text).expect("the path is free");
        drop(old);
        UnixStream::connect(&path).expect("the new socket is still there");
    }

    #[test]
    fn a_forked_process_does_not_remove_the_socket_of_its_parent() {
        let (_folder, path, text) = folder();
        leave_stale(&text);
        assert!(path.exists());
    }

    #[test]
    fn missing_folders_and_long_paths_have_their_own_words() {
        let (folder, _, _) = folder();
        let missing = folder.path().join("no");
        let line = refusal(&format!("unix:{}/a.sock", missing.display()));
        assert!(line.ends_with(&format!(": folder {} does not exist", missing.display())), "{line}");
        let long = format!("unix:{}/{}", folder.path().display(), "x".repeat(200));
        assert_eq!(refusal(&long), format!("--bind {long}: the path is too long for a unix socket"));
        assert_eq!(names(&folder), [""; 0]);
    }

    #[test]
    fn the_longest_path_of_the_system_works() {
        let (folder, _, _) = folder();
        let prefix = format!("{}/", folder.path().display());
        let text = format!("unix:{prefix}{}", "x".repeat(107 - prefix.len()));
        let listener = bind(&text).expect("107 bytes are allowed");
        UnixStream::connect(text.trim_start_matches("unix:")).expect("clients can use it");
        drop(listener);
    }

    #[test]
    fn groups_are_given_by_name_or_number() {
        let (_folder, path, text) = folder();
        let ours = fs::metadata(path.parent().expect("a folder")).expect("it exists").gid();
        let number = bind_with(&text, &options(&["--unix-socket-group", &ours.to_string()]));
        assert_eq!(fs::metadata(&path).expect("bound").gid(), ours);
        drop(number);
        assert_eq!(sys::group_number("root").expect("groups can be looked up"), Some(0));
        let error =
            bind_with(&text, &options(&["--unix-socket-group", "no such group"])).expect_err("absent");
        assert_eq!(error.to_string(), "--unix-socket-group \"no such group\": no such group");
        assert!(!path.exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_abstract_name_listens_without_a_file_and_is_refused_twice() {
        let name = format!("ironbridge-test-{}", std::process::id());
        let listener = bind(&format!("unix:@{name}")).expect("a new name");
        assert_eq!(listener.url(), format!("unix:@{name}"));
        assert_eq!(refusal(&format!("unix:@{name}")), format!("--bind unix:@{name}: address already in use"));
    }
}
