//! The engine: a bounded pool of Python threads that take turns at driving the worker's reactor.
//!
//! * [`scheduler`]: every decision, as a plain state machine; [`regime`]: does the application block?
//! * [`pool`]: the threads that carry the decisions out; [`watchdog`]: the one that sees a reactor nobody drives.
//! * [`reactor`]: tokio's runtime as the engine sees it.
//! * [`parker`], [`roll`], [`wakes`], [`stopwatch`], [`sys`], [`sync`]: sleeping, counting, waking, measuring, the system, the
//!   locks.
//!
//! The rules are those of the design's section 3. This module knows neither Python nor HTTP.

pub mod moment;
pub(crate) mod parker;
pub mod pool;
pub mod reactor;
pub mod regime;
pub(crate) mod roll;
pub mod scheduler;
pub(crate) mod stopwatch;
pub(crate) mod sync;
pub(crate) mod sys;
pub(crate) mod wakes;
pub(crate) mod watchdog;

#[cfg(test)]
#[cfg(feature = "model")]
mod model;
#[cfg(test)]
mod tests;
