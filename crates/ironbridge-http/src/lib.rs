//! Ironbridge's front end: bytes in, [`ironbridge_exchange::Request`] out, and back.
//!
//! A connection's way through here: a [`listener`] accepts a [`stream`] and the [`server`] makes a task of it; in the
//! [`connection`] the [`gate`] stands before hyper. The connection's service is [`answer`]: [`inbound`] reads the request's
//! body ahead; the layers of the [`stack`] and then the application answer; the gate sends the response, and the
//! [`journal`] writes it all down ([`access_log`], [`counters`]). [`deadline`] keeps everybody's time. What was a request may
//! become a [`websocket`].
//!
//! * [`options`] as typed, [`config`] as parsed.
//! * [`health`], [`plain`], [`date`], [`reason`]: what the server says itself.
//!
//! `examples/hello.rs` serves without Python. This crate must never know Python or processes.

pub mod access_log;
pub mod answer;
pub mod config;
pub mod connection;
pub mod counters;
pub mod date;
pub mod deadline;
pub mod gate;
pub mod health;
pub mod inbound;
pub mod journal;
pub mod listener;
pub mod options;
pub mod plain;
pub mod reason;
pub mod server;
pub mod stack;
pub mod stream;
pub mod websocket;
