//! Formats that people write themselves, in Gunicorn's style: `%(h)s "%(r)s" %(s)s %({X-Request-Id}i)s`.
//!
//! Names of headers and variables are those of any case; what is unknown or not there is logged as `-`, as Gunicorn does it.
//! Of Python's conversions there are `s` and `d`, which say the same here, with a width and `-`. Paths are logged as they were
//! sent, where Gunicorn logs them decoded: what was asked for can then be told from the log.

/// A format, parsed once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    pub(super) pieces: Vec<Piece>,
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// As it is.
    Text(String),
    /// To be filled in, in so many columns (negative: at their left).
    Atom { atom: Atom, width: i16 },
}

/// What can be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Atom {
    /// Always `-`: identd's answer, and what nobody knows.
    Nothing,
    Address,
    Port,
    User,
    Time,
    RequestLine,
    Method,
    Path,
    Query,
    /// Path and query as sent.
    Target,
    Protocol,
    Status,
    /// Bytes of the body.
    Bytes,
    /// The same, `-` for none.
    BytesOrDash,
    Seconds,
    Milliseconds,
    Microseconds,
    DecimalSeconds,
    Process,
    RequestHeader(String),
    ResponseHeader(String),
}

impl Pattern {
    /// Reads a format.
    ///
    /// # Errors
    /// A sentence that says where it is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains(['\n', '\r']) {
            return Err("a line of the log cannot hold a line break".to_owned());
        }
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("%%") {
                plain.push('%');
                rest = after;
                continue;
            }
            let (atom, after) = Piece::atom(rest).ok_or_else(|| mistake(text, rest))?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(atom);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces })
    }

    /// The response headers that it shows.
    pub(crate) fn response_headers(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Atom { atom: Atom::ResponseHeader(name), .. } => Some(name.as_str()),
            _ => None,
        })
    }
}

impl Piece {
    /// Reads the atom at the start of `text`. Gives what follows it, too.
    fn atom(text: &str) -> Option<(Self, &str)> {
        let (name, after) = text.strip_prefix("%(")?.split_once(')')?;
        let end = after.find(|c: char| !(c.is_ascii_digit() || c == '-'))?;
        let width = parse_width(&after[..end])?;
        let rest = after[end..].strip_prefix(['s', 'd'])?;
        Some((Self::Atom { atom: Atom::parse(name), width }, rest))
    }
}

/// A width such as `5` or `-5`. A zero before it would ask for zeros: we have spaces only.
fn parse_width(text: &str) -> Option<i16> {
    match text.strip_prefix('-').unwrap_or(text) {
        "" => Some(0),
        digits if digits.starts_with(['0', '-']) => None,
        _ => text.parse().ok(),
    }
}

/// What is wrong where `rest`, the end of `text`, begins.
fn mistake(text: &str, rest: &str) -> String {
    let place = text[..text.len() - rest.len()].chars().count() + 1;
    let near: String = rest.chars().take(12).collect();
    format!("expected %(ATOM)s such as %(h)s or %({{Referer}}i)s at character {place}: {near:?}")
}

impl Atom {
    fn parse(name: &str) -> Self {
        if let Some((field, kind)) = name.strip_prefix('{').and_then(|name| name.rsplit_once('}')) {
            return match kind.to_ascii_lowercase().as_str() {
                "i" => Self::RequestHeader(field.to_owned()),
                "o" => Self::ResponseHeader(field.to_owned()),
                "e" => Self::variable(field),
                _ => Self::Nothing,
            };
        }
        match name {
            "h" => Self::Address,
            "u" => Self::User,
            "t" => Self::Time,
            "r" => Self::RequestLine,
            "m" => Self::Method,
            "U" => Self::Path,
            "q" => Self::Query,
            "H" => Self::Protocol,
            "s" => Self::Status,
            "B" => Self::Bytes,
            "b" => Self::BytesOrDash,
            "f" => Self::RequestHeader("referer".to_owned()),
            "a" => Self::RequestHeader("user-agent".to_owned()),
            "T" => Self::Seconds,
            "M" => Self::Milliseconds,
            "D" => Self::Microseconds,
            "L" => Self::DecimalSeconds,
            "p" => Self::Process,
            _ => Self::Nothing,
        }
    }

