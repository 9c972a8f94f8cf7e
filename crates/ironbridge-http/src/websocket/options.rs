//! Options of WebSockets, as typed.

use clap::Args;

use crate::options::{parse_seconds, parse_size};

/// What WebSockets may take.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "WebSocket")]
pub struct WebSocketOptions {
    /// Largest WebSocket message in bytes, measured after inflating; beyond it the connection closes with 1009.
    #[arg(long, value_name = "BYTES", default_value = "16M", value_parser = parse_size)]
    pub ws_max_size: u64,

    /// Messages that may wait for the application; beyond it nothing more is read from the client.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub ws_max_queue: u32,

    /// Seconds between pings to a client. 0: none.
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = parse_seconds)]
    pub ws_ping_interval: f64,

    /// Seconds for a client to answer a ping; beyond it the connection closes with 1011. 0: no limit.
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = parse_seconds)]
    pub ws_ping_timeout: f64,

    /// Do not compress messages (permessage-deflate), even if the client would.
    #[arg(long)]
    pub no_ws_deflate: bool,

    /// Size of the window for compressing messages, as a power of two: more memory a connection for smaller messages.
    #[arg(long, value_name = "BITS", default_value_t = 12, value_parser = clap::value_parser!(u8).range(9..=15))]
    pub ws_deflate_window_bits: u8,
}
