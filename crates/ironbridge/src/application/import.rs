//! Module, attribute and factory call.

use std::path::{Path, PathBuf};

use pyo3::exceptions::{PyAttributeError, PyException};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::search_path::{Searched, put_first};
use super::spec::{ModuleName, Spec};
use super::{LoadError, hint};

/// Finds the object that `spec` names; with `factory`, or a call in the spec, calls it.
///
/// # Errors
/// The module or the factory raises; there is no such attribute, or none of the usual ones.
pub(super) fn find<'py>(
    py: Python<'py>,
    spec: &Spec,
    factory: bool,
    searched: &Searched,
) -> Result<Bound<'py, PyAny>, LoadError> {
    let module = import(py, &spec.module, searched)?;
    let (found, name) = attribute(&module, spec)?;
    if !factory && spec.arguments.is_none() {
        return Ok(found);
    }
    if !found.is_callable() {
        return Err(LoadError::Unfit(format!("{name} is not a factory: {} cannot be called", kind(&found))));
    }
    let (positional, keywords) = arguments(py, spec.arguments.as_deref().unwrap_or_default())?;
    found
        .call(positional, Some(&keywords))
        .map_err(|error| raised(py, format!("calling {name}"), error, None))
}

/// Callables that a message lists at most.
const MOST_SUGGESTIONS: usize = 8;

/// The usual names of an application, most usual first.
pub(super) const USUAL_NAMES: [&str; 2] = ["application", "app"];

fn import<'py>(
    py: Python<'py>,
    name: &ModuleName,
    searched: &Searched,
) -> Result<Bound<'py, PyModule>, LoadError> {
    match name {
        ModuleName::Dotted(name) => {
            let failed = |error| failed_import(py, name, error, searched.folders());
            py.import(name.as_str()).map_err(failed)
        }
        ModuleName::File(path) => import_file(py, path, searched),
    }
}

fn import_file<'py>(
    py: Python<'py>,
    path: &Path,
    searched: &Searched,
) -> Result<Bound<'py, PyModule>, LoadError> {
    let file = locate(path).map_err(LoadError::Unfit)?;
    let (root, name) = module_of(&file).map_err(LoadError::Unfit)?;
    let unusable = |error| raised(py, format!("importing {}", file.display()), error, None);
    put_first(py, &root).map_err(unusable)?;
    let folders: Vec<PathBuf> = std::iter::once(root).chain(searched.folders().iter().cloned()).collect();
    let module = py.import(name.as_str()).map_err(|error| failed_import(py, &name, error, &folders))?;
    match origin(&module) {
        Some(other) if !same_file(&other, &file) => Err(LoadError::Unfit(format!(
            "{} is hidden by another module of the name {name}, {}: rename the file",
            file.display(),
            other.display(),
        ))),
        _ => Ok(module),
    }
}

/// The absolute path of a file that may be given without its ".py".
fn locate(path: &Path) -> Result<PathBuf, String> {
    let candidates = [path.to_owned(), path.with_extension("py")];
    let file = candidates.iter().find(|candidate| candidate.is_file());
    match file.map(std::path::absolute) {
        Some(Ok(file)) => Ok(file.components().collect()),
        Some(Err(error)) => Err(format!("{}: {error}", path.display())),
        None if path.is_dir() => {
            Err(format!("{} is a folder: name a file in it, or use --chdir {0}", path.display()))
        }
        None => Err(format!(
            "there is no file {}",
            std::path::absolute(path).unwrap_or(path.to_owned()).display()
        )),
    }
}

/// The folder that belongs on `sys.path`, and the name of the file's module seen from there.
fn module_of(file: &Path) -> Result<(PathBuf, String), String> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut root = file.parent().unwrap_or(Path::new("/")).to_owned();
    let mut names = if stem == "__init__" { Vec::new() } else { vec![stem] };
    while root.join("__init__.py").is_file() {
        let Some(package) = root.file_name() else { break };
        names.insert(0, package.to_string_lossy().into_owned());
        root.pop();
    }
    match names.iter().find(|name| name.contains(['.', '-', ' '])) {
        Some(name) => Err(format!("{}: {name:?} is not a Python name: rename it", file.display())),
        None => Ok((root, names.join("."))),
    }
}

