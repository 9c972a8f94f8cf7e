//! Ironbridge: argv, files and environment become a running server.
//!
//! * [`options`]: every option, declared once. [`sources`]: where their values come from.
//! * [`discovery`]: which application is meant. [`application`]: its import.
//! * [`worker`]: front end, engine and application, put together, with `memory` to tidy up behind it. [`signals`],
//!   [`shutdown`]: its end.
//! * [`logging`]: the diagnostic log. [`generate`]: docs and types of the options.
//! * [`cli`], [`python_api`]: the two ways in, `ironbridge ...` and `ironbridge.serve(...)`.
//!
//! This crate is glue: what knows HTTP or runs Python code of a request belongs to the crates below.

pub mod application;
pub mod cli;
pub mod discovery;
pub mod generate;
pub mod logging;
mod memory;
pub mod options;
pub mod python_api;
pub mod shutdown;
pub mod signals;
pub mod sources;
mod sys;
pub mod worker;

pub use python_api::_native;
