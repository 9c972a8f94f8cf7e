//! The HTTP/1 gate: the strict reader between the socket and hyper.
//!
//! One half is pure (bytes in, decisions out, no sockets and no waiting):
//!
//! * [`head`]: where a request's head ends, what it says, and whether it may pass.
//! * [`chunked`]: the framing of a chunked body, followed without copying it.
//! * [`minimal`]: the tiny head that hyper is given instead.
//! * [`limits`]: how large a head may be.
//! * [`refusal`]: why a request is turned away before any application sees it.
//!
//! The other half moves bytes between a socket and hyper:
//!
//! * [`io`]: the gate as hyper sees it, made of a [`reader`] and a [`writer`].
//! * [`whole`] and [`streamed`]: bodies of responses on their way out.
//! * [`lane`]: what gate and service tell each other past hyper.
//! * [`transport`]: what the gate needs of a socket, and `socket`: how ours meets it.
//!
//! One rule keeps the readers honest: what they decide depends on the bytes alone and never on how the
//! network cut them into pieces. The first offending byte decides.

pub mod chunked;
pub mod head;
pub mod io;
pub mod lane;
pub mod limits;
pub mod minimal;
pub mod reader;
pub mod refusal;
pub mod streamed;
pub mod transport;
pub mod whole;
pub mod writer;

pub(crate) mod alarm;
pub(crate) mod scratch;

mod field_line;
mod host;
mod meaning;
mod request_line;
mod socket;
mod sys;
mod target;
mod trailer;
