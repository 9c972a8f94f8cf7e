//! Addresses as users write them.

use std::{net::Ipv6Addr, path::PathBuf, str::FromStr};

use super::error::BindError;
use crate::options::HttpOptions;

/// An address to listen on: what it means, and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindAddress {
    text: String,
    origin: Origin,
    target: Target,
}

/// Who asked for an address. Errors name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `--bind`, or the same option by environment, file or keyword.
    Option,
    /// `--control-socket`, likewise.
    ControlSocket,
    /// The environment variable `PORT`, as platforms set it.
    PortVariable,
    /// Nobody: the default.
    Default,
}

/// What to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// TCP.
    Tcp {
        /// A name or an IP address, IPv6 without brackets.
        host: String,
        /// 0 takes a free port.
        port: u16,
    },
    /// A unix socket in the file system.
    Unix(PathBuf),
    /// A Linux unix socket without a file; the name without its `@`.
    Abstract(String),
    /// A socket that our parent opened and listens on.
    Fd(i32),
}

/// The addresses to listen on: all of `--bind`; else `0.0.0.0:$PORT` where `PORT` is set and not empty; else
/// `127.0.0.1:8000`.
///
/// # Errors
/// [`BindError::Syntax`] for the first text that is no address.
pub fn addresses(options: &HttpOptions, port_env: Option<&str>) -> Result<Vec<BindAddress>, BindError> {
    if !options.bind.is_empty() {
        return options.bind.iter().map(|text| BindAddress::parse(text, Origin::Option)).collect();
    }
    let only = match port_env.filter(|port| !port.is_empty()) {
        Some(port) => BindAddress::parse(port, Origin::PortVariable)?,
        None => BindAddress::parse(DEFAULT_ADDRESS, Origin::Default)?,
    };
    Ok(vec![only])
}

impl BindAddress {
    /// Reads `HOST:PORT`, `[IPV6]:PORT`, `:PORT` (all IPv4 interfaces), `HOST` (port 8000), `PORT` (on 127.0.0.1),
    /// `unix:PATH`, `unix:@NAME` or `fd://N`; `tcp://` and `unix://` in front are tolerated. With
    /// [`Origin::PortVariable`] the text is a port number alone, on all IPv4 interfaces.
    ///
    /// # Errors
    /// [`BindError::Syntax`].
    pub fn parse(text: &str, origin: Origin) -> Result<Self, BindError> {
        let target = match origin {
            Origin::PortVariable => parse_port(text).map(every_interface),
            Origin::ControlSocket => parse_unix(text),
            Origin::Option | Origin::Default => text.parse(),
        };
        match target {
            Ok(target) => Ok(Self { text: text.to_owned(), origin, target }),
            Err(reason) => Err(BindError::Syntax { at: blame(text, origin), reason }),
        }
    }

    /// What was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What to listen on.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The option and the text, as an error starts with them.
    pub(super) fn blame(&self) -> String {
        blame(&self.text, self.origin)
    }

    pub(super) fn permission_hint(&self) -> &'static str {
        match self.target {
            Target::Tcp { port: 1..1024, .. } => " (ports below 1024 need root or CAP_NET_BIND_SERVICE)",
            Target::Unix(_) => " (the folder of a unix socket must be writable)",
            _ => "",
        }
    }
}

/// Reads an address as `--bind` takes it. The error is a sentence without the text itself.
impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return parse_unix(path.strip_prefix("//").unwrap_or(path));
        }
        if let Some(number) = text.strip_prefix("fd://") {
            return parse_fd(number);
        }
        if text.starts_with("fd:") {
            return Err("write fd://N, with the number of an open socket".to_owned());
        }
        let text = text.strip_prefix("tcp://").unwrap_or(text);
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(format!("{scheme}:// is not an address to listen on; write HOST:PORT"));
        }
        parse_tcp(text)
    }
}

fn blame(text: &str, origin: Origin) -> String {
    match origin {
        // Debug where the text could tear the line apart or be invisible.
        Origin::Option if text.is_empty() || text.contains(|c: char| c.is_control() || c.is_whitespace()) => {
            format!("--bind {text:?}")
        }
        Origin::Option => format!("--bind {text}"),
        Origin::ControlSocket => format!("--control-socket {text}"),
        Origin::PortVariable => format!("environment variable PORT={text:?}"),
        Origin::Default => format!("--bind {text} (the default)"),
    }
}

