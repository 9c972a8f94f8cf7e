//! WebSockets (RFC 6455, RFC 7692): the handshake, frames, compression, and the connection's life after the handshake.
//!
//! [`handshake`] looks at the request; the application decides; [`driver`] takes the connection over from hyper. It reads with
//! the [`decoder`], which makes messages of [`frame`]s, and writes with the [`encoder`]; [`deflate`] is what both may have agreed
//! with the client ([`extension`]).

pub mod config;
pub mod decoder;
mod deflate;
pub mod driver;
mod encoder;
pub mod extension;
pub mod frame;
pub mod handshake;
pub mod options;
