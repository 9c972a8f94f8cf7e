//! Where a task waits: its coroutine, what that awaits, and so on, as lines of a traceback.

use pyo3::{Bound, PyAny, PyResult, prelude::*};

/// The places at which a suspended task waits, outermost first, as Python prints stacks.
///
/// A task itself tells only the outermost one. Where it is of a kind that tells nothing, that is said instead.
pub(super) fn whereabouts(task: &Bound<'_, PyAny>) -> String {
    match places(task) {
        Ok(places) => places.trim_end().to_owned(),
        Err(error) => format!("  (its place is not known: {error})"),
    }
}

fn places(task: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = task.py();
    let mut text = String::new();
    let mut next = Some(task.call_method0("get_coro")?);
    for _ in 0..DEEPEST {
        let Some(object) = next else { break };
        if let Some(frame) = first_of(&object, ["cr_frame", "gi_frame", "ag_frame"])? {
            let code = frame.getattr("f_code")?;
            let (file, line) = (code.getattr("co_filename")?, frame.getattr("f_lineno")?);
            text += &format!("  File \"{file}\", line {line}, in {}\n", code.getattr("co_name")?);
            let source = py.import("linecache")?.call_method1("getline", (&file, &line))?.to_string();
            if !source.trim().is_empty() {
                text += &format!("    {}\n", source.trim());
            }
        }
        next = match first_of(&object, ["cr_await", "gi_yieldfrom", "ag_await"])? {
            Some(awaited) => Some(awaited),
            None => generator_of(&object)?,
        };
    }
    Ok(text)
}

/// The first of these attributes that is there and not None.
fn first_of<'py>(object: &Bound<'py, PyAny>, names: [&str; 3]) -> PyResult<Option<Bound<'py, PyAny>>> {
    for name in names {
        if let Some(found) = object.getattr_opt(name)?.filter(|found| !found.is_none()) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// A step of an asynchronous generator does not tell which one it is of, but the garbage collector knows.
fn generator_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if !object.get_type().name()?.to_string().starts_with("async_generator_") {
        return Ok(None);
    }
    let referents = object.py().import("gc")?.call_method1("get_referents", (object,))?;
    for referent in referents.try_iter()? {
        let referent = referent?;
        if referent.hasattr("ag_frame")? {
            return Ok(Some(referent));
        }
    }
    Ok(None)
}

/// Coroutines that await each other in a ring do not exist, but generators can be strange.
const DEEPEST: usize = 100;
