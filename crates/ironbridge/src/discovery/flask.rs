//! Flask, FastAPI, and whatever else keeps its application in a file with a usual name.

use std::path::{Path, PathBuf};

use super::source::{self, Candidate};
use super::{Choice, DiscoveryError, subfolders};

/// What `FLASK_APP` means: `hello`, `hello.py`, `hello:app`, `hello:create_app`, `hello:create_app('x')`.
pub(super) fn from_variable(folder: &Path, value: &str) -> Choice {
    let (module, attribute) = match value.split_once(':') {
        Some((module, attribute)) => (module.trim(), Some(attribute.trim())),
        None => (value.trim(), None),
    };
    let file = folder.join(file_of(folder, module));
    let attribute = match attribute {
        // Flask calls a function that it is given by name.
        Some(name) if source::defines_function(&file, name) && !is_usual(name) => Some(format!("{name}()")),
        Some(name) => Some(name.to_owned()),
        None => {
            source::candidate(&file).map(|candidate| candidate.attribute()).filter(|name| !name.is_empty())
        }
    };
    let app = attribute.map_or(module.to_owned(), |attribute| format!("{module}:{attribute}"));
    Choice { app, reason: "FLASK_APP names it".to_owned() }
}

/// The application in one of the usual files of `folder`.
pub(super) fn find(folder: &Path) -> Result<Option<Choice>, DiscoveryError> {
    let in_files = |files: &[&str]| -> Vec<Found> {
        files.iter().filter_map(|file| found(folder, Path::new(file))).collect()
    };
    // These exist for this one purpose, so they win over the files that they import from.
    for files in [&["wsgi.py"][..], &["asgi.py"], &["app.py", "main.py", "application.py"]] {
        if let Some(choice) = choose(in_files(files))? {
            return Ok(Some(choice));
        }
    }
    let packages: Vec<PathBuf> = subfolders(folder).map(PathBuf::from).collect();
    for file in ["wsgi.py", "asgi.py", "main.py", "__init__.py"] {
        if let Some(choice) =
            choose(packages.iter().filter_map(|package| found(folder, &package.join(file))).collect())?
        {
            return Ok(Some(choice));
        }
    }
    Ok(None)
}

struct Found {
    file: PathBuf,
    candidate: Candidate,
}

impl Found {
    fn app(&self) -> String {
        let module = self.file.with_extension("");
        let mut names: Vec<_> = module.iter().map(|name| name.to_string_lossy()).collect();
        names.pop_if(|name| name == "__init__");
        format!("{}:{}", names.join("."), self.candidate.attribute())
    }
}

fn found(folder: &Path, file: &Path) -> Option<Found> {
    source::candidate(&folder.join(file)).map(|candidate| Found { file: file.to_owned(), candidate })
}

fn choose(mut found: Vec<Found>) -> Result<Option<Choice>, DiscoveryError> {
    let imported = |found: &Found| matches!(found.candidate, Candidate::Imported(_));
    if found.iter().any(|found| !imported(found)) {
        found.retain(|found| !imported(found));
    }
    found.sort_by(|left, right| left.file.cmp(&right.file));
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(Choice { app: one.app(), reason: format!("found in {}", one.file.display()) })),
        several => Err(DiscoveryError::Several { apps: several.iter().map(Found::app).collect() }),
    }
}

fn file_of(folder: &Path, module: &str) -> PathBuf {
    if module.ends_with(".py") {
        return PathBuf::from(module);
    }
    let path = PathBuf::from(module.replace('.', "/"));
    if folder.join(&path).is_dir() { path.join("__init__.py") } else { path.with_extension("py") }
}

/// A function of this name is the application itself.
fn is_usual(name: &str) -> bool {
    matches!(name, "application" | "app")
}
