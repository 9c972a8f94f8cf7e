//! Tasks that wait in `receive()` and `send()`, and events that nobody has received.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use pyo3::{Bound, Py, PyAny, PyErr, PyResult, Python, prelude::*};

use super::{awaitable::Awaitable, conversation::Conversation, gateway::Common, names::Names};

/// Tasks that wait in `receive()`: each for one event, oldest first.
#[derive(Debug, Default)]
pub struct Readers {
    inner: Mutex<Reading>,
}

#[derive(Debug, Default)]
struct Reading {
    futures: VecDeque<Py<PyAny>>,
    /// Events that were given back, by the place of who had received them.
    returned: BTreeMap<u64, Py<PyAny>>,
    /// Calls of `receive()`: each has its place, and events are handed out in their order.
    calls: u64,
}

impl Readers {
    /// What `receive()` returns: complete, with an event given back or one of `next`, or to be completed by [`Self::serve`]. What
    /// nobody receives of it goes back to `giver`.
    ///
    /// # Errors
    /// Those of `next`; `MemoryError`.
    pub fn receive<'py>(
        &self,
        py: Python<'py>,
        common: &Common,
        giver: Conversation,
        next: impl FnOnce() -> PyResult<Poll<Py<PyAny>>>,
    ) -> PyResult<Bound<'py, Awaitable>> {
        let returned = self.inner().returned.pop_first();
        let (place, event) = match returned {
            Some((place, event)) => (place, Poll::Ready(event)),
            None => (self.next_place(), next()?),
        };
        let giver = Some((giver, place));
        let awaitable = match event {
            Poll::Ready(event) => Awaitable::ready(event, giver),
            Poll::Pending => Awaitable::waiting(&self.wait(py, common)?, giver)?,
        };
        Bound::new(py, awaitable)
    }

    fn next_place(&self) -> u64 {
        let mut inner = self.inner();
        inner.calls += 1;
        inner.calls
    }

    /// Gives an event back: it is received before all that come behind it.
    pub fn give_back(&self, event: Py<PyAny>, place: u64) {
        self.inner().returned.insert(place, event);
    }

    /// A future for the next event that is there for it.
    fn wait<'py>(&self, py: Python<'py>, common: &Common) -> PyResult<Bound<'py, PyAny>> {
        let future = common.create_future.bind(py).call0()?;
        // Those that were cancelled wait for nothing any more.
        let waiting = std::mem::take(&mut self.inner().futures);
        for reader in waiting {
            if !is_done(reader.bind(py), &common.names)? {
                self.inner().futures.push_back(reader);
            }
        }
        self.inner().futures.push_back(future.clone().unbind());
        Ok(future)
    }

    /// Gives events to those who wait, as long as there are any: those given back first, then those of `next`.
    ///
    /// # Errors
    /// Those of `next`; and what a future raises, which none does.
    pub fn serve(
        &self,
        py: Python<'_>,
        names: &Names,
        mut next: impl FnMut() -> PyResult<Poll<Py<PyAny>>>,
    ) -> PyResult<()> {
        loop {
            let Some(reader) = self.inner().futures.front().map(|reader| reader.clone_ref(py)) else {
                return Ok(());
            };
            let reader = reader.bind(py);
            if is_done(reader, names)? {
                // Cancelled.
                self.inner().futures.pop_front();
                continue;
            }
            let returned = self.inner().returned.pop_first();
            let event = match returned {
                Some((_, event)) => event,
                None => match next()? {
                    Poll::Ready(event) => event,
                    Poll::Pending => return Ok(()),
                },
            };
            self.inner().futures.pop_front();
            reader.call_method1(&names.set_result, (event,))?;
        }
    }

    fn inner(&self) -> MutexGuard<'_, Reading> {
        // No Python code runs under this lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tasks that wait in `send()`, all for the same: that the client takes something.
#[derive(Debug, Default)]
pub struct Writers {
    futures: Mutex<Vec<Py<PyAny>>>,
}

impl Writers {
    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.futures().is_empty()
    }

    /// A future for room, unless there is some: `has_room` is asked once the future can be found.
    ///
    /// # Errors
    /// Python's.
    pub fn wait<'py>(
        &self,
        py: Python<'py>,
        common: &Common,
        has_room: impl FnOnce() -> bool,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let future = common.create_future.bind(py).call0()?;
        self.futures().push(future.clone().unbind());
        if has_room() {
            self.futures().pop();
            return Ok(None);
        }
        Ok(Some(future))
    }

    /// Everybody goes on, or hears that nobody will take anything any more.
    ///
    /// # Errors
    /// What a future raises, which none does.
    pub fn release(&self, py: Python<'_>, names: &Names, error: Option<&dyn Fn() -> PyErr>) -> PyResult<()> {
        let writers = std::mem::take(&mut *self.futures());
        for writer in writers {
            let writer = writer.bind(py);
            if is_done(writer, names)? {
                continue;
            }
            match error {
                None => writer.call_method1(&names.set_result, (py.None(),))?,
                Some(error) => writer.call_method1(&names.set_exception, (error().into_value(py),))?,
            };
        }
        Ok(())
    }

    fn futures(&self) -> MutexGuard<'_, Vec<Py<PyAny>>> {
        // No Python code runs under this lock.
        self.futures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_done(future: &Bound<'_, PyAny>, names: &Names) -> PyResult<bool> {
    future.call_method0(&names.done)?.is_truthy()
}