/// The file that a module came from.
pub(super) fn origin(module: &Bound<'_, PyModule>) -> Option<PathBuf> {
    module.getattr("__file__").ok()?.extract().ok()
}

fn same_file(left: &Path, right: &Path) -> bool {
    let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    canonical(left) == canonical(right)
}

fn failed_import(py: Python<'_>, name: &str, error: PyErr, folders: &[PathBuf]) -> LoadError {
    let hint = hint::for_import(py, name, &error, folders);
    raised(py, format!("importing {name}"), error, hint)
}

fn raised(py: Python<'_>, doing: String, error: PyErr, hint: Option<String>) -> LoadError {
    let hint = hint.or_else(|| hint::for_exception(py, &error));
    LoadError::Raised { doing, error, hint }
}

/// The object, and what to call it in messages.
fn attribute<'py>(
    module: &Bound<'py, PyModule>,
    spec: &Spec,
) -> Result<(Bound<'py, PyAny>, String), LoadError> {
    if spec.attribute.is_empty() {
        return usual_attribute(module);
    }
    let mut found = module.clone().into_any();
    let mut walked = module_name(module);
    for (depth, name) in spec.attribute.iter().enumerate() {
        found = match found.getattr(name.as_str()) {
            Ok(next) => next,
            Err(error) if error.is_instance_of::<PyAttributeError>(module.py()) => {
                return Err(LoadError::Unfit(missing(module, &walked, name)));
            }
            Err(error) => return Err(raised(module.py(), format!("reading {walked}.{name}"), error, None)),
        };
        walked = format!("{walked}{}{name}", if depth == 0 { ':' } else { '.' });
    }
    Ok((found, walked))
}

fn usual_attribute<'py>(module: &Bound<'py, PyModule>) -> Result<(Bound<'py, PyAny>, String), LoadError> {
    for name in USUAL_NAMES {
        // A package's submodule `app` is an attribute too, but no application.
        if let Ok(found) = module.getattr(name)
            && !found.is_instance_of::<PyModule>()
        {
            return Ok((found, format!("{}:{name}", module_name(module))));
        }
    }
    let [first, second] = USUAL_NAMES;
    let name = module_name(module);
    let text = format!("{}neither {first:?} nor {second:?}", has(module));
    Err(LoadError::Unfit(format!("{text}{}", suggest(module, &name))))
}

fn missing(module: &Bound<'_, PyModule>, walked: &str, name: &str) -> String {
    let top = module_name(module);
    if walked != top {
        return format!("{walked} has no attribute {name:?}");
    }
    format!("{}no attribute {name:?}{}", has(module), suggest(module, &top))
}

fn has(module: &Bound<'_, PyModule>) -> String {
    let file = origin(module).map(|file| format!(" ({})", file.display())).unwrap_or_default();
    format!("module {}{file} has ", module_name(module))
}

/// What else is there to serve.
fn suggest(module: &Bound<'_, PyModule>, name: &str) -> String {
    let callables = callables(module).unwrap_or_default();
    let Some(first) = callables.first() else { return "; nothing in it can be called".to_owned() };
    let call = if first.starts_with("create") || first.starts_with("make") { "()" } else { "" };
    format!(
        "; what can be called there: {}. For example: ironbridge '{name}:{first}{call}'",
        callables.join(", ")
    )
}

/// Names of callables, those made in this module first: applications and factories are seldom classes.
fn callables(module: &Bound<'_, PyModule>) -> PyResult<Vec<String>> {
    let own = module.getattr("__name__")?;
    let mut found = Vec::new();
    for (name, value) in module.dict() {
        let name: String = name.extract()?;
        let class = value.is_instance_of::<pyo3::types::PyType>();
        if name.starts_with('_') || !value.is_callable() {
            continue;
        }
        let local = value.getattr("__module__").is_ok_and(|home| home.eq(&own).unwrap_or(false));
        let instance = !class && value.getattr("__qualname__").is_err();
        found.push((!(local || instance), class, !is_factory_name(&name), name));
    }
    found.sort();
    found.truncate(MOST_SUGGESTIONS);
    Ok(found.into_iter().map(|(.., name)| name).collect())
}

