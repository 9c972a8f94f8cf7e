//! 103 Early Hints (RFC 8297) on their way from an application to its connection.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::Waker,
};

use crate::fields::Fields;

/// Where an application puts the header lines of 103 responses, and where the connection finds them.
///
/// There is one for a connection; a clone costs a reference count.
#[derive(Debug, Clone, Default)]
pub struct EarlyHints {
    shared: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    hints: Vec<Fields>,
    connection: Option<Waker>,
}

impl EarlyHints {
    /// Queues one 103 response; returns whom to wake so that it goes out.
    pub fn push(&self, fields: Fields) -> Option<Waker> {
        let mut waiting = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.hints.push(fields);
        waiting.connection.take()
    }

    /// Takes what waits, and remembers whom to wake for the next.
    pub fn take(&self, connection: &Waker) -> Vec<Fields> {
        let mut waiting = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut waiting.connection {
            Some(waker) => waker.clone_from(connection),
            None => waiting.connection = Some(connection.clone()),
        }
        std::mem::take(&mut waiting.hints)
    }

    /// Forgets what waits: the final response has begun, and hints after it mean nothing.
    pub fn clear(&self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).hints.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_come_out_in_order_and_once() {
        let hints = EarlyHints::default();
        hints.push(Fields::default());
        hints.push(Fields::default());
        assert_eq!(hints.take(Waker::noop()).len(), 2);
        assert!(hints.take(Waker::noop()).is_empty());
        assert!(hints.push(Fields::default()).is_some(), "the connection asked to be woken");
        hints.clear();
        assert!(hints.take(Waker::noop()).is_empty());
    }
}
