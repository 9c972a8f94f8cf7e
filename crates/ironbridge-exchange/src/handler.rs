//! The one border between a front end and an application.

use std::{convert::Infallible, sync::Arc};

use crate::{
    body::{RequestBody, ResponseBody},
    head::{RequestHead, ResponseHead},
    hints::EarlyHints,
    peer::Peer,
    websocket::Offer,
};

/// One request on its way to an application.
#[derive(Debug)]
pub struct Request {
    /// Method, target, version and header lines; shared with whoever writes the request down.
    pub head: Arc<RequestHead>,
    /// The body, read ahead as far as the front end was told to.
    pub body: RequestBody,
    /// Who sent it.
    pub peer: Arc<Peer>,
    /// Where 103 responses go; `None` where the protocol version has none (HTTP/1.0).
    pub early_hints: Option<EarlyHints>,
    /// The client asks for a WebSocket, and the front end speaks that.
    pub websocket: Option<Offer>,
}

/// One response on its way back.
#[derive(Debug)]
pub struct Response {
    /// Status and header lines.
    pub head: ResponseHead,
    /// The body.
    pub body: ResponseBody,
}

/// What answers requests. Dropping the future means that the client has gone.
pub trait Handler:
    tower::Service<Request, Response = Response, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Handler for S where
    S: tower::Service<Request, Response = Response, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}
