//! Makes the event loop, and has it hear of requests: through the selector in which it waits, or by a bell.

use std::{
    os::fd::RawFd,
    sync::{Arc, OnceLock},
};

use pyo3::{Bound, PyAny, PyResult, Python, prelude::*};

use super::{gateway::Gateway, helm::Helm, lifespan::LifespanError, selector::Selector};
use crate::fork;

/// How a loop hears of requests.
pub enum Waiter<'py> {
    /// It waits in our selector.
    Selector(Bound<'py, Selector>),
    /// It waits elsewhere, and watches the bell.
    Bell {
        /// What it calls then.
        answer: Bound<'py, Answer>,
        /// The bell's descriptor.
        fd: RawFd,
    },
}

/// What a loop calls when the bell has been rung.
#[pyclass(frozen, module = "ironbridge._native")]
pub struct Answer {
    helm: Arc<Helm>,
    gateway: OnceLock<Gateway>,
}

#[pymethods]
impl Answer {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        fork::end_child(py);
        let Some(bell) = self.helm.bell() else { return Ok(()) };
        bell.silence();
        if let Some(gateway) = self.gateway.get() {
            self.helm.batch(|| gateway.work(py))?;
        }
        if self.helm.has_notices() {
            bell.ring();
        }
        Ok(())
    }
}

impl<'py> Waiter<'py> {
    /// Makes the loop that `--loop` names.
    ///
    /// # Errors
    /// [`LifespanError::Loop`] where there is no such loop, else Python's.
    pub fn make(
        py: Python<'py>,
        helm: &Arc<Helm>,
        name: &str,
    ) -> Result<(Bound<'py, PyAny>, Self), LifespanError> {
        let name = match name {
            "auto" if py.import("uvloop").is_ok() => "uvloop",
            "auto" => "asyncio",
            name => name,
        };
        tracing::info!("event loop: {name}");
        if name == "asyncio" {
            let (event_loop, selector) = Self::on_selector(py, helm)?;
            return Ok((event_loop, Self::Selector(selector)));
        }
        let (module, factory) = if name == "uvloop" {
            (name, "new_event_loop")
        } else {
            name.split_once(':').ok_or_else(|| LifespanError::Loop(format!("{name} is none of them")))?
        };
        let event_loop = py
            .import(module)
            .and_then(|module| module.getattr(factory)?.call0())
            .map_err(|error| LifespanError::Loop(format!("{name}: {error}")))?;
        let fd = helm.hang_bell().map_err(PyErr::from)?.fd();
        let answer = Bound::new(py, Answer { helm: Arc::clone(helm), gateway: OnceLock::new() })?;
        event_loop.call_method1("add_reader", (fd, &answer))?;
        Ok((event_loop, Self::Bell { answer, fd }))
    }

    /// asyncio's own loop on our selector.
    ///
    /// # Errors
    /// Python's, and the system's when it has no descriptors left.
    pub fn on_selector(
        py: Python<'py>,
        helm: &Arc<Helm>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, Selector>)> {
        let selector = Bound::new(py, Selector::new(py, Arc::clone(helm))?)?;
        let event_loop = py.import("asyncio")?.getattr("SelectorEventLoop")?.call1((&selector,))?;
        Ok((event_loop, selector))
    }

    /// From now on requests are served.
    pub fn open(&self, gateway: Gateway) {
        match self {
            Self::Selector(selector) => selector.get().open(gateway),
            Self::Bell { answer, .. } => {
                let _ = answer.get().gateway.set(gateway);
            }
        }
    }

    /// The loop is about to close.
    ///
    /// # Errors
    /// The loop's.
    pub fn leave(&self, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        match self {
            Self::Selector(_) => Ok(()),
            Self::Bell { fd, .. } => event_loop.call_method1("remove_reader", (fd,)).map(drop),
        }
    }
}
