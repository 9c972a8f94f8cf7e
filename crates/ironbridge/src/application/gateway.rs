//! Is an object a WSGI application? Asked once, at start-up, so that the answer is not a 500 for every visitor.

use pyo3::prelude::*;
use pyo3::types::PyType;

use super::LoadError;
use super::import::kind;

/// Refuses what cannot be called as `application(environ, start_response)` (PEP 3333).
///
/// # Errors
/// [`LoadError::Unfit`] that names what `name` is instead.
pub(super) fn accept(found: &Bound<'_, PyAny>, name: &str) -> Result<(), LoadError> {
    if !found.is_callable() {
        return Err(LoadError::Unfit(format!(
            "{name} is not an application: {} cannot be called",
            kind(found)
        )));
    }
    // A question about an object that fails (an exotic __getattr__, say) is no reason to refuse it.
    if is_asynchronous(found).unwrap_or(false) {
        return Err(LoadError::Unfit(format!("{name} is an ASGI application; this version serves WSGI")));
    }
    if is_factory(found).unwrap_or(false) {
        return Err(LoadError::Unfit(format!(
            "{name} takes no arguments, so it is not a WSGI application but perhaps a function that makes one: \
             use {name}() or --factory"
        )));
    }
    Ok(())
}

/// `async def app(...)`, an object whose `__call__` is one, or a class of such objects.
fn is_asynchronous(found: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = found.py();
    let inspect = py.import("inspect")?;
    let coroutine =
        |function: &Bound<'_, PyAny>| inspect.call_method1("iscoroutinefunction", (function,))?.extract();
    let mut function = found.clone();
    while function.is_instance(&py.import("functools")?.getattr("partial")?)? {
        function = function.getattr("func")?;
    }
    let class =
        if function.is_instance_of::<PyType>() { function.clone() } else { function.get_type().into_any() };
    Ok(coroutine(&function)? || class.getattr("__call__").is_ok_and(|call| coroutine(&call).unwrap_or(false)))
}

/// Can be called with nothing, but not with environ and start_response.
fn is_factory(found: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = found.py();
    let signature = py.import("inspect")?.call_method1("signature", (found,))?;
    let takes_two = signature.call_method1("bind", (py.None(), py.None())).is_ok();
    Ok(!takes_two && signature.call_method0("bind").is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(code: &str) -> String {
        Python::attach(|py| {
            let code = std::ffi::CString::new(code).unwrap();
            let module = PyModule::from_code(py, &code, c"tested.py", c"tested").unwrap();
            match accept(&module.getattr("x").unwrap(), "x") {
                Ok(()) => "accepted".to_owned(),
                Err(error) => error.to_string(),
            }
        })
    }

    #[test]
    fn wsgi_applications_are_accepted() {
        for code in [
            "def x(environ, start_response): return []",
            "x = lambda *args: []",
            "class X:\n  def __call__(self, environ, start_response): return []\nx = X()",
            "class x:\n  def __init__(self, environ, start_response): pass\n  def __iter__(self): return iter([])",
            "class X:\n  def go(self, environ, start_response): return []\nx = X().go",
            "import functools\nx = functools.partial(lambda a, environ, start_response: [], 1)",
            "class X:\n  def __getattr__(self, name): raise RuntimeError\n  def __call__(self, e, s): return []\nx = X()",
            "x = dict",
        ] {
            assert_eq!(verdict(code), "accepted", "{code}");
        }
    }

    #[test]
    fn asgi_applications_are_refused_by_name() {
        for code in [
            "async def x(scope, receive, send): pass",
            "class X:\n  async def __call__(self, scope, receive, send): pass\nx = X()",
            "class x:\n  async def __call__(self, receive, send): pass",
            "import functools\nasync def y(a, scope, receive, send): pass\nx = functools.partial(y, 1)",
        ] {
            assert_eq!(verdict(code), "x is an ASGI application; this version serves WSGI", "{code}");
        }
    }

    #[test]
    fn factories_and_data_are_told_apart() {
        assert!(verdict("def x(): return None").contains("use x() or --factory"));
        assert!(verdict("def x(config=None): return None").contains("use x() or --factory"));
        assert_eq!(verdict("x = {}"), "x is not an application: an object of type dict cannot be called");
    }
}
