//! The likely cause of a failed import, in one line.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use pyo3::exceptions::{PyAttributeError, PyImportError, PyModuleNotFoundError};
use pyo3::prelude::*;

/// Why `module` could not be imported from `folders`.
pub(super) fn for_import(py: Python<'_>, module: &str, error: &PyErr, folders: &[PathBuf]) -> Option<String> {
    shadowing(py, error, module, folders).or_else(|| {
        if !error.is_instance_of::<PyModuleNotFoundError>(py) {
            return None;
        }
        let missing: String = error.value(py).getattr("name").ok()?.extract().ok()?;
        match top(&missing) == top(module) {
            true => Some(wrong_folder(&missing, folders)),
            false => Some(missing_dependency(py, &missing, folders)),
        }
    })
}

/// What is known about an exception wherever it comes from.
pub(super) fn for_exception(py: Python<'_>, error: &PyErr) -> Option<String> {
    let name = error.get_type(py).qualname().ok()?.to_string();
    let text = error.value(py).to_string();
    match name.as_str() {
        "ImproperlyConfigured" if text.contains("DJANGO_SETTINGS_MODULE") => Some(
            "Django does not know its settings: set DJANGO_SETTINGS_MODULE, or serve your project's wsgi module, \
             which sets it"
                .to_owned(),
        ),
        "AppRegistryNotReady" => Some(
            "Django is not set up yet: call get_wsgi_application() before models are imported, or serve your \
             project's wsgi module, which does"
                .to_owned(),
        ),
        "ModuleNotFoundError" => {
            let missing: String = error.value(py).getattr("name").ok()?.extract().ok()?;
            Some(missing_dependency(py, &missing, &[]))
        }
        _ => None,
    }
}

/// The application's own module is not there.
fn wrong_folder(missing: &str, folders: &[PathBuf]) -> String {
    let searched = folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ");
    if let Some((package, name)) = missing.rsplit_once('.') {
        let place = package.replace('.', "/");
        let found = folders.iter().map(|folder| folder.join(&place)).find(|folder| folder.is_dir());
        return match found {
            Some(folder) => {
                format!(
                    "there is no {name}.py in {}; it has: {}",
                    folder.display(),
                    modules(&folder).join(", ")
                )
            }
            None => format!("{package} is not a package, so it has no module {name}"),
        };
    }
    match folders.first().and_then(|root| below(root, missing, DEPTH).map(|folder| (root, folder))) {
        Some((root, folder)) => {
            let folder = folder.strip_prefix(root).unwrap_or(&folder).display().to_string();
            format!("{missing} is not in {searched}, but in {folder}: try --chdir {folder}")
        }
        None => format!(
            "there is no {missing}.py and no folder {missing} in {searched}: is this the right folder?"
        ),
    }
}

/// Something that the application imports is not there.
fn missing_dependency(py: Python<'_>, missing: &str, folders: &[PathBuf]) -> String {
    let top = top(missing);
    if let Some((root, folder)) =
        folders.first().and_then(|root| below(root, top, 1).map(|folder| (root, folder)))
    {
        let folder = folder.strip_prefix(root).unwrap_or(&folder).display().to_string();
        return format!("{top} is in the folder {folder}: try --pythonpath {folder}");
    }
    if let Some(advice) = own_project(top, folders) {
        return advice;
    }
    let prefix = sys_text(py, "prefix");
    let advice = format!("{top} is not installed in {prefix}: pip install {}", distribution(top));
    match std::env::var("VIRTUAL_ENV") {
        Ok(active) if !active.is_empty() && !same_folder(&active, &prefix) => {
            format!(
                "{advice}. The active virtual environment is another one, {active}: install ironbridge there"
            )
        }
        _ => advice,
    }
}

/// The missing module is the project itself: the folder that is served lies within it, or Django was told its name.
fn own_project(top: &str, folders: &[PathBuf]) -> Option<String> {
    let here = folders.first().map_or_else(|| std::env::current_dir().ok(), |folder| Some(folder.clone()))?;
    let is_package = |folder: &&Path| {
        folder.file_name().is_some_and(|name| name == top) && folder.join("__init__.py").is_file()
    };
    if let Some(package) = here.ancestors().find(is_package)
        && let Some(parent) = package.parent()
    {
        return Some(format!("{top} is the folder around this one: try --chdir {}", parent.display()));
    }
    let settings = std::env::var("DJANGO_SETTINGS_MODULE").ok()?;
    (self::top(&settings) == top)
        .then(|| format!("DJANGO_SETTINGS_MODULE is {settings}, but there is no {top} in {}", here.display()))
}

/// A file of the user's has the name of a module that others import.
fn shadowing(py: Python<'_>, error: &PyErr, module: &str, folders: &[PathBuf]) -> Option<String> {
    let value = error.value(py);
    let mut names = Vec::new();
    if error.is_instance_of::<PyImportError>(py) {
        names.extend(value.getattr("name").ok().and_then(|name| name.extract::<String>().ok()));
    } else if error.is_instance_of::<PyAttributeError>(py) {
        let object = value.getattr("obj").ok().filter(|object| object.is_instance_of::<PyModule>());
        names.extend(object.and_then(|object| object.getattr("__name__").ok()?.extract::<String>().ok()));
    } else {
        return None;
    }
    names.push(module.to_owned());
    names.iter().find_map(|name| shadowed(py, top(name), folders))
}

