//! Ironbridge's front end: bytes in, [`ironbridge_exchange::Request`] out, and back.
//!
//! * [`options`]: what users may set. 
//!
//! This crate must never know Python or processes.

pub mod options;
