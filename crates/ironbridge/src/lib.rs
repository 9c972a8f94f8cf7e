//! Ironbridge: argv, files and environment become a running server.
//!
//! * [`options`]: every option, declared once. [`sources`]: where their values come from.
//! * [`discovery`]: which application is meant. [`application`]: its import.
//! * [`worker`]: front end, engine and application, put together, with `memory` to tidy up behind it. [`signals`],
//!   [`shutdown`]: its end.
//! * `supervised`: the process that keeps workers alive. [`recycling`]: when a worker has served for long enough. `doors`: where it
//!   listens. `watching`: whether files have changed. `upgrade`: another version takes over. `control`: commands for a server that runs.
//! * [`system`]: user, files, service manager. `title`: what `ps` shows.
//! * [`configured`]: hooks of a Python configuration file, such as Gunicorn's.
//! * [`logging`]: the diagnostic log. [`generate`]: docs and types of the options.
//! * [`cli`], [`python_api`]: the two ways in, `ironbridge ...` and `ironbridge.serve(...)`.
//!
//! This crate is glue: what knows HTTP or runs Python code of a request belongs to the crates below.

pub mod application;
pub mod cli;
pub mod configured;
mod control;
pub mod discovery;
mod doors;
pub mod generate;
pub mod logging;
mod memory;
pub mod options;
pub mod python_api;
pub mod recycling;
pub mod shutdown;
pub mod signals;
pub mod sources;
mod supervised;
mod sys;
pub mod system;
mod title;
mod upgrade;
mod watching;
pub mod worker;

pub use python_api::_native;
