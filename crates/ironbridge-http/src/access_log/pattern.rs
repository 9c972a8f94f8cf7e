//! Formats that people write themselves, in Gunicorn's style: `%(h)s "%(r)s" %(s)s %({X-Request-Id}i)s`.
//!
//! Names of headers and variables are those of any case; what is unknown or not there is logged as `-`, as Gunicorn does it.

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
    User,
    Time,
    RequestLine,
    Method,
    Path,
    Query,
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
            let found = &rest[at..];
            if let Some(after) = found.strip_prefix("%%") {
                plain.push('%');
                rest = after;
                continue;
            }
            let wrong = || {
                let near: String = found.chars().take(12).collect();
                format!("expected %(ATOM)s such as %(h)s or %({{Referer}}i)s at {near:?}")
            };
            let inside = found.strip_prefix("%(").ok_or_else(wrong)?;
            let (name, after) = inside.split_once(')').ok_or_else(wrong)?;
            let end = after.find(|c: char| !(c.is_ascii_digit() || c == '-')).ok_or_else(wrong)?;
            let width = if end == 0 { 0 } else { after[..end].parse().map_err(|_| wrong())? };
            rest = after[end..].strip_prefix(['s', 'd']).ok_or_else(wrong)?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Atom { atom: Atom::parse(name), width });
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

impl Atom {
    fn parse(name: &str) -> Self {
        if let Some((field, kind)) = name.strip_prefix('{').and_then(|name| name.rsplit_once('}')) {
            return match kind {
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
            "REMOTE_ADDR" => Self::Address,
            "CONTENT_TYPE" => Self::RequestHeader("content-type".to_owned()),
            "CONTENT_LENGTH" => Self::RequestHeader("content-length".to_owned()),
            _ => match name.strip_prefix("HTTP_") {
                Some(field) => Self::RequestHeader(field.replace('_', "-")),
                None => Self::Nothing,
            },
        }
    }
}

#[cfg(test)]
mod tests {
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
    fn headers_and_variables_have_names() {
        assert_eq!(atom("%({Referer}i)s"), Atom::RequestHeader("Referer".into()));
        assert_eq!(atom("%({HTTP_X_FORWARDED_FOR}e)s"), Atom::RequestHeader("X-FORWARDED-FOR".into()));
        assert_eq!(atom("%({path_info}e)s"), Atom::Path);
        for unknown in ["%(l)s", "%(x)s", "%({SHELL}e)s", "%({a}z)s"] {
            assert_eq!(atom(unknown), Atom::Nothing, "{unknown}");
        }
    }

    #[test]
    fn mistakes_are_said_with_their_place() {
        for wrong in ["%h", "%(h)", "%(h", "a %", "%(h)f", "%(h)--3s", "%(h)99999s"] {
            let reason = Pattern::parse(wrong).unwrap_err();
            assert!(reason.contains("expected %(ATOM)s"), "{wrong}: {reason}");
        }
        assert!(Pattern::parse("a\nb").is_err());
    }
}
