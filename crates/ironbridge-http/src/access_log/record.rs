//! What is known of a request at its end, and its line in each format.

use std::{
    io::Write,
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ironbridge_exchange::{Fields, Version, peer::Address, target::path_and_query};

use super::{
    clock::Clock,
    escape,
    pattern::{Atom, Pattern, Piece},
};
use crate::options::AccessLogFormat;

/// A request that is over.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Who made it. Lines show the IP address; `-` stands for a unix socket.
    pub peer: &'a Address,
    /// When it came in.
    pub time: SystemTime,
    /// The method as sent; empty when no method could be read.
    pub method: &'a [u8],
    /// The target as sent.
    pub target: &'a [u8],
    /// The version of the request line.
    pub version: Version,
    /// The status sent; 499 when the client left before there was one.
    pub status: u16,
    /// Bytes of the response's body that were sent.
    pub bytes: u64,
    /// The Referer header.
    pub referer: Option<&'a [u8]>,
    /// The User-Agent header.
    pub user_agent: Option<&'a [u8]>,
    /// The user name of Basic authentication (see [`super::basic_user`]).
    pub user: Option<&'a [u8]>,
    /// All headers of the request, where it is known.
    pub fields: Option<&'a Fields>,
    /// Those of the response that the format shows.
    pub shown: &'a [(String, Vec<u8>)],
    /// From `time` to the last byte.
    pub duration: Duration,
    /// Whether it ended well.
    pub outcome: Outcome,
}

/// How the response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was sent.
    Complete,
    /// The client left, or the application failed midway.
    Aborted,
}

