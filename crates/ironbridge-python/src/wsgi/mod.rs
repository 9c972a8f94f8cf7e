//! The WSGI adapter (PEP 3333): a [`ironbridge_exchange::Request`] becomes a call of the application, what the
//! application gives back becomes a response.
//!
//! * [`application`]: the call itself. [`environ`], with [`names`], [`header_keys`] and [`mount`]: what it is called with.
//! * [`start_response`] and [`progress`], the state machine of a response; [`heading`] checks what the application says.
//! * [`outlet`]: from the application's iterable to the connection.
//! * [`input`], [`error_stream`], [`file_wrapper`], [`early_hints`]: what environ's `wsgi.*` keys hold.

pub mod application;
pub mod early_hints;
pub mod environ;
pub mod error_stream;
pub mod file_wrapper;
pub mod header_keys;
pub mod heading;
pub mod input;
pub mod mount;
pub mod names;
pub mod outlet;
pub mod progress;
pub mod start_response;

pub(crate) mod ffi;

pub use application::Application;
