//! Is an object an application, and of which kind? Asked once, at start-up, so that the answer is not a 500 for every visitor.

use ironbridge_python::interface::{Interface, InterfaceChoice};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use super::LoadError;
use super::import::kind;

/// How `found` is called; `choice` is what the user says about it.
///
/// # Errors
/// [`LoadError::Unfit`] that names what `name` is instead.
pub(super) fn interface(
    found: &Bound<'_, PyAny>,
    name: &str,
    choice: InterfaceChoice,
) -> Result<Interface, LoadError> {
    if !found.is_callable() {
        return Err(LoadError::Unfit(format!(
            "{name} is not an application: {} cannot be called",
            kind(found)
        )));
    }
    // A question about an object that fails (an exotic __getattr__, say) is no reason to refuse it.
    let seen = asynchronous(found).unwrap_or(None);
    match (choice, seen) {
        (InterfaceChoice::Wsgi, _) => return Ok(Interface::Wsgi),
        (InterfaceChoice::Asgi, seen) => return Ok(seen.unwrap_or(Interface::Asgi3)),
        (InterfaceChoice::Auto, Some(asgi)) => return Ok(asgi),
        (InterfaceChoice::Auto, None) => {}
    }
    if is_factory(found).unwrap_or(false) {
        return Err(LoadError::Unfit(format!(
            "{name} takes no arguments, so it is not an application but perhaps a function that makes one: \
             use {name}() or --factory"
        )));
    }
    Ok(Interface::Wsgi)
}

/// Which ASGI application `found` is, if any: `async def app(...)`, an object whose `__call__` is one, or what takes the
/// arguments of an ASGI application and not those of a WSGI application.
fn asynchronous(found: &Bound<'_, PyAny>) -> PyResult<Option<Interface>> {
    let py = found.py();
    if found.is_instance_of::<PyType>() {
        // A class that is called with the scope, and whose instances are then awaited: ASGI 2.
        let is_asgi2 =
            is_coroutine_function(&found.getattr("__call__")?)? || takes(found, 1)? && !takes(found, 2)?;
        return Ok(is_asgi2.then_some(Interface::Asgi2));
    }
    let mut function = found.clone();
    while function.is_instance(&py.import("functools")?.getattr("partial")?)? {
        function = function.getattr("func")?;
    }
    if is_coroutine_function(&function)? || is_coroutine_function(&function.get_type().getattr("__call__")?)?
    {
        return Ok(Some(Interface::Asgi3));
    }
    Ok(match (takes(found, 1)?, takes(found, 2)?, takes(found, 3)?) {
        (_, true, _) => None,
        (_, false, true) => Some(Interface::Asgi3),
        (true, false, false) if !takes(found, 0)? => Some(Interface::Asgi2),
        _ => None,
    })
}

fn is_coroutine_function(function: &Bound<'_, PyAny>) -> PyResult<bool> {
    function.py().import("inspect")?.call_method1("iscoroutinefunction", (function,))?.extract()
}

/// Whether `found` can be called with so many arguments.
fn takes(found: &Bound<'_, PyAny>, count: usize) -> PyResult<bool> {
    let py = found.py();
    let signature = py.import("inspect")?.call_method1("signature", (found,))?;
    let arguments = PyTuple::new(py, (0..count).map(|_| py.None()))?;
    Ok(signature.call_method1("bind", arguments).is_ok())
}

/// Can be called with nothing, but not with environ and start_response.
fn is_factory(found: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(!takes(found, 2)? && takes(found, 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(code: &str) -> String {
        Python::attach(|py| {
            let code = std::ffi::CString::new(code).unwrap();
            let module = PyModule::from_code(py, &code, c"tested.py", c"tested").unwrap();
            match interface(&module.getattr("x").unwrap(), "x", InterfaceChoice::Auto) {
                Ok(interface) => interface.name().to_owned(),
                Err(error) => error.to_string(),
            }
        })
    }

    #[test]
    fn wsgi_applications_are_known() {
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
            assert_eq!(verdict(code), "WSGI", "{code}");
        }
    }

    #[test]
    fn asgi_applications_are_known() {
        for code in [
            "async def x(scope, receive, send): pass",
            "class X:\n  async def __call__(self, scope, receive, send): pass\nx = X()",
            "class X:\n  def __init__(self): self.__call__ = self.run\n  async def run(self, scope, receive, send): pass\n  def __call__(self, scope, receive, send): return self.run(scope, receive, send)\nx = X()",
            "x = lambda scope, receive, send: None",
            "import functools\nasync def y(a, scope, receive, send): pass\nx = functools.partial(y, 1)",
        ] {
            assert_eq!(verdict(code), "ASGI", "{code}");
        }
        for code in [
            "class x:\n  async def __call__(self, receive, send): pass",
            "class x:\n  def __init__(self, scope): pass\n  async def __call__(self, receive, send): pass",
            "def x(scope):\n  async def run(receive, send): pass\n  return run",
        ] {
            assert_eq!(verdict(code), "ASGI 2", "{code}");
        }
    }

    #[test]
    fn what_the_user_says_counts() {
        Python::attach(|py| {
            let x = py.eval(c"lambda scope, receive, send: None", None, None).unwrap();
            assert_eq!(interface(&x, "x", InterfaceChoice::Wsgi).unwrap(), Interface::Wsgi);
            let x = py.eval(c"lambda environ, start_response: None", None, None).unwrap();
            assert_eq!(interface(&x, "x", InterfaceChoice::Asgi).unwrap(), Interface::Asgi3);
        });
    }

    #[test]
    fn factories_and_data_are_told_apart() {
        assert!(verdict("def x(): return None").contains("use x() or --factory"));
        assert!(verdict("def x(config=None): return None").contains("use x() or --factory"));
        assert_eq!(verdict("x = {}"), "x is not an application: an object of type dict cannot be called");
    }
}
