//! What the front end was told, parsed once.

use std::time::Duration;

use crate::{
    deadline::Timeouts,
    gate::{limits::HeadLimits, reader::ReadLimits, writer::Signature},
    options::{HttpOptions, RequestBuffering},
    websocket::config::WebSocketConfig,
};

/// How large a request's body may grow in memory, and what happens beyond that.
#[derive(Debug, Clone, Copy)]
pub struct Buffering {
    /// Bytes that are read ahead into memory.
    pub memory: usize,
    /// Whether all that goes beyond is collected in a temporary file before the application starts.
    pub spool: bool,
    /// Whether a client that waits for 100 Continue with a small body is asked to go on before the application asks for it: what waits
    /// for the body then is the connection, and not a thread of the application.
    pub asks_early: bool,
}

/// The front end's configuration.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Limits on what is read.
    pub limits: ReadLimits,
    /// Limits on time.
    pub timeouts: Timeouts,
    /// Read-ahead of request bodies.
    pub buffering: Buffering,
    /// Header lines that the server adds.
    pub signature: Signature,
    /// The path that is answered without the application.
    pub health_path: Option<String>,
    /// Connections open at once.
    pub max_connections: usize,
    /// WebSockets, where the application speaks them; otherwise who asks for one gets an answer as anybody else.
    pub websocket: Option<WebSocketConfig>,
}

impl From<&HttpOptions> for HttpConfig {
    fn from(options: &HttpOptions) -> Self {
        let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            limits: ReadLimits {
                head: HeadLimits {
                    request_line: bytes(options.limit_request_line),
                    head: bytes(options.limit_request_head),
                    fields: options.limit_request_fields as usize,
                },
                body: if options.limit_request_body == 0 { u64::MAX } else { options.limit_request_body },
            },
            timeouts: Timeouts {
                head: Duration::from_secs_f64(options.header_timeout),
                keep_alive: Duration::from_secs_f64(options.keep_alive),
                body: Duration::from_secs_f64(options.body_timeout),
                body_min_rate: options.body_min_rate,
                write: Duration::from_secs_f64(options.write_timeout),
            },
            buffering: Buffering {
                memory: bytes(options.request_buffer),
                spool: options.request_buffering == RequestBuffering::Full,
                asks_early: true,
            },
            signature: Signature { server: !options.no_server_header, date: !options.no_date_header },
            health_path: options.health_path.clone(),
            max_connections: options.max_connections as usize,
            websocket: Some(WebSocketConfig::from(&options.websocket)),
        }
    }
}
