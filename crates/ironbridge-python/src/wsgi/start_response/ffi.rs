//! start_response as CPython sees it: an object that is called by the vectorcall protocol (PEP 590), so that a call makes
//! neither a tuple of its arguments nor a second object for the write callable.

use std::{
    ffi::{CStr, c_int, c_void},
    mem::offset_of,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

use pyo3::{
    Borrowed, Bound, Py, PyAny, PyErr, PyResult, Python,
    exceptions::{PyRuntimeError, PyTypeError},
    ffi,
    prelude::*,
    types::PyType,
};

use super::{Arguments, StartResponse};

/// The type of the objects that applications are given. Made once for an application.
#[derive(Debug)]
pub struct StartResponseType {
    /// Always a type whose instances are [`Object`]s, and nobody else can make some.
    class: Py<PyType>,
}

/// One such object.
pub struct Callable<'py> {
    /// Always an instance of a [`StartResponseType`].
    object: Bound<'py, PyAny>,
}

#[repr(C)]
struct Object {
    base: ffi::PyObject,
    vectorcall: ffi::vectorcallfunc,
    value: StartResponse,
}

impl StartResponseType {
    /// Makes the type.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        let mut members = [
            ffi::PyMemberDef {
                name: c"__vectorcalloffset__".as_ptr(),
                type_code: ffi::Py_T_PYSSIZET,
                offset: offset_of!(Object, vectorcall) as ffi::Py_ssize_t,
                flags: ffi::Py_READONLY,
                doc: ptr::null(),
            },
            ffi::PyMemberDef::default(),
        ];
        let mut slots = [
            slot(ffi::Py_tp_dealloc, dealloc as ffi::destructor as *mut c_void),
            slot(ffi::Py_tp_call, ffi::PyVectorcall_Call as ffi::ternaryfunc as *mut c_void),
            slot(ffi::Py_tp_members, members.as_mut_ptr().cast()),
            slot(ffi::Py_tp_doc, DOC.as_ptr().cast_mut().cast()),
            slot(0, ptr::null_mut()),
        ];
        let mut spec = ffi::PyType_Spec {
            name: c"ironbridge._native.StartResponse".as_ptr(),
            basicsize: size_of::<Object>() as c_int,
            itemsize: 0,
            flags: (ffi::Py_TPFLAGS_DEFAULT
                | ffi::Py_TPFLAGS_HAVE_VECTORCALL
                | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION
                | ffi::Py_TPFLAGS_IMMUTABLETYPE) as _,
            slots: slots.as_mut_ptr(),
        };
        // SAFETY: the spec, its slots and members live during the call, which copies what it keeps, but for the name and the
        // texts, which are static. The slots have the types that their numbers stand for. The result is a new reference to a
        // type, or null with an exception set.
        unsafe {
            let class = ffi::PyType_FromSpec(&raw mut spec);
            let class = Bound::from_owned_ptr_or_err(py, class)?;
            Ok(Self { class: class.cast_into_unchecked::<PyType>().unbind() })
        }
    }

    /// Makes an object that holds `value`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn make<'py>(&self, py: Python<'py>, value: StartResponse) -> PyResult<Callable<'py>> {
        // SAFETY: the class is a type whose instances have the size of `Object`; memory from `PyObject_New` begins with
        // an initialised `PyObject`, and the two other fields are written before anybody sees it.
        unsafe {
            let object: *mut Object = ffi::PyObject_New(self.class.as_ptr().cast());
            if object.is_null() {
                return Err(PyErr::fetch(py));
            }
            (&raw mut (*object).vectorcall).write(called);
            (&raw mut (*object).value).write(value);
            Ok(Callable { object: Bound::from_owned_ptr(py, object.cast()) })
        }
    }
}

impl<'py> Callable<'py> {
    /// What an application is given.
    pub fn object(&self) -> &Bound<'py, PyAny> {
        &self.object
    }

    /// What it holds.
    pub fn get(&self) -> &StartResponse {
        // SAFETY: the object is an `Object`, whose value is shared and never moved while a reference to the object is held.
        unsafe { &(*self.object.as_ptr().cast::<Object>()).value }
    }
}

const fn slot(number: c_int, value: *mut c_void) -> ffi::PyType_Slot {
    ffi::PyType_Slot { slot: number, pfunc: value }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, when the last reference to one of our objects is gone, attached. The value is not used
    // again. Instances of a heap type hold a reference to it, which is given back last.
    unsafe {
        let class = ffi::Py_TYPE(object);
        let value = &raw mut (*object.cast::<Object>()).value;
        // A panic must not cross C.
        let _ = catch_unwind(AssertUnwindSafe(|| value.drop_in_place()));
        ffi::PyObject_Free(object.cast());
        ffi::Py_DECREF(class.cast());
    }
}

unsafe extern "C" fn called(
    callable: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    flags: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached.
    let py = unsafe { Python::assume_attached() };
    let call = AssertUnwindSafe(|| {
        // SAFETY: CPython calls this with one of our objects, and with arguments as PEP 590 says: pointers to as many
        // objects as the flags say, then one for each of the names, a tuple or null. All live during the call.
        let (object, arguments) = unsafe {
            let positional = usize::try_from(ffi::PyVectorcall_NARGS(flags)).unwrap_or(0);
            (Borrowed::from_ptr(py, callable), collect(py, arguments, positional, names)?)
        };
        // SAFETY: the callable is one of our objects, which the caller keeps alive.
        let value = unsafe { &(*callable.cast::<Object>()).value };
        value.call(&object, arguments)
    });
    let result = catch_unwind(call)
        .unwrap_or_else(|_| Err(PyRuntimeError::new_err("the server panicked in start_response")));
    match result {
        Ok(object) => object.into_ptr(),
        Err(error) => {
            error.restore(py);
            ptr::null_mut()
        }
    }
}

/// Sorts the arguments of a call.
///
/// # Safety
/// As PEP 590 says: `arguments` points to `positional` live objects and one more for each of `names`, a tuple or null.
unsafe fn collect<'a, 'py>(
    py: Python<'py>,
    arguments: *const *mut ffi::PyObject,
    positional: usize,
    names: *mut ffi::PyObject,
) -> PyResult<Arguments<'a, 'py>> {
    // SAFETY: the caller's promise.
    let argument = |place: usize| unsafe { Borrowed::from_ptr(py, *arguments.add(place)) };
    if positional > 3 {
        return Err(PyTypeError::new_err(format!(
            "start_response() takes status, headers and exc_info, not {positional} arguments"
        )));
    }
    let mut given = [None; 3];
    for (place, slot) in given.iter_mut().enumerate().take(positional) {
        *slot = Some(argument(place));
    }
    if !names.is_null() {
        // SAFETY: the caller's promise.
        let names: Borrowed<'_, '_, PyAny> = unsafe { Borrowed::from_ptr(py, names) };
        for (number, name) in names.try_iter()?.enumerate() {
            let name: String = name?.extract()?;
            let slot = ["status", "headers", "exc_info"].iter().position(|known| *known == name);
            match slot.map(|slot| &mut given[slot]) {
                Some(slot @ None) => *slot = Some(argument(positional + number)),
                Some(_) => {
                    return Err(PyTypeError::new_err(format!("start_response() got two values for {name}")));
                }
                None => {
                    return Err(PyTypeError::new_err(format!("start_response() has no argument {name}")));
                }
            }
        }
    }
    let [first, headers, exc_info] = given;
    Ok(Arguments { first, headers, exc_info })
}

const DOC: &CStr =
    c"start_response(status, headers, exc_info=None): begins the response and returns write(data), \
    as PEP 3333 says.";
