//! ASGI: an asyncio event loop whose selector drives the reactor, and an application's `scope`, `receive` and `send`.
//!
//! A request's way through here: its connection's task leaves it on a [`desk`] and waits; the [`selector`], in which asyncio
//! waits, has the [`gateway`] make a task of it ([`starter`]), with a [`scope`] and an [`exchange`], whose `receive` and `send` move the
//! body ([`incoming`]) in and the response ([`outgoing`]) out; a request that asks for
//! one gets a [`websocket`]; either is a [`conversation`], in which tasks may be [`waiting`]. What events hold is read by [`values`]. A loop of another kind hears of requests by a [`bell`] ([`waiter`]). [`helm`] says who drives the reactor; [`event_loop`] puts it together;
//! [`lifespan`] tells the application of start and stop, [`signal_handlers`] has it hear of signals. `whereabouts` tells where a task waits.

pub mod awaitable;
pub mod bell;
pub mod conversation;
pub mod desk;
pub mod event_loop;
pub mod exchange;
pub mod gateway;
pub mod helm;
pub mod incoming;
pub mod lifespan;
pub mod names;
pub mod outgoing;
pub mod scope;
pub mod selector;
pub mod signal_handlers;
pub mod starter;
mod sys;
pub mod transfer;
pub mod values;
pub mod waiter;
pub mod waiting;
pub mod websocket;
mod whereabouts;
