//! Ironbridge's Python side: [`ironbridge_exchange::Request`] to a Python application and back.
//!
//! A request's way through here: the [`service`] makes a [`ticket`] of it; the [`engine`] decides which thread runs it and
//! when; on that thread the [`interpreter`] is attached, and the [`wsgi`] adapter calls the application. [`here`] is where
//! all of that can find its thread and its connection again. An [`asgi`] application has one thread with an event loop
//! instead of the pool. [`interface`]: which of the two it is.
//!
//! * [`worker`]: puts the parts together.
//! * [`options`]: what users may set. [`plain`]: answers without Python. [`fork`]: children that applications fork off.
//!   [`chores`]: what only the main thread may do.
//!   [`names`]: strings made once. [`overtime`], [`rounds`]: requests that take too long.
//!
//! This crate must never know sockets, hyper or processes.

pub mod asgi;
pub mod chores;
pub mod engine;
pub mod fork;
pub mod here;
pub mod interface;
pub mod interpreter;
pub mod names;
pub mod options;
pub mod overtime;
pub mod plain;
pub mod rounds;
pub mod service;
pub mod ticket;
pub mod worker;
pub mod wsgi;