impl Record<'_> {
    /// Appends the line, newline included. Whatever the client sent, it is one line, of ASCII but for what a format of the
    /// user's own says.
    pub fn format(&self, format: &AccessLogFormat, clock: &mut Clock, out: &mut Vec<u8>) {
        match format {
            AccessLogFormat::Common => self.common(clock, out),
            AccessLogFormat::Combined => {
                self.common(clock, out);
                for field in [self.referer, self.user_agent] {
                    out.extend(b" \"");
                    escape::quoted(field.unwrap_or(b"-"), out);
                    out.push(b'"');
                }
            }
            AccessLogFormat::Json => self.json(clock, out),
            AccessLogFormat::Custom(pattern) => self.custom(pattern, clock, out),
        }
        out.push(b'\n');
    }

    fn custom(&self, pattern: &Pattern, clock: &mut Clock, out: &mut Vec<u8>) {
        for piece in &pattern.pieces {
            match piece {
                Piece::Text(text) => out.extend(text.as_bytes()),
                Piece::Atom { atom, width } => {
                    let start = out.len();
                    self.fill_in(atom, clock, out);
                    pad(start, *width, out);
                }
            }
        }
    }

    fn fill_in(&self, atom: &Atom, clock: &mut Clock, out: &mut Vec<u8>) {
        let quoted = |text: Option<&[u8]>, out: &mut Vec<u8>| escape::quoted(text.unwrap_or(b"-"), out);
        match atom {
            Atom::Nothing => out.push(b'-'),
            Atom::Address => self.address(out),
            Atom::Port => match self.peer {
                Address::Tcp(address) => write_number(address.port().into(), out),
                Address::Unix(_) => out.push(b'-'),
            },
            Atom::User => self.user(out),
            Atom::Time => write(out, format_args!("[{}]", clock.stamp(self.time).clf)),
            Atom::RequestLine => self.request_line(out),
            Atom::Method => quoted(present(self.method), out),
            Atom::Path => quoted(present(path_and_query(self.target).0), out),
            Atom::Target => quoted(present(self.target), out),
            // Gunicorn logs nothing for none.
            Atom::Query => escape::quoted(path_and_query(self.target).1.unwrap_or_default(), out),
            Atom::Protocol => out.extend(self.version.as_str().as_bytes()),
            Atom::Status => write_number(self.status.into(), out),
            Atom::BytesOrDash if self.bytes == 0 => out.push(b'-'),
            Atom::Bytes | Atom::BytesOrDash => write_number(self.bytes, out),
            Atom::Seconds => write_number(self.duration.as_secs(), out),
            Atom::Milliseconds => write(out, format_args!("{}", self.duration.as_millis())),
            Atom::Microseconds => write(out, format_args!("{}", self.duration.as_micros())),
            Atom::DecimalSeconds => {
                write(out, format_args!("{}.{:06}", self.duration.as_secs(), self.duration.subsec_micros()));
            }
            Atom::Process => write(out, format_args!("<{}>", std::process::id())),
            Atom::RequestHeader(name) => quoted(self.fields.and_then(|fields| fields.get(name)), out),
            Atom::ResponseHeader(name) => {
                let found = self.shown.iter().find(|(shown, _)| shown == name);
                quoted(found.map(|(_, value)| value.as_slice()), out);
            }
        }
    }

    /// `host ident user [time] "request" status bytes`
    fn common(&self, clock: &mut Clock, out: &mut Vec<u8>) {
        self.address(out);
        out.extend(b" - ");
        self.user(out);
        out.extend(b" [");
        out.extend(clock.stamp(self.time).clf.as_bytes());
        out.extend(b"] \"");
        self.request_line(out);
        out.extend(b"\" ");
        write_number(self.status.into(), out);
        out.push(b' ');
        match self.bytes {
            0 => out.push(b'-'),
            bytes => write_number(bytes, out),
        }
    }

    fn address(&self, out: &mut Vec<u8>) {
        match self.peer {
            Address::Tcp(address) => write_ip(address.ip(), out),
            Address::Unix(_) => out.push(b'-'),
        }
    }

    /// Formats have it between spaces.
    fn user(&self, out: &mut Vec<u8>) {
        escape::bare(self.user.and_then(present).unwrap_or(b"-"), out);
    }

    fn request_line(&self, out: &mut Vec<u8>) {
        if self.method.is_empty() {
            return out.push(b'-');
        }
        escape::quoted(self.method, out);
        out.push(b' ');
        escape::quoted(self.target, out);
        out.push(b' ');
        out.extend(self.version.as_str().as_bytes());
    }

    /// All keys are always there; null where there is nothing. `duration` is in seconds.
    fn json(&self, clock: &mut Clock, out: &mut Vec<u8>) {
        let millis = self.time.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_millis());
        let stamp = clock.stamp(self.time);
        write(out, format_args!("{{\"time\":\"{}.{millis:03}{}\",\"peer\":", stamp.date_time, stamp.offset));
        match self.peer {
            Address::Tcp(address) => {
                out.push(b'"');
                write_ip(address.ip(), out);
                out.push(b'"');
            }
            Address::Unix(_) => out.extend(b"null"),
        }
        let texts: [(&str, Option<&[u8]>); 6] = [
            ("user", self.user),
            ("method", Some(self.method)),
            ("target", Some(self.target)),
            ("protocol", Some(self.version.as_str().as_bytes())),
            ("referer", self.referer),
            ("user_agent", self.user_agent),
        ];
        for (key, value) in texts {
            write(out, format_args!(",\"{key}\":"));
            match value {
                Some(value) => escape::json(value, out),
                None => out.extend(b"null"),
            }
        }
        out.extend(b",\"status\":");
        write_number(self.status.into(), out);
        out.extend(b",\"bytes\":");
        write_number(self.bytes, out);
        let (seconds, micros) = (self.duration.as_secs(), self.duration.subsec_micros());
        let outcome = match self.outcome {
            Outcome::Complete => "complete",
            Outcome::Aborted => "aborted",
        };
        write(out, format_args!(",\"duration\":{seconds}.{micros:06},\"outcome\":\"{outcome}\"}}"));
    }
}

fn present(bytes: &[u8]) -> Option<&[u8]> {
    (!bytes.is_empty()).then_some(bytes)
}

/// Fills what was written since `start` up to so many columns: with spaces before it, or, for a negative width, behind it.
fn pad(start: usize, width: i16, out: &mut Vec<u8>) {
    let missing = usize::from(width.unsigned_abs()).saturating_sub(out.len() - start);
    let at = if width < 0 { out.len() } else { start };
    out.splice(at..at, std::iter::repeat_n(b' ', missing));
}

/// IPv4, the usual case, without the formatting machinery.
fn write_ip(ip: IpAddr, out: &mut Vec<u8>) {
    let IpAddr::V4(ip) = ip else { return write(out, format_args!("{ip}")) };
    for (index, octet) in ip.octets().into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        write_number(octet.into(), out);
    }
}

