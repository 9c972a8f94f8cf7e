//! Checks what an application says through start_response, and makes the response's head of it.

use bytes::Bytes;
use ironbridge_exchange::{HeaderBlock, ResponseHead};

/// Why a status or header cannot be sent. Each text names the thing at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadingError {
    /// The status is not three digits, a space and a reason.
    #[error("status must be a string like '200 OK', not {0:?}")]
    BadStatus(String),
    /// 1xx responses are not final.
    #[error("status {0} is not a final response; use environ['wsgi.early_hints'] for 103")]
    Informational(u16),
    /// The name is not a token (RFC 9110 section 5.6.2).
    #[error("header name {0:?} holds a character that no header name may hold")]
    BadName(String),
    /// The value holds a control character.
    #[error("the value of header {0:?} holds a control character")]
    BadValue(String),
    /// The text has characters beyond U+00FF.
    #[error("{0:?} cannot be encoded in latin-1 (PEP 3333: strings hold code points up to U+00FF)")]
    NotLatin1(String),
    /// Content-Length is not one plain number.
    #[error("the Content-Length header must be one decimal number, not {0:?}")]
    BadContentLength(String),
}

/// A response's head in the making.
#[derive(Debug)]
pub struct Heading {
    status: u16,
    reason: Option<Bytes>,
    lines: HeaderBlock,
    content_length: Option<u64>,
    /// Names of hop-by-hop headers that were left out.
    dropped: Vec<String>,
}

impl Heading {
    /// Begins with the status line's text, such as `404 Not Found`. `room`: bytes that the headers will take, about.
    ///
    /// # Errors
    /// [`HeadingError::BadStatus`], [`HeadingError::Informational`].
    pub fn new(status: &str, room: usize) -> Result<Self, HeadingError> {
        let bad = || HeadingError::BadStatus(status.to_owned());
        let code: u16 = status
            .get(..3)
            .filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|code| code.parse().ok())
            .ok_or_else(bad)?;
        let reason = match status.as_bytes().get(3) {
            None => "",
            Some(b' ') => &status[4..],
            Some(_) => return Err(bad()),
        };
        match code {
            200..=999 => {}
            100..=199 => return Err(HeadingError::Informational(code)),
            _ => return Err(bad()),
        }
        let mut encoded = Vec::new();
        let reason = if (code, reason) == (200, "OK") {
            None
        } else {
            encode_latin1(reason, &mut encoded).map_err(|()| HeadingError::NotLatin1(status.to_owned()))?;
            if encoded.iter().any(|&byte| is_forbidden_in_value(byte)) {
                return Err(bad());
            }
            Some(Bytes::from(encoded))
        };
        let lines = HeaderBlock::with_capacity(room);
        Ok(Self { status: code, reason, lines, content_length: None, dropped: Vec::new() })
    }

    /// Adds one header.
    ///
    /// # Errors
    /// What is wrong with name or value.
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), HeadingError> {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(HeadingError::BadName(name.to_owned()));
        }
        if is_hop_by_hop(name) {
            self.dropped.push(name.to_owned());
            return Ok(());
        }
        if name.len() == CONTENT_LENGTH.len() && name.eq_ignore_ascii_case(CONTENT_LENGTH) {
            return self.set_content_length(value);
        }
        let mut encoded = Vec::new();
        let bytes = if value.is_ascii() {
            value.as_bytes()
        } else {
            encode_latin1(value, &mut encoded).map_err(|()| HeadingError::NotLatin1(value.to_owned()))?;
            &encoded
        };
        if bytes.iter().any(|&byte| is_forbidden_in_value(byte)) {
            return Err(HeadingError::BadValue(name.to_owned()));
        }
        self.lines.push(name.as_bytes(), bytes.trim_ascii());
        Ok(())
    }

    /// The length that the application promised, or that [`Heading::promise`] added.
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// The whole body is known to have `length` bytes: says so, if the application did not say anything.
    pub fn promise(&mut self, length: u64) {
        self.content_length.get_or_insert(length);
    }

    /// Whether the status says that no body follows (RFC 9110 sections 15.3.5 and 15.4.5).
    pub fn forbids_body(&self) -> bool {
        matches!(self.status, 204 | 304)
    }

    /// Hop-by-hop headers that were left out.
    pub fn dropped(&self) -> &[String] {
        &self.dropped
    }

    /// The finished head.
    pub fn build(self) -> ResponseHead {
        ResponseHead {
            status: self.status,
            reason: self.reason,
            lines: self.lines,
            content_length: self.content_length,
        }
    }

    fn set_content_length(&mut self, value: &str) -> Result<(), HeadingError> {
        let bad = || HeadingError::BadContentLength(value.to_owned());
        let digits = value.trim_matches([' ', '\t']);
        if self.content_length.is_some() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad());
        }
        self.content_length = Some(digits.parse().map_err(|_| bad())?);
        Ok(())
    }
}

