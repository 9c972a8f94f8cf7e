//! The supervisor: one thread without a runtime that keeps worker processes alive.
//!
//! * [`fleet`]: which workers there are, which there should be, and what follows from that. It touches nothing: it is told what
//!   happened and what time it is, and says what to do.
//! * [`link`]: what a worker and its supervisor tell each other.
//! * [`exit`]: how a process ended, in words.
//! * [`supervisor`]: the loop that waits, asks the fleet, forks, signals and reaps.
//!
//! What a worker does, how a process is forked, and where options come from is the [`supervisor::Host`]'s business: this crate knows
//! neither HTTP nor Python.

pub mod exit;
pub mod fleet;
pub mod link;
pub mod supervisor;