fn write_number(number: u64, out: &mut Vec<u8>) {
    out.extend(itoa::Buffer::new().format(number).as_bytes());
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a Vec cannot fail");
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, LazyLock};

    use ironbridge_exchange::fields::FieldLine;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;

    static TCP: LazyLock<Address> = LazyLock::new(|| peer("192.0.2.70:5555"));

    fn peer(text: &str) -> Address {
        Address::Tcp(text.parse().expect("the test's own address is valid"))
    }

    pub(in crate::access_log) fn record() -> Record<'static> {
        Record {
            peer: &TCP,
            time: UNIX_EPOCH + Duration::from_millis(971_211_336_042),
            method: b"GET",
            target: b"/apache_pb.gif?a=b",
            version: Version::Http10,
            status: 200,
            bytes: 2326,
            referer: Some(b"http://www.example.com/start.html"),
            user_agent: Some(b"agent"),
            user: Some(b"frank"),
            fields: None,
            shown: &[],
            duration: Duration::from_nanos(1_000_042_999),
            outcome: Outcome::Complete,
        }
    }

    fn bare_record() -> Record<'static> {
        Record {
            peer: &Address::Unix(None),
            referer: None,
            user_agent: None,
            user: None,
            bytes: 0,
            ..record()
        }
    }

    fn line(record: &Record<'_>, format: impl std::borrow::Borrow<AccessLogFormat>) -> String {
        let format = format.borrow();
        let mut clock = Clock::new(TimeZone::posix("PDT7").expect("the test's own zone is valid"));
        let mut out = Vec::new();
        record.format(format, &mut clock, &mut out);
        String::from_utf8(out).expect("all formats are ASCII")
    }

    fn custom(text: &str) -> AccessLogFormat {
        AccessLogFormat::Custom(Arc::new(Pattern::parse(text).expect("the test's own format is valid")))
    }

    /// Headers of a request.
    fn fields(lines: &[(&str, &[u8])]) -> Fields {
        let (mut raw, mut places) = (Vec::new(), Vec::new());
        let put = |bytes: &[u8], raw: &mut Vec<u8>| {
            let start = u32::try_from(raw.len()).expect("the test's own lines are short");
            raw.extend(bytes);
            (start, u32::try_from(bytes.len()).expect("the test's own lines are short"))
        };
        for (name, value) in lines {
            let (name_start, name_len) = put(name.as_bytes(), &mut raw);
            let (value_start, value_len) = put(value, &mut raw);
            places.push(FieldLine { name_start, name_len, value_start, value_len });
        }
        Fields::new(raw, places)
    }

    const GUNICORNS_COMBINED: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

    /// Every atom, all that a client can choose between quotes or free of spaces.
    const EVERYTHING: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" "%(m)s" "%(U)s" "%(q)s" %(H)s %(s)s %(B)s %(b)s "%(f)s" "%(a)s" %(T)s %(M)s %(D)s %(L)s %(p)s "%({X-In}i)s" "%({X-Out}o)s" "%({RAW_URI}e)s" "%({HTTP_X_IN}e)s" %({REMOTE_PORT}e)s %(?)s"#;

    #[test]
    fn formats_of_ones_own_fill_atoms_in() {
        let fields =
            fields(&[("Referer", b"/from"), ("USER-AGENT", b"a\"b"), ("x-id", b"5"), ("Empty", b"")]);
        let shown = [("X-Id".to_owned(), b"7\n".to_vec())];
        let record = Record { fields: Some(&fields), shown: &shown, ..record() };
        let of = |text: &str| line(&record, custom(text));
        for (format, expected) in [
            ("%(h)s %(l)s %(u)s", "192.0.2.70 - frank"),
            ("%(t)s", "[10/Oct/2000:13:55:36 -0700]"),
            ("%(r)s", "GET /apache_pb.gif?a=b HTTP/1.0"),
            ("%(m)s %(U)s %(q)s %(H)s", "GET /apache_pb.gif a=b HTTP/1.0"),
            ("%(s)s %(B)s %(b)s", "200 2326 2326"),
            ("%(f)s %(a)s", "/from a\\x22b"),
            ("%(T)s %(M)s %(D)s %(L)s", "1 1000 1000042 1.000042"),
            ("%({X-ID}i)s %({X-Id}o)s %({referer}i)s", "5 7\\x0a /from"),
            ("%({Y}i)s %({Y}o)s %({HTTP_Y}e)s %(x)s", "- - - -"),
            ("[%({empty}i)s]", "[]"),
            ("%({RAW_URI}e)s %({path_info}e)s", "/apache_pb.gif?a=b /apache_pb.gif"),
            ("%({REMOTE_ADDR}e)s:%({REMOTE_PORT}e)s", "192.0.2.70:5555"),
            ("%({HTTP_X_ID}e)s %({CONTENT_TYPE}e)s", "5 -"),
            ("[%(s)5s|%(s)-5d|%(s)2s|%(s)-s]", "[  200|200  |200|200]"),
            ("100%% é\t%(s)s", "100% é\t200"),
        ] {
            assert_eq!(of(format), format!("{expected}\n"), "{format}");
        }
        assert_eq!(of("%(p)s"), format!("<{}>\n", std::process::id()));
    }

    #[test]
    fn formats_of_ones_own_have_dashes_for_what_is_not_there() {
        let record = Record { user: Some(b""), ..bare_record() };
        let of = |record: &Record<'_>, text: &str| line(record, custom(text));
        assert_eq!(of(&record, "%(h)s %({REMOTE_PORT}e)s %(u)s %(b)s %(B)s %(f)s"), "- - - - 0 -\n");
        let unread = Record { method: b"", target: b"", ..record };
        assert_eq!(of(&unread, "%(r)s %(m)s %(U)s [%(q)s] %({RAW_URI}e)s"), "- - - [] -\n");
        // The encoding stays; the query of a target in absolute form, and its path, are found as well.
        let absolute = Record { target: b"http://h/a%20b?c#d", ..record };
        assert_eq!(of(&absolute, "%(U)s %(q)s"), "/a%20b c\n");
    }

    #[test]
    fn the_formats_that_have_names_can_be_written_out() {
        let with = |referer: &'static [u8]| {
            (referer, fields(&[("Referer", referer), ("User-Agent", b"a \"\\ \xff"), ("Host", b"h")]))
        };
        for (referer, fields) in [with(b"http://from/\x1b"), with(b"")] {
            let (user, agent) = (Some(&b"an \"n"[..]), fields.get("user-agent"));
            let record =
                Record { fields: Some(&fields), referer: Some(referer), user_agent: agent, user, ..record() };
            assert_eq!(line(&record, custom(GUNICORNS_COMBINED)), line(&record, AccessLogFormat::Combined));
        }
        let bare = bare_record();
        assert_eq!(line(&bare, custom(GUNICORNS_COMBINED)), line(&bare, AccessLogFormat::Combined));
    }

    #[test]
    fn the_common_format_is_that_of_apache() {
        assert_eq!(
            line(&record(), AccessLogFormat::Common),
            "192.0.2.70 - frank [10/Oct/2000:13:55:36 -0700] \"GET /apache_pb.gif?a=b HTTP/1.0\" 200 2326\n"
        );
    }

    #[test]
    fn the_combined_format_adds_referer_and_agent() {
        assert_eq!(
            line(&record(), AccessLogFormat::Combined),
            "192.0.2.70 - frank [10/Oct/2000:13:55:36 -0700] \"GET /apache_pb.gif?a=b HTTP/1.0\" 200 2326 \
             \"http://www.example.com/start.html\" \"agent\"\n"
        );
    }

    #[test]
    fn a_dash_stands_for_what_is_not_there() {
        assert_eq!(
            line(&Record { user: Some(b""), ..bare_record() }, AccessLogFormat::Combined),
            "- - - [10/Oct/2000:13:55:36 -0700] \"GET /apache_pb.gif?a=b HTTP/1.0\" 200 - \"-\" \"-\"\n"
        );
        let unread = Record { method: b"", target: b"", status: 408, ..bare_record() };
        assert_eq!(
            line(&unread, AccessLogFormat::Common),
            "- - - [10/Oct/2000:13:55:36 -0700] \"-\" 408 -\n"
        );
    }

    #[test]
    fn ipv6_peers_have_no_brackets() {
        let peer = peer("[2001:db8::1]:80");
        let line = line(&Record { peer: &peer, ..record() }, AccessLogFormat::Common);
        assert!(line.starts_with("2001:db8::1 - "), "{line}");
    }

    #[test]
    fn json_has_every_key() {
        assert_eq!(
            line(&record(), AccessLogFormat::Json),
            "{\"time\":\"2000-10-10T13:55:36.042-07:00\",\"peer\":\"192.0.2.70\",\"user\":\"frank\",\
             \"method\":\"GET\",\"target\":\"/apache_pb.gif?a=b\",\"protocol\":\"HTTP/1.0\",\
             \"referer\":\"http://www.example.com/start.html\",\"user_agent\":\"agent\",\
             \"status\":200,\"bytes\":2326,\"duration\":1.000042,\"outcome\":\"complete\"}\n"
        );
        let aborted = Record { status: 499, outcome: Outcome::Aborted, ..bare_record() };
        let value: serde_json::Value =
            serde_json::from_str(&line(&aborted, AccessLogFormat::Json)).expect("JSON");
        assert_eq!(value["outcome"], "aborted");
        assert_eq!(value["status"], 499);
        for key in ["peer", "user", "referer", "user_agent"] {
            assert_eq!(value.get(key), Some(&serde_json::Value::Null), "{key}");
        }
    }

    proptest! {
        #[test]
        fn no_client_can_forge_a_line(
            (method, target) in any::<(Vec<u8>, Vec<u8>)>(),
            (referer, user_agent, user) in any::<(Option<Vec<u8>>, Option<Vec<u8>>, Vec<u8>)>(),
            (bytes, status) in any::<(u64, u16)>(),
        ) {
            let record = Record {
                method: &method,
                target: &target,
                referer: referer.as_deref(),
                user_agent: user_agent.as_deref(),
                user: Some(&user),
                bytes,
                status,
                ..record()
            };
            for (format, quotes) in [(AccessLogFormat::Common, 2), (AccessLogFormat::Combined, 6)] {
                let line = line(&record, format);
                prop_assert!(line.strip_suffix('\n').is_some_and(|line| line.bytes().all(|b| (b' '..=b'~').contains(&b))));
                prop_assert_eq!(line.matches('"').count(), quotes);
                // Nothing before the quoted request moves the fields.
                prop_assert_eq!(line.split(' ').nth(3), Some("[10/Oct/2000:13:55:36"));
            }
            let line = line(&record, AccessLogFormat::Json);
            prop_assert_eq!(line.matches('\n').count(), 1);
            let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            prop_assert_eq!(&value["bytes"], &serde_json::Value::from(bytes));
            prop_assert_eq!(value.as_object().map(|object| object.len()), Some(12));
        }

        #[test]
        fn no_client_can_forge_a_line_of_ones_own_format(
            (method, target, user) in any::<(Vec<u8>, Vec<u8>, Vec<u8>)>(),
            (referer, agent, x_in, x_out) in any::<(Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>)>(),
        ) {
            let fields = fields(&[("Referer", &referer), ("User-Agent", &agent), ("X-In", &x_in)]);
            let shown = [("X-Out".to_owned(), x_out)];
            let user = Some(&user[..]);
            let (method, target) = (&method[..], &target[..]);
            let record = Record { method, target, user, fields: Some(&fields), shown: &shown, ..record() };
            let line = line(&record, custom(EVERYTHING));
            prop_assert!(line.strip_suffix('\n').is_some_and(|line| line.bytes().all(|b| (b' '..=b'~').contains(&b))));
            prop_assert_eq!(line.matches('"').count(), EVERYTHING.matches('"').count());
            prop_assert_eq!(line.split(' ').nth(3), Some("[10/Oct/2000:13:55:36"));
            // Nothing that clients send moves what stands between quotes.
            let free = line.split('"').step_by(2).map(|part| part.split(' ').count());
            let expected = EVERYTHING.split('"').step_by(2).map(|part| part.split(' ').count());
            // The time has a space in it.
            prop_assert_eq!(free.sum::<usize>(), expected.sum::<usize>() + 1);
        }

        #[test]
        fn every_format_makes_one_line(
            text in r#"([a-z "%é]|%%|%\((h|u|r|U|q|f|\{x\}[ioe]|\{raw_uri\}e)\)-?[1-9]?[sd])*"#,
            (method, target, user) in any::<(Vec<u8>, Vec<u8>, Vec<u8>)>(),
            value: Vec<u8>,
        ) {
            let Ok(pattern) = Pattern::parse(&text) else { return Ok(()) };
            let fields = fields(&[("X", &value), ("Referer", &value)]);
            let shown = [("x".to_owned(), value.clone())];
            let user = Some(&user[..]);
            let (method, target) = (&method[..], &target[..]);
            let record = Record { method, target, user, fields: Some(&fields), shown: &shown, ..record() };
            let line = line(&record, AccessLogFormat::Custom(Arc::new(pattern)));
            prop_assert!(line.ends_with('\n'));
            prop_assert!(!line.trim_end_matches('\n').contains(char::is_control));
        }
    }
}