/// Whether a header belongs to the connection and not to the response (RFC 9110 section 7.6.1, and RFC 2616 section
/// 13.5.1, which PEP 3333 names).
pub fn is_hop_by_hop(name: &str) -> bool {
    // All of them are between 2 and 19 characters long and begin with one of seven letters.
    const NAMES: [&str; 9] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    ];
    matches!(name.as_bytes().first().map(u8::to_ascii_lowercase), Some(b'c' | b'k' | b'p' | b't' | b'u'))
        && NAMES.iter().any(|hop| hop.eq_ignore_ascii_case(name))
}

fn encode_latin1(text: &str, out: &mut Vec<u8>) -> Result<(), ()> {
    for character in text.chars() {
        out.push(u8::try_from(u32::from(character)).map_err(|_| ())?);
    }
    Ok(())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_forbidden_in_value(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

const CONTENT_LENGTH: &str = "content-length";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_three_digits_a_space_and_a_reason() {
        for (status, code, reason) in [
            ("200 OK", 200, None),
            ("200 Fine", 200, Some("Fine")),
            ("404 Not Found", 404, Some("Not Found")),
            ("299 ", 299, Some("")),
            ("418", 418, Some("")),
            ("999 Caf\u{e9}", 999, Some("Caf\u{e9}")),
        ] {
            let head = Heading::new(status, 0).unwrap().build();
            assert_eq!(head.status, code);
            let latin1 = |text: &str| Bytes::from(text.chars().map(|c| c as u8).collect::<Vec<_>>());
            assert_eq!(head.reason, reason.map(latin1), "{status}");
        }
        for status in [
            "",
            "OK",
            "20 OK",
            "2000 OK",
            "200OK",
            "200\tOK",
            "099 x",
            "000 x",
            "+20 x",
            "200 a\r\nX: y",
            "200 \u{20ac}",
        ] {
            assert!(Heading::new(status, 0).is_err(), "{status:?}");
        }
        assert_eq!(Heading::new("103 Early", 0).unwrap_err(), HeadingError::Informational(103));
    }

    #[test]
    fn headers_cannot_carry_a_second_line() {
        let mut heading = Heading::new("200 OK", 4).unwrap();
        for (name, value) in [
            ("X\r\nY", "a"),
            ("X Y", "a"),
            ("", "a"),
            ("X:", "a"),
            ("X\u{e9}", "a"),
            ("X", "a\r\nY: b"),
            ("X", "a\nb"),
            ("X", "\0"),
            ("X", "\u{20ac}"),
        ] {
            assert!(heading.push(name, value).is_err(), "{name:?}: {value:?}");
        }
        heading.push("X", "tab\tand \u{e9}").unwrap();
        assert_eq!(heading.build().lines.as_bytes(), b"X: tab\tand \xe9\r\n");
    }

    #[test]
    fn content_length_is_taken_out_and_must_be_one_number() {
        let mut heading = Heading::new("200 OK", 1).unwrap();
        heading.push("content-LENGTH", "12").unwrap();
        assert_eq!(heading.content_length(), Some(12));
        assert!(heading.push("Content-Length", "12").is_err());
        assert!(heading.build().lines.as_bytes().is_empty());
        for bad in ["", "-1", "+1", "1, 1", "1_0", "99999999999999999999"] {
            assert!(Heading::new("200 OK", 1).unwrap().push("Content-Length", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn hop_by_hop_headers_are_left_out_and_named() {
        let mut heading = Heading::new("200 OK", 3).unwrap();
        heading.push("Connection", "close").unwrap();
        heading.push("TE", "trailers").unwrap();
        heading.push("Set-Cookie", "a=b").unwrap();
        assert_eq!(heading.dropped(), ["Connection", "TE"]);
        assert_eq!(heading.build().lines.iter().count(), 1);
    }
}