fn parse_unix(path: &str) -> Result<Target, String> {
    if path.contains('\0') {
        return Err("a path cannot hold a NUL".to_owned());
    }
    match path.strip_prefix('@') {
        Some("") => Err("a name must follow unix:@".to_owned()),
        Some(name) => Ok(Target::Abstract(name.to_owned())),
        None if path.is_empty() => Err("a path must follow unix:".to_owned()),
        None => Ok(Target::Unix(path.into())),
    }
}

fn parse_fd(number: &str) -> Result<Target, String> {
    // `parse` alone would let a sign pass.
    match number.parse::<i32>() {
        Ok(fd) if number.bytes().all(|b| b.is_ascii_digit()) => Ok(Target::Fd(fd)),
        _ => Err("the number of an open file descriptor must follow fd://".to_owned()),
    }
}

fn parse_tcp(text: &str) -> Result<Target, String> {
    if let Some(rest) = text.strip_prefix('[') {
        return parse_bracketed(rest);
    }
    if text.matches(':').count() > 1 {
        return Err("an IPv6 address is written in brackets: [::1]:8000".to_owned());
    }
    match text.split_once(':') {
        Some(("" | "*", port)) => Ok(every_interface(parse_port(port)?)),
        Some((host, port)) => Ok(Target::Tcp { host: parse_host(host)?, port: parse_port(port)? }),
        None if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(Target::Tcp { host: LOOPBACK.to_owned(), port: parse_port(text)? })
        }
        None => Ok(Target::Tcp { host: parse_host(text)?, port: DEFAULT_PORT }),
    }
}

fn parse_bracketed(rest: &str) -> Result<Target, String> {
    let (host, port) = rest.split_once(']').ok_or("the bracket is never closed")?;
    // A zone (RFC 4007 section 11) is a name of this machine's interfaces; the resolver checks it.
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    if address.parse::<Ipv6Addr>().is_err() {
        return Err(format!("{host:?} is not an IPv6 address"));
    }
    let port = match port.strip_prefix(':') {
        Some(port) => parse_port(port)?,
        None if port.is_empty() => DEFAULT_PORT,
        None => return Err("after the bracket comes :PORT".to_owned()),
    };
    Ok(Target::Tcp { host: host.to_owned(), port })
}

fn parse_host(host: &str) -> Result<String, String> {
    if host.contains('/') {
        return Err("this is not HOST:PORT; for a unix socket write unix:PATH".to_owned());
    }
    if host.contains(',') {
        return Err("give the option once for each address".to_owned());
    }
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if host.is_empty() || !host.bytes().all(known) {
        return Err("expected HOST:PORT (IPv6 in brackets), :PORT, unix:PATH or fd://N".to_owned());
    }
    Ok(host.to_owned())
}

fn parse_port(port: &str) -> Result<u16, String> {
    match port.parse() {
        Ok(number) if port.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        _ => Err(format!("port {port:?} is not a number from 0 to 65535")),
    }
}

fn every_interface(port: u16) -> Target {
    Target::Tcp { host: "0.0.0.0".to_owned(), port }
}

