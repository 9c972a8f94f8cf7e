//! The engine with real threads and a model of an interpreter: one lock that only one thread holds at a time.

pub(super) mod fake_reactor;
pub(super) mod python;
pub(super) mod slot;

#[cfg(not(feature = "model"))]
mod behaviour;
#[cfg(not(feature = "model"))]
mod cost;
#[cfg(not(feature = "model"))]
mod stress;
#[cfg(not(feature = "model"))]
mod within;