fn is_factory_name(name: &str) -> bool {
    name.contains("app")
}

fn module_name(module: &Bound<'_, PyModule>) -> String {
    module.name().map(|name| name.to_string()).unwrap_or_default()
}

/// "an object of type dict"
pub(super) fn kind(found: &Bound<'_, PyAny>) -> String {
    let name = found.get_type().qualname().map(|name| name.to_string()).unwrap_or_default();
    format!("an object of type {name}")
}

/// Reads the literals of a call, and nothing but literals: APP is data, not a program.
fn arguments<'py>(
    py: Python<'py>,
    text: &str,
) -> Result<(Bound<'py, PyTuple>, Bound<'py, PyDict>), LoadError> {
    literal_arguments(py, text).map_err(|error| {
        let detail =
            if error.is_instance_of::<PyException>(py) { error.value(py).to_string() } else { String::new() };
        LoadError::Unfit(format!("arguments ({text}) of the factory: only literals can be given ({detail})"))
    })
}

fn literal_arguments<'py>(
    py: Python<'py>,
    text: &str,
) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
    let ast = py.import("ast")?;
    let literal = |node: &Bound<'py, PyAny>| ast.call_method1("literal_eval", (node,));
    let mode = PyDict::new(py);
    mode.set_item("mode", "eval")?;
    let call = ast.call_method("parse", (format!("factory({text})"),), Some(&mode))?.getattr("body")?;
    let positional: PyResult<Vec<_>> =
        call.getattr("args")?.try_iter()?.map(|node| literal(&node?)).collect();
    let keywords = PyDict::new(py);
    for keyword in call.getattr("keywords")?.cast_into::<PyList>()? {
        let name: Bound<'py, PyString> = keyword.getattr("arg")?.cast_into()?; // None: `**mapping`
        keywords.set_item(name, literal(&keyword.getattr("value")?)?)?;
    }
    Ok((PyTuple::new(py, positional?)?, keywords))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn a_files_module_is_named_from_the_root_of_its_packages() {
        let folder = tree(&["site/wsgi.py", "shop/__init__.py", "shop/web/__init__.py", "shop/web/wsgi.py"]);
        let root = folder.path();
        let module = |file: &str| module_of(&root.join(file)).unwrap();
        assert_eq!(module("site/wsgi.py"), (root.join("site"), "wsgi".to_owned()));
        assert_eq!(module("shop/web/wsgi.py"), (root.to_owned(), "shop.web.wsgi".to_owned()));
        assert_eq!(module("shop/web/__init__.py"), (root.to_owned(), "shop.web".to_owned()));
    }

    #[test]
    fn a_file_may_be_named_without_its_suffix() {
        let folder = tree(&["site/wsgi.py"]);
        assert_eq!(locate(&folder.path().join("site/./wsgi")), Ok(folder.path().join("site/wsgi.py")));
        assert!(locate(&folder.path().join("site")).unwrap_err().contains("is a folder"));
        assert!(locate(&folder.path().join("nowhere.py")).unwrap_err().starts_with("there is no file /"));
    }

    #[test]
    fn factory_arguments_are_literals() {
        Python::attach(|py| {
            let read = |text: &str| {
                let (positional, keywords) = arguments(py, text).map_err(|error| error.to_string())?;
                Ok(format!("{positional} {keywords}"))
            };
            assert_eq!(read(""), Ok("() {}".to_owned()));
            assert_eq!(
                read("1, 'a)b', x=[True, None], y=-1"),
                Ok("(1, 'a)b') {'x': [True, None], 'y': -1}".to_owned())
            );
            for bad in ["open('x')", "name", "*[1]", "**{'a': 1}", "1 +", "__import__('os')"] {
                let result: Result<String, String> = read(bad);
                assert!(result.unwrap_err().contains("only literals"), "{bad}");
            }
        });
    }
}