const LOOPBACK: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 8000;
const DEFAULT_ADDRESS: &str = "127.0.0.1:8000";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::listener::tests::options;

    fn tcp(host: &str, port: u16) -> Target {
        Target::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn every_way_of_writing_an_address_is_read() {
        let table = [
            ("127.0.0.1:8080", tcp("127.0.0.1", 8080)),
            ("localhost:0", tcp("localhost", 0)),
            ("my_host-1.example:80", tcp("my_host-1.example", 80)),
            ("tcp://127.0.0.1:1", tcp("127.0.0.1", 1)),
            ("[::1]:8080", tcp("::1", 8080)),
            ("[fe80::1%eth0]:1", tcp("fe80::1%eth0", 1)),
            ("[::]", tcp("::", 8000)),
            (":9000", tcp("0.0.0.0", 9000)),
            ("*:9000", tcp("0.0.0.0", 9000)),
            ("9000", tcp("127.0.0.1", 9000)),
            ("example", tcp("example", 8000)),
            ("unix:/run/a b.sock", Target::Unix("/run/a b.sock".into())),
            ("unix:///run/a.sock", Target::Unix("/run/a.sock".into())),
            ("unix:rel.sock", Target::Unix("rel.sock".into())),
            ("unix:@name", Target::Abstract("name".into())),
            ("unix://@name", Target::Abstract("name".into())),
            ("fd://3", Target::Fd(3)),
        ];
        for (text, target) in table {
            assert_eq!(text.parse(), Ok(target), "{text}");
        }
    }

    #[test]
    fn a_bad_address_is_refused_in_one_line_that_names_option_and_text() {
        let table = [
            ("", "--bind \"\": expected HOST:PORT (IPv6 in brackets), :PORT, unix:PATH or fd://N"),
            ("a b:1", "--bind \"a b:1\": expected HOST:PORT (IPv6 in brackets), :PORT, unix:PATH or fd://N"),
            ("h:", "--bind h:: port \"\" is not a number from 0 to 65535"),
            ("h:+1", "--bind h:+1: port \"+1\" is not a number from 0 to 65535"),
            ("h:65536", "--bind h:65536: port \"65536\" is not a number from 0 to 65535"),
            ("99999", "--bind 99999: port \"99999\" is not a number from 0 to 65535"),
            ("::1", "--bind ::1: an IPv6 address is written in brackets: [::1]:8000"),
            ("[::1", "--bind [::1: the bracket is never closed"),
            ("[::1]8000", "--bind [::1]8000: after the bracket comes :PORT"),
            ("[host]:1", "--bind [host]:1: \"host\" is not an IPv6 address"),
            ("/run/a.sock", "--bind /run/a.sock: this is not HOST:PORT; for a unix socket write unix:PATH"),
            ("http://h:1", "--bind http://h:1: http:// is not an address to listen on; write HOST:PORT"),
            ("unix:", "--bind unix:: a path must follow unix:"),
            ("unix:@", "--bind unix:@: a name must follow unix:@"),
            ("unix:a\0", "--bind \"unix:a\\0\": a path cannot hold a NUL"),
            ("fd://", "--bind fd://: the number of an open file descriptor must follow fd://"),
            ("fd://-1", "--bind fd://-1: the number of an open file descriptor must follow fd://"),
            ("fd://+3", "--bind fd://+3: the number of an open file descriptor must follow fd://"),
        ];
        for (text, line) in table {
            let error = BindAddress::parse(text, Origin::Option).expect_err(text);
            assert_eq!(error.to_string(), line);
        }
    }

    #[test]
    fn bind_wins_over_port_and_port_over_the_default() {
        let targets = |arguments: &[&str], port| -> Vec<Target> {
            let list = addresses(&options(arguments), port).expect("all texts are addresses");
            list.into_iter().map(|address| address.target).collect()
        };
        assert_eq!(
            targets(&["-b", ":1", "-b", "unix:x"], Some("5")),
            [tcp("0.0.0.0", 1), Target::Unix("x".into())]
        );
        assert_eq!(targets(&[], Some("5")), [tcp("0.0.0.0", 5)]);
        assert_eq!(targets(&[], Some("")), [tcp("127.0.0.1", 8000)]);
        assert_eq!(targets(&[], None), [tcp("127.0.0.1", 8000)]);
    }

    #[test]
    fn a_bad_port_variable_is_blamed_by_its_name() {
        let error = addresses(&options(&[]), Some("80a")).expect_err("80a is no port");
        let line = "environment variable PORT=\"80a\": port \"80a\" is not a number from 0 to 65535";
        assert_eq!(error.to_string(), line);
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_one_line_of_error(text in "(unix:|fd://|tcp://|\\[)?\\PC{0,20}(:[0-9]{0,6})?") {
            if let Err(error) = BindAddress::parse(&text, Origin::Option) {
                prop_assert_eq!(error.to_string().lines().count(), 1);
            }
        }
    }
}
