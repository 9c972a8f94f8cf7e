//! 103 Early Hints (RFC 8297) on their way from an application to its connection.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crate::block::HeaderBlock;

/// Where an application puts the header lines of 103 responses, and where the connection finds them.
///
/// There is one for a connection; a clone costs a reference count. Whoever pushes also sees to it that the
/// connection is polled.
#[derive(Debug, Clone, Default)]
pub struct EarlyHints {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    any: AtomicBool,
    hints: Mutex<Vec<HeaderBlock>>,
}

impl EarlyHints {
    /// Queues one 103 response.
    pub fn push(&self, lines: HeaderBlock) {
        self.shared.hints.lock().unwrap_or_else(PoisonError::into_inner).push(lines);
        self.shared.any.store(true, Ordering::Release);
    }

    /// Whether nothing waits. Costs one atomic load.
    #[inline]
    pub fn is_empty(&self) -> bool {
        !self.shared.any.load(Ordering::Acquire)
    }

    /// Takes what waits. Costs no more while nothing does.
    pub fn take(&self) -> Vec<HeaderBlock> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut hints = self.shared.hints.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.any.store(false, Ordering::Release);
        std::mem::take(&mut hints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_come_out_in_order_and_once() {
        let hints = EarlyHints::default();
        assert!(hints.take().is_empty());
        hints.push(HeaderBlock::default());
        hints.push(HeaderBlock::default());
        assert_eq!(hints.take().len(), 2);
        assert!(hints.take().is_empty());
    }
}
