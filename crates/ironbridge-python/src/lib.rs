//! Ironbridge's Python side: [`ironbridge_exchange::Request`] to a Python application and back.
//!
//! * [`options`]: what users may set.
//!
//! * [`engine`]: who drives I/O, who runs Python.
//!
//! This crate must never know sockets, hyper or processes.

pub mod engine;
pub mod options;
