//! Options of the engine and the adapters: as typed ([`PythonOptions`]).

use clap::{Args, ValueEnum, builder::PossibleValuesParser};

use crate::interface::InterfaceChoice;

/// How many requests run at once, and what waits before them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Python")]
pub struct PythonOptions {
    /// How the application is called. With `auto` it is looked at.
    #[arg(long, value_name = "INTERFACE", value_enum, default_value_t = InterfaceChoice::Auto)]
    pub interface: InterfaceChoice,

    /// Event loop of an ASGI application: asyncio, uvloop, or MODULE:FUNCTION that makes one; auto is uvloop where that is
    /// installed. asyncio waits in the server's own reactor, which is best for applications that ask no other servers; for any
    /// other loop the reactor runs on a second thread.
    #[arg(long, value_name = "LOOP", default_value = "auto", value_parser = parse_loop)]
    pub r#loop: String,

    /// Whether an ASGI application is told when the server starts and stops. With `auto`, one that does not support it is
    /// served without.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = LifespanMode::Auto)]
    pub lifespan: LifespanMode,

    /// Seconds for an ASGI application to start, and to shut down. Beyond it the log shows where it waits, and the server ends.
    /// 0: no limit.
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = parse_seconds)]
    pub lifespan_timeout: f64,

    /// Version of "ASGI HTTP" that an application is told. Below 2.4 some frameworks wait for a client's leaving beside their
    /// response, instead of hearing of it when they send.
    #[arg(long, value_name = "VERSION", default_value = "2.5", value_parser = PossibleValuesParser::new(SPEC_VERSIONS))]
    pub asgi_spec_version: String,

    /// Cancel the task of an ASGI application when the client leaves whose HTTP request it answers.
    #[arg(long)]
    pub cancel_on_disconnect: bool,

    /// Seconds of a blocked event loop (ASGI) after which the log shows the Python code that blocks it. 0: never.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds)]
    pub stall_warning: f64,

    /// Most Python threads that run requests at once. They start when needed, so a high number costs nothing.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub threads: u32,

    /// Seconds after which a Python thread that had nothing to do ends.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    pub thread_idle_timeout: f64,

    /// Most requests that wait for a Python thread; beyond it 503 with Retry-After.
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    pub queue_size: u32,

    /// Seconds that a request may wait for a Python thread; beyond it 503 with Retry-After. 0: no limit.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    pub queue_timeout: f64,

    /// Seconds that an application may take to begin its response. Beyond it the log shows where it is, the client gets 504, and
    /// RequestTimeout is raised in the application's thread (WSGI), or its task is cancelled (ASGI). If it goes on for 5 more
    /// seconds, the worker is replaced while its other requests finish. WebSockets are left alone. 0: no limit.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = parse_seconds)]
    pub request_timeout: f64,

    /// Another --request-timeout for a path and all below it, such as /reports=120. The longest path counts. May be given several
    /// times.
    #[arg(long, value_name = "PATH=SECONDS", value_parser = parse_route)]
    pub request_timeout_for: Vec<(String, f64)>,

    /// Seconds after which the log shows where an application is that has not begun its response. 0: never.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = parse_seconds)]
    pub request_warning: f64,

    /// URL path that the application is mounted at: WSGI's SCRIPT_NAME, ASGI's root_path. A WSGI application answers 404
    /// outside it; for an ASGI application it is put before paths that lack it.
    #[arg(long, value_name = "PATH", default_value = "", value_parser = parse_root_path)]
    pub root_path: String,
}

/// Whether the lifespan protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LifespanMode {
    /// Where the application supports it.
    Auto,
    /// Always: an application that does not support it does not start.
    On,
    /// Never.
    Off,
}

/// Versions of ASGI's "HTTP & WebSocket".
const SPEC_VERSIONS: [&str; 6] = ["2.0", "2.1", "2.2", "2.3", "2.4", "2.5"];

fn parse_loop(text: &str) -> Result<String, String> {
    let is_factory =
        text.split_once(':').is_some_and(|(module, name)| !module.is_empty() && !name.is_empty());
    if matches!(text, "auto" | "asyncio" | "uvloop") || is_factory {
        Ok(text.to_owned())
    } else {
        Err("expected auto, asyncio, uvloop or MODULE:FUNCTION".into())
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && (0.0..=1e9).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number of seconds such as 30 or 0.5".into()),
    }
}

fn parse_route(text: &str) -> Result<(String, f64), String> {
    let (path, seconds) = text.rsplit_once('=').ok_or("expected PATH=SECONDS, such as /reports=120")?;
    if !path.starts_with('/') {
        return Err("expected a path that starts with a slash, such as /reports=120".into());
    }
    Ok((path.to_owned(), parse_seconds(seconds)?))
}

fn parse_root_path(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    if trimmed.is_empty() || trimmed.starts_with('/') {
        Ok(trimmed.to_owned())
    } else {
        Err("expected a path that starts with a slash, such as /shop".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_a_path_and_seconds() {
        assert_eq!(parse_route("/a=b=1.5"), Ok(("/a=b".to_owned(), 1.5)));
        for wrong in ["/a", "a=1", "=1", "/a=x", "/a=-1"] {
            assert!(parse_route(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn root_paths_start_with_a_slash_and_do_not_end_with_one() {
        assert_eq!(parse_root_path(""), Ok(String::new()));
        assert_eq!(parse_root_path("/"), Ok(String::new()));
        assert_eq!(parse_root_path("/shop/"), Ok("/shop".to_owned()));
        assert!(parse_root_path("shop").is_err());
    }
}
