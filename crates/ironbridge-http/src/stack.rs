//! The layers between the connection and the application, outermost first, one line each.

use ironbridge_exchange::Handler;
use tower::Layer;

use crate::{config::HttpConfig, health::HealthLayer, server::Drain};

/// Puts every layer that `config` asks for around `application`.
pub fn stack<H: Handler>(application: H, config: &HttpConfig, drain: &Drain) -> impl Handler + use<H> {
    // Answered first: probes must get through when all Python threads are blocked and the queue is full.
    HealthLayer::new(config.health_path.clone(), drain.clone()).layer(application)
}
