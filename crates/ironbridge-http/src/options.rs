//! Options of the HTTP front end: as typed ([`HttpOptions`]). The rooms that obey them parse them further.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};

use crate::{access_log::pattern::Pattern, listener::Target, websocket::options::WebSocketOptions};

/// Where to listen, what to accept, and how long to wait.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpOptions {
    /// Address to listen on: HOST:PORT (IPv6 in brackets), :PORT, unix:PATH or fd://N. May be given several times.
    /// Port 0 takes a free port. Without this option: 127.0.0.1:8000, or 0.0.0.0:$PORT where PORT is set.
    #[arg(long, short = 'b', value_name = "ADDRESS", value_parser = parse_address)]
    pub bind: Vec<String>,

    /// Permission bits of unix sockets, octal.
    #[arg(long, value_name = "MODE", default_value = "660", value_parser = parse_mode)]
    pub unix_socket_mode: u32,

    /// Group that owns unix sockets: a name or a number.
    #[arg(long, value_name = "GROUP")]
    pub unix_socket_group: Option<String>,

    /// Connections that the kernel may hold for us until we accept them.
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub backlog: u32,

    /// Connections open at once; further ones wait in the backlog.
    #[arg(long, value_name = "N", default_value_t = 32_768, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// Longest request line in bytes; beyond it 414.
    #[arg(long, value_name = "BYTES", default_value = "8K", value_parser = parse_size)]
    pub limit_request_line: u64,

    /// Longest header block in bytes; beyond it 431.
    #[arg(long, value_name = "BYTES", default_value = "64K", value_parser = parse_size)]
    pub limit_request_head: u64,

    /// Most header lines in a request; beyond it 431.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit_request_fields: u32,

    /// Largest request body in bytes (K, M, G suffixes); beyond it 413. 0: no limit.
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = parse_size)]
    pub limit_request_body: u64,

    /// Seconds for a request's head to arrive whole.
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = parse_seconds)]
    pub header_timeout: f64,

    /// Seconds for which a request body may stay below --body-min-rate.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    pub body_timeout: f64,

    /// Bytes per second that a request body must reach over each --body-timeout.
    #[arg(long, value_name = "BYTES", default_value = "100", value_parser = parse_size)]
    pub body_min_rate: u64,

    /// Seconds that an idle connection is kept for its next request. 0: close after each response.
    #[arg(long, value_name = "SECONDS", default_value = "75", value_parser = parse_seconds)]
    pub keep_alive: f64,

    /// Seconds for which a client may take no byte of its response.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    pub write_timeout: f64,

    /// What happens to request bodies larger than --request-buffer: "stream" starts the application and passes
    /// the rest on as it arrives; "full" collects all of it in a temporary file first.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = RequestBuffering::Stream)]
    pub request_buffering: RequestBuffering,

    /// Bytes of a request body that are read ahead in memory before the application starts.
    #[arg(long, value_name = "BYTES", default_value = "64K", value_parser = parse_size)]
    pub request_buffer: u64,

    /// Leave out the Server header.
    #[arg(long)]
    pub no_server_header: bool,

    /// Leave out the Date header.
    #[arg(long)]
    pub no_date_header: bool,

    /// Path that the server answers itself with 200 while it is healthy, and with 503 when it is about to end, without Python.
    #[arg(long, value_name = "PATH", value_parser = parse_path)]
    pub health_path: Option<String>,

    /// Write a line per request to this file, or to the standard output ("-").
    #[arg(long, value_name = "FILE", alias = "access-logfile")]
    pub access_log: Option<PathBuf>,

    /// Format of the access log: common, combined, json, or one of your own in Gunicorn's style, such as %(h)s "%(r)s" %(s)s %(D)s.
    #[arg(long, value_name = "FORMAT", default_value = "combined", value_parser = parse_access_log_format, alias = "access-logformat")]
    pub access_log_format: AccessLogFormat,

    /// WebSockets.
    #[command(flatten)]
    pub websocket: WebSocketOptions,
}