    /// A key of WSGI's environ, where it does not take Python to know its value.
    fn variable(name: &str) -> Self {
        let name = name.to_ascii_uppercase();
        match name.as_str() {
            "REQUEST_METHOD" => Self::Method,
            "PATH_INFO" => Self::Path,
            "QUERY_STRING" => Self::Query,
            "SERVER_PROTOCOL" => Self::Protocol,
            "RAW_URI" | "REQUEST_URI" => Self::Target,
            "REMOTE_ADDR" => Self::Address,
            "REMOTE_PORT" => Self::Port,
            "CONTENT_TYPE" => Self::RequestHeader("content-type".to_owned()),
            "CONTENT_LENGTH" => Self::RequestHeader("content-length".to_owned()),
            // In environ they have no HTTP_.
            "HTTP_CONTENT_TYPE" | "HTTP_CONTENT_LENGTH" => Self::Nothing,
            _ => match name.strip_prefix("HTTP_") {
                Some(field) => Self::RequestHeader(field.replace('_', "-")),
                None => Self::Nothing,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn atom(text: &str) -> Atom {
        match Pattern::parse(text).unwrap().pieces.as_slice() {
            [Piece::Atom { atom, .. }] => atom.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_format_is_text_and_atoms() {
        let pattern = Pattern::parse("a%%b %(h)s|%(s)-4s%({X-Id}o)s.").unwrap();
        let text = |text: &str| Piece::Text(text.to_owned());
        assert_eq!(
            pattern.pieces,
            [
                text("a%b "),
                Piece::Atom { atom: Atom::Address, width: 0 },
                text("|"),
                Piece::Atom { atom: Atom::Status, width: -4 },
                Piece::Atom { atom: Atom::ResponseHeader("X-Id".into()), width: 0 },
                text("."),
            ]
        );
        assert_eq!(pattern.response_headers().collect::<Vec<_>>(), ["X-Id"]);
    }

    #[test]
    fn every_atom_of_gunicorn_has_its_meaning() {
        let header = |name: &str| Atom::RequestHeader(name.to_owned());
        let table = [
            ("h", Atom::Address),
            ("l", Atom::Nothing),
            ("u", Atom::User),
            ("t", Atom::Time),
            ("r", Atom::RequestLine),
            ("m", Atom::Method),
            ("U", Atom::Path),
            ("q", Atom::Query),
            ("H", Atom::Protocol),
            ("s", Atom::Status),
            ("B", Atom::Bytes),
            ("b", Atom::BytesOrDash),
            ("f", header("referer")),
            ("a", header("user-agent")),
            ("T", Atom::Seconds),
            ("M", Atom::Milliseconds),
            ("D", Atom::Microseconds),
            ("L", Atom::DecimalSeconds),
            ("p", Atom::Process),
        ];
        for (name, expected) in table {
            assert_eq!(atom(&format!("%({name})s")), expected, "{name}");
            assert_eq!(atom(&format!("%({name})d")), expected, "{name}");
        }
    }

    #[test]
    fn headers_have_names() {
        assert_eq!(atom("%({Referer}i)s"), Atom::RequestHeader("Referer".into()));
        assert_eq!(atom("%({Referer}I)s"), Atom::RequestHeader("Referer".into()));
        assert_eq!(atom("%({X-Id}o)s"), Atom::ResponseHeader("X-Id".into()));
    }

    #[test]
    fn variables_are_known_as_far_as_it_does_not_take_python() {
        let header = |name: &str| Atom::RequestHeader(name.to_owned());
        let table = [
            ("REQUEST_METHOD", Atom::Method),
            ("path_info", Atom::Path),
            ("QUERY_STRING", Atom::Query),
            ("RAW_URI", Atom::Target),
            ("REQUEST_URI", Atom::Target),
            ("SERVER_PROTOCOL", Atom::Protocol),
            ("REMOTE_ADDR", Atom::Address),
            ("REMOTE_PORT", Atom::Port),
            ("CONTENT_TYPE", header("content-type")),
            ("CONTENT_LENGTH", header("content-length")),
            ("HTTP_X_FORWARDED_FOR", header("X-FORWARDED-FOR")),
            ("HTTP_CONTENT_TYPE", Atom::Nothing),
            ("wsgi.url_scheme", Atom::Nothing),
        ];
        for (name, expected) in table {
            assert_eq!(atom(&format!("%({{{name}}}e)s")), expected, "{name}");
        }
    }

    #[test]
    fn nobody_knows_the_rest() {
        for unknown in ["%(x)s", "%()s", "%({SHELL}e)s", "%({a}z)s", "%({a}i.)s", "%({a)s"] {
            assert_eq!(atom(unknown), Atom::Nothing, "{unknown}");
        }
    }

    #[test]
    fn mistakes_are_said_with_their_place() {
        for wrong in [
            "%h",
            "%(h)",
            "%(h",
            "a %",
            "%(h)f",
            "%(h)--3s",
            "%(h)3-s",
            "%(h)05d",
            "%(h)-05d",
            "%(h).3s",
            "%(h)+d",
            "%(h)99999s",
            "%%%",
        ] {
            let reason = Pattern::parse(wrong).unwrap_err();
            assert!(reason.contains("expected %(ATOM)s"), "{wrong}: {reason}");
        }
        let reason = Pattern::parse("é %(h)s %(h)f").unwrap_err();
        assert!(reason.ends_with("at character 9: \"%(h)f\""), "{reason}");
        assert!(Pattern::parse("%(h)s\n").is_err());
        assert!(Pattern::parse("%(h)s\r").is_err());
    }

    proptest! {
        #[test]
        fn formats_are_read_or_refused(text: String, marked in "[%()a-z{}0-9 -]*") {
            for text in [text, marked] {
                let shown = Pattern::parse(&text).map(|pattern| pattern.response_headers().count());
                prop_assert!(shown.is_ok() || text.contains(['%', '\n', '\r']));
            }
        }
    }
}
