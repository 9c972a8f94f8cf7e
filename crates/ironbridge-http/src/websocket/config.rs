//! What WebSockets were told, parsed once.

use std::time::Duration;

use super::options::WebSocketOptions;

/// The configuration of WebSockets.
#[derive(Debug, Clone, Copy)]
pub struct WebSocketConfig {
    /// Most bytes of a message.
    pub max_size: usize,
    /// Messages that may wait for the application.
    pub queue: usize,
    /// Between pings; `None`: none are sent.
    pub ping_interval: Option<Duration>,
    /// For the answer to one; `None`: for ever.
    pub ping_timeout: Option<Duration>,
    /// Largest window, as a power of two, of what is compressed; `None`: nothing is.
    pub window_bits: Option<u8>,
}

impl From<&WebSocketOptions> for WebSocketConfig {
    fn from(options: &WebSocketOptions) -> Self {
        let time = |seconds: f64| (seconds > 0.0).then(|| Duration::from_secs_f64(seconds));
        Self {
            max_size: usize::try_from(options.ws_max_size).unwrap_or(usize::MAX),
            queue: options.ws_max_queue as usize,
            ping_interval: time(options.ws_ping_interval),
            ping_timeout: time(options.ws_ping_timeout),
            window_bits: (!options.no_ws_deflate).then_some(options.ws_deflate_window_bits),
        }
    }
}
