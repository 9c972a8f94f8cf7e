//! 103 Early Hints (RFC 8297) on their way from an application to its connection.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use crate::block::HeaderBlock;

/// Where an application puts the header lines of 103 responses to one request. A clone costs a reference count.
///
/// Whoever pushes also sees to it that the connection is polled.
#[derive(Debug, Clone)]
pub struct EarlyHints {
    shared: Arc<Shared>,
    request: u32,
}

/// Where the connection finds them.
#[derive(Debug, Clone, Default)]
pub struct HintQueue {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    any: AtomicBool,
    /// Requests of this connection whose final response has begun: the number of the one that is answered next.
    answered: AtomicU32,
    hints: Mutex<Vec<(u32, HeaderBlock)>>,
}

impl EarlyHints {
    /// Queues one 103 response. Once the final response has begun, nothing comes of it.
    pub fn push(&self, lines: HeaderBlock) {
        self.shared.hints.lock().unwrap_or_else(PoisonError::into_inner).push((self.request, lines));
        self.shared.any.store(true, Ordering::Release);
    }
}

impl HintQueue {
    /// The way in for the request of this number; the connection's first is 0.
    pub fn for_request(&self, request: u32) -> EarlyHints {
        EarlyHints { shared: Arc::clone(&self.shared), request }
    }

    /// Whether nothing waits. Costs one atomic load.
    #[inline]
    pub fn is_empty(&self) -> bool {
        !self.shared.any.load(Ordering::Acquire)
    }

    /// Takes what waits for the request that is answered next. What came too late for an earlier one is dropped; what
    /// belongs to a later one stays.
    pub fn take(&self) -> Vec<HeaderBlock> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut hints = self.shared.hints.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.shared.answered.load(Ordering::Relaxed);
        let (now, mut rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut *hints).into_iter().partition(|(request, _)| *request == next);
        rest.retain(|(request, _)| request.wrapping_sub(next) < u32::MAX / 2);
        self.shared.any.store(!rest.is_empty(), Ordering::Release);
        *hints = rest;
        now.into_iter().map(|(_, lines)| lines).collect()
    }

    /// The final response to the request that is answered next begins.
    #[inline]
    pub fn answer(&self) {
        // Only the connection's task changes it.
        let answered = self.shared.answered.load(Ordering::Relaxed);
        self.shared.answered.store(answered.wrapping_add(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_come_out_in_order_and_once() {
        let queue = HintQueue::default();
        assert!(queue.take().is_empty());
        let hints = queue.for_request(0);
        hints.push(HeaderBlock::default());
        hints.push(HeaderBlock::default());
        assert_eq!(queue.take().len(), 2);
        assert!(queue.take().is_empty());
    }

    #[test]
    fn hints_never_reach_another_request() {
        let queue = HintQueue::default();
        let (first, second) = (queue.for_request(0), queue.for_request(1));
        second.push(HeaderBlock::default());
        assert!(queue.take().is_empty());
        queue.answer();
        first.push(HeaderBlock::default());
        assert_eq!(queue.take().len(), 1);
        queue.answer();
        assert!(queue.take().is_empty() && queue.is_empty());
    }
}
