//! `--reload`: notices that the application's files have changed.
//!
//! The supervisor, which has nothing else to do, looks at them four times a second. That works on every file system, and an editor
//! that saves by renaming changes a file's inode, if nothing else.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// Looks at files now and then.
#[derive(Debug)]
pub(crate) struct Watcher {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
    /// Patterns of further files, as Python's `glob` takes them.
    patterns: Vec<String>,
    seen: Marks,
    /// The first file that has changed since the last call that told of one.
    changed: Option<PathBuf>,
    next: Instant,
}

/// What tells that a file is not the one that it was.
type Marks = HashMap<PathBuf, Mark>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Watcher {
    /// Watches sources and templates in `folders`, `files`, and what matches `patterns`.
    pub(crate) fn new(folders: Vec<PathBuf>, files: Vec<PathBuf>, patterns: Vec<String>) -> Self {
        let mut watcher =
            Self { folders, files, patterns, seen: Marks::new(), changed: None, next: Instant::now() };
        watcher.seen = watcher.marks();
        if watcher.seen.len() >= MOST_FILES {
            tracing::warn!(
                "--reload: there are more than {MOST_FILES} files; changes of some are not noticed"
            );
        }
        tracing::info!("watching {} files: a change reloads the application", watcher.seen.len());
        watcher
    }

    /// Looks, if it is time to: the file that has changed, once nothing changes any more.
    pub(crate) fn look(&mut self) -> Option<PathBuf> {
        let now = Instant::now();
        if now < self.next {
            return None;
        }
        self.next = now + INTERVAL;
        let marks = self.marks();
        let differs = |(path, mark): &(&PathBuf, &Mark)| self.seen.get(*path) != Some(*mark);
        let changed = marks.iter().find(differs).map(|(path, _)| path.clone());
        let changed = changed.or_else(|| self.seen.keys().find(|path| !marks.contains_key(*path)).cloned());
        self.seen = marks;
        match changed {
            // Whoever saves many files is not done yet.
            Some(path) => {
                self.changed.get_or_insert(path);
                None
            }
            None => self.changed.take(),
        }
    }

    /// When to look again.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    fn marks(&self) -> Marks {
        let mut marks = Marks::new();
        for path in self.files.iter().cloned().chain(self.matches()) {
            if let Some(mark) = mark(&path) {
                marks.insert(path, mark);
            }
        }
        for folder in &self.folders {
            walk(folder, &mut marks);
        }
        marks
    }

    fn matches(&self) -> Vec<PathBuf> {
        if self.patterns.is_empty() {
            return Vec::new();
        }
        Python::attach(|py| {
            let keywords = pyo3::types::PyDict::new(py);
            keywords.set_item("recursive", true)?;
            let glob = py.import("glob")?.getattr("glob")?;
            let found = self
                .patterns
                .iter()
                .map(|pattern| glob.call((pattern,), Some(&keywords))?.extract::<Vec<PathBuf>>());
            Ok::<_, PyErr>(found.collect::<PyResult<Vec<_>>>()?.concat())
        })
        .unwrap_or_default()
    }
}

fn walk(folder: &Path, marks: &mut Marks) {
    // A virtual environment: other people's code.
    if folder.join("pyvenv.cfg").exists() {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if marks.len() >= MOST_FILES {
            return;
        }
        let (name, Ok(kind)) = (entry.file_name(), entry.file_type()) else { continue };
        let name = name.to_string_lossy();
        if kind.is_dir() && !name.starts_with('.') && !IGNORED.contains(&name.as_ref()) {
            walk(&entry.path(), marks);
        } else if !kind.is_dir()
            && is_source(&name)
            && let Some(mark) = mark(&entry.path())
        {
            marks.insert(entry.path(), mark);
        }
    }
}

fn is_source(name: &str) -> bool {
    name.starts_with(".env")
        || FILES.contains(&name)
        || name.rsplit_once('.').is_some_and(|(stem, ending)| !stem.is_empty() && ENDINGS.contains(&ending))
}

fn mark(path: &Path) -> Option<Mark> {
    let file = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(Mark { inode: file.ino(), size: file.size(), modified: (file.mtime(), file.mtime_nsec()) })
}

/// Code and templates. Data that applications write themselves would reload them for ever.
const ENDINGS: [&str; 8] = ["py", "pyx", "html", "htm", "jinja", "jinja2", "j2", "mako"];
const FILES: [&str; 2] = ["ironbridge.toml", "pyproject.toml"];
const IGNORED: [&str; 3] = ["__pycache__", "node_modules", "site-packages"];
const INTERVAL: Duration = Duration::from_millis(250);
const MOST_FILES: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, names: &[&str]) {
        for name in names {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
    }

    fn look(watcher: &mut Watcher) -> Option<PathBuf> {
        watcher.next = Instant::now();
        watcher.look()
    }

    #[test]
    fn sources_templates_and_settings_are_watched_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let watched = ["a.py", "b/c.html", ".env", ".env.local", "pyproject.toml", "x.txt"];
        let others = [
            "db.sqlite3",
            "node_modules/a.py",
            ".git/a.py",
            "venv/pyvenv.cfg",
            "venv/lib/a.py",
            "a.pyc",
            ".py",
            "b/__pycache__/a.py",
            "y.txt",
        ];
        write(folder.path(), &watched);
        write(folder.path(), &others);
        let pattern = folder.path().join("x*.txt").display().to_string();
        let watcher = Watcher::new(vec![folder.path().to_owned()], vec![], vec![pattern]);
        let mut found: Vec<_> = watcher
            .seen
            .keys()
            .map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string())
            .collect();
        found.sort();
        let mut expected = watched.map(str::to_owned);
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_change_is_told_once_when_all_is_quiet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.py");
        write(folder.path(), &["a.py", "b.py"]);
        let mut watcher = Watcher::new(vec![folder.path().to_owned()], vec![], vec![]);
        assert_eq!(look(&mut watcher), None);
        fs::write(&path, "longer").unwrap();
        assert_eq!(look(&mut watcher), None);
        fs::write(&path, "longer still").unwrap();
        assert_eq!(look(&mut watcher), None);
        assert_eq!(look(&mut watcher), Some(path.clone()));
        assert_eq!(look(&mut watcher), None);
        // As editors save: another file under the same name.
        fs::write(folder.path().join("draft"), "longer again").unwrap();
        fs::rename(folder.path().join("draft"), &path).unwrap();
        assert_eq!((look(&mut watcher), look(&mut watcher)), (None, Some(path.clone())));
        fs::remove_file(&path).unwrap();
        assert_eq!((look(&mut watcher), look(&mut watcher)), (None, Some(path)));
        write(folder.path(), &["new/c.py"]);
        assert_eq!((look(&mut watcher), look(&mut watcher)), (None, Some(folder.path().join("new/c.py"))));
    }
}