fn shadowed(py: Python<'_>, name: &str, folders: &[PathBuf]) -> Option<String> {
    let file = folders
        .iter()
        .flat_map(|folder| [folder.join(format!("{name}.py")), folder.join(name)])
        .find(|path| path.exists())?;
    if is_standard(py, name) {
        return Some(format!("{} has the name of a module of Python's own: rename it", file.display()));
    }
    let installed = installed_elsewhere(py, name, folders).ok().flatten()?;
    Some(format!("{} hides the installed package {name} ({installed}): rename it", file.display()))
}

fn is_standard(py: Python<'_>, name: &str) -> bool {
    let names = py.import("sys").and_then(|sys| sys.getattr("stdlib_module_names"));
    names.and_then(|names| names.contains(name)).unwrap_or(false)
}

/// Where `name` would come from if `folders` were not searched.
fn installed_elsewhere(py: Python<'_>, name: &str, folders: &[PathBuf]) -> PyResult<Option<String>> {
    let path: Vec<PathBuf> = py.import("sys")?.getattr("path")?.extract()?;
    // As text: the finder skips entries that are path objects.
    let others: Vec<OsString> = path
        .into_iter()
        .filter(|entry| !entry.as_os_str().is_empty() && !folders.contains(entry))
        .map(PathBuf::into_os_string)
        .collect();
    let finder = py.import("importlib.machinery")?.getattr("PathFinder")?;
    let found = finder.call_method1("find_spec", (name, others))?;
    if found.is_none() {
        return Ok(None);
    }
    // No origin: a folder without __init__.py somewhere on the path, which hides nothing.
    found.getattr("origin")?.extract()
}

/// The first name of a dotted one.
fn top(module: &str) -> &str {
    module.split('.').next().unwrap_or(module)
}

/// The folder within `root` that holds a module or package of this name, at most `depth` folders down.
fn below(root: &Path, name: &str, depth: usize) -> Option<PathBuf> {
    let folders = subfolders(root);
    let here = folders.iter().find(|folder| {
        folder.join(format!("{name}.py")).is_file() || folder.join(name).join("__init__.py").is_file()
    });
    match here {
        Some(folder) => Some(folder.clone()),
        None if depth > 1 => folders.iter().find_map(|folder| below(folder, name, depth - 1)),
        None => None,
    }
}

fn subfolders(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten().take(MOST_ENTRIES);
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.is_dir() && !is_hidden(path)).collect();
    folders.sort();
    folders
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(['.', '_'])
        || matches!(&*name, "node_modules" | "site-packages")
        || path.join("pyvenv.cfg").exists()
}

fn modules(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".py")?.to_owned()));
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('_')).collect();
    names.sort();
    names.truncate(12);
    names
}

fn sys_text(py: Python<'_>, name: &str) -> String {
    let value = py.import("sys").and_then(|sys| sys.getattr(name));
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn same_folder(left: &str, right: &str) -> bool {
    let canonical = |path: &str| Path::new(path).canonicalize().unwrap_or_else(|_| path.into());
    canonical(left) == canonical(right)
}

/// What to install for a module whose distribution has another name.
fn distribution(module: &str) -> &str {
    let other = DISTRIBUTIONS.iter().find(|(name, _)| *name == module);
    other.map_or(module, |(_, distribution)| distribution)
}

/// How many folders down a module is looked for.
const DEPTH: usize = 2;

/// Entries of a folder that are looked at.
const MOST_ENTRIES: usize = 1000;

const DISTRIBUTIONS: [(&str, &str); 22] = [
    ("MySQLdb", "mysqlclient"),
    ("OpenSSL", "pyOpenSSL"),
    ("PIL", "Pillow"),
    ("allauth", "django-allauth"),
    ("attr", "attrs"),
    ("bs4", "beautifulsoup4"),
    ("corsheaders", "django-cors-headers"),
    ("cv2", "opencv-python-headless"),
    ("dateutil", "python-dateutil"),
    ("debug_toolbar", "django-debug-toolbar"),
    ("django_filters", "django-filter"),
    ("dj_database_url", "dj-database-url"),
    ("dotenv", "python-dotenv"),
    ("environ", "django-environ"),
    ("flask_sqlalchemy", "Flask-SQLAlchemy"),
    ("jwt", "PyJWT"),
    ("magic", "python-magic"),
    ("psycopg2", "psycopg2-binary"),
    ("rest_framework", "djangorestframework"),
    ("sklearn", "scikit-learn"),
    ("storages", "django-storages"),
    ("yaml", "PyYAML"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn a_module_in_a_subfolder_is_found() {
        let tree = tree(&["src/shop/__init__.py", "a/b/deep.py", ".venv/lib/hidden.py"]);
        let folders = [tree.path().to_owned()];
        assert!(wrong_folder("shop", &folders).ends_with("but in src: try --chdir src"));
        assert!(wrong_folder("deep", &folders).ends_with("but in a/b: try --chdir a/b"));
        assert!(wrong_folder("hidden", &folders).ends_with("is this the right folder?"));
    }

    #[test]
    fn a_missing_submodule_shows_the_package() {
        let tree = tree(&["shop/__init__.py", "shop/wsgi.py", "shop/asgi.py"]);
        let hint = wrong_folder("shop.wsgii", &[tree.path().to_owned()]);
        assert!(
            hint.starts_with("there is no wsgii.py in /") && hint.ends_with("; it has: asgi, wsgi"),
            "{hint}"
        );
    }

    #[test]
    fn distributions_with_other_names_are_known() {
        assert_eq!(distribution("yaml"), "PyYAML");
        assert_eq!(distribution("flask"), "flask");
    }
}
