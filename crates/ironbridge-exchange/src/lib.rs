//! The words that both sides of Ironbridge speak: a [`Request`] comes in, a [`Response`] goes back.
//!
//! * [`head`]: a request's head as it came: one buffer and an index of its lines.
//! * [`fields`]: an ordered list of header lines over one buffer, spelled as they were written.
//! * [`block`]: header lines on their way out, rendered.
//! * [`body`]: what carries a body, in either direction; [`pipe`] is the bounded, two-sided kind.
//! * [`target`]: a request target, taken apart. [`scan`]: what bytes may stand in names and values.
//! * [`peer`]: who speaks to us, and where. [`kept`]: what adapters keep with such facts.
//! * [`hints`]: 103 Early Hints on their way out. [`websocket`]: messages in both directions.
//! * [`handler`]: the one trait between a front end and an application.
//!
//! This crate must never know hyper, sockets or Python.

pub mod block;
pub mod body;
pub mod fields;
pub mod handler;
pub mod head;
pub mod hints;
pub mod kept;
pub mod peer;
pub mod pipe;
pub mod scan;
pub mod target;
pub mod websocket;

pub use block::HeaderBlock;
pub use body::{RequestBody, ResponseBody};
pub use fields::Fields;
pub use handler::{Handler, Request, Response};
pub use head::{BodyFraming, RequestHead, ResponseHead, Version};
pub use peer::Peer;