/// What happens to request bodies that do not fit into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RequestBuffering {
    /// Start the application, stream the rest.
    Stream,
    /// Spool everything to a temporary file first.
    Full,
}

/// Formats of access log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// The Common Log Format.
    Common,
    /// Common, with Referer and User-Agent.
    Combined,
    /// One JSON object a line.
    Json,
    /// The user's own.
    Custom(Arc<Pattern>),
}

fn parse_access_log_format(text: &str) -> Result<AccessLogFormat, String> {
    match text {
        "common" => Ok(AccessLogFormat::Common),
        "combined" => Ok(AccessLogFormat::Combined),
        "json" => Ok(AccessLogFormat::Json),
        _ if text.contains("%(") => {
            Pattern::parse(text).map(|pattern| AccessLogFormat::Custom(Arc::new(pattern)))
        }
        _ => Err("expected common, combined, json, or a format such as %(h)s \"%(r)s\" %(s)s".to_owned()),
    }
}

/// Reads `123`, `64K`, `10M`, `2G` (powers of 1024).
///
/// # Errors
/// A sentence that says what is accepted.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        _ => return Err("expected a number of bytes such as 8190, 64K, 10M or 1G".into()),
    };
    let number: u64 =
        digits.parse().map_err(|_| "expected a number of bytes such as 8190, 64K, 10M or 1G".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "too large".into())
}

/// Reads a number of seconds, fractions allowed, zero or more.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && (0.0..=1e9).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number of seconds such as 30 or 0.5".into()),
    }
}

/// Checks an address here already, so that an error names the source in which it stands.
fn parse_address(text: &str) -> Result<String, String> {
    text.parse::<Target>().map(|_| text.to_owned())
}

fn parse_path(text: &str) -> Result<String, String> {
    match text.starts_with('/') {
        true => Ok(text.to_owned()),
        false => Err("expected a path that starts with a slash, such as /healthz".into()),
    }
}

fn parse_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text.trim_start_matches("0o"), 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("expected octal permission bits such as 660".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_suffixes_and_refuse_the_rest() {
        assert_eq!(parse_size("8190"), Ok(8190));
        assert_eq!(parse_size("64K"), Ok(65_536));
        assert_eq!(parse_size("1g"), Ok(1 << 30));
        for bad in ["", "K", "-1", "1T", "1.5K", "99999999999999999999", "18446744073709551615K"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seconds_are_finite_and_not_negative() {
        assert_eq!(parse_seconds("0.5"), Ok(0.5));
        for bad in ["", "-1", "inf", "nan", "1s"] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn formats_of_the_access_log_have_names_or_are_patterns() {
        assert_eq!(parse_access_log_format("common"), Ok(AccessLogFormat::Common));
        assert_eq!(parse_access_log_format("combined"), Ok(AccessLogFormat::Combined));
        assert_eq!(parse_access_log_format("json"), Ok(AccessLogFormat::Json));
        assert!(matches!(parse_access_log_format("%(h)s %(s)s"), Ok(AccessLogFormat::Custom(_))));
        for bad in ["", "Common", "combined ", "%h", "h s"] {
            let reason = parse_access_log_format(bad).expect_err(bad);
            assert!(reason.contains("common, combined, json, or a format such as %("), "{bad}: {reason}");
        }
        let reason = parse_access_log_format("%(h)s %(s)x").expect_err("no such conversion");
        assert!(reason.contains("at character 7: \"%(s)x\""), "{reason}");
    }

    #[test]
    fn paths_start_with_a_slash() {
        assert_eq!(parse_path("/healthz"), Ok("/healthz".to_owned()));
        for bad in ["", "healthz", "*"] {
            assert!(parse_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(parse_mode("0660"), Ok(0o660));
        assert_eq!(parse_mode("0o600"), Ok(0o600));
        for bad in ["8", "rw", "7777", ""] {
            assert!(parse_mode(bad).is_err(), "{bad}");
        }
    }
}
