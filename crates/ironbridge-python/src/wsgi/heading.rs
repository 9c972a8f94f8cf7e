//! Checks what an application says through start_response, and makes the response's head of it.

use ironbridge_exchange::{HeaderBlock, ResponseHead, scan};

/// Why a status or header cannot be sent. Each text names the thing at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadingError {
    /// The status is not three digits, a space and a reason.
    #[error("status must be a string like '200 OK', not {0:?}")]
    BadStatus(String),
    /// 1xx responses are not final.
    #[error(
        "status {0} is not a final response; for 103 there are environ['wsgi.early_hints'] and http.response.early_hint"
    )]
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
    reason: Option<Box<[u8]>>,
    lines: HeaderBlock,
    content_length: Option<u64>,
    /// Names of hop-by-hop headers that were left out.
    dropped: Vec<String>,
}

impl Heading {
    /// Begins with the status line's text in latin-1, such as `404 Not Found`. `room`: bytes that the headers will take,
    /// about.
    ///
    /// # Errors
    /// [`HeadingError::BadStatus`], [`HeadingError::Informational`].
    pub fn new(status: &[u8], room: usize) -> Result<Self, HeadingError> {
        if status == b"200 OK" {
            return Ok(Self::with_status(200, None, room));
        }
        let bad = || HeadingError::BadStatus(text(status));
        let (code, reason) = status.split_at_checked(3).ok_or_else(bad)?;
        let code = scan::decimal(code).ok_or_else(bad)? as u16;
        let reason = match reason {
            [] => reason,
            [b' ', reason @ ..] if scan::value_end(reason, 0) == reason.len() => reason,
            _ => return Err(bad()),
        };
        match code {
            200..=999 => Ok(Self::with_status(code, Some(reason.into()), room)),
            100..=199 => Err(HeadingError::Informational(code)),
            _ => Err(bad()),
        }
    }

    /// Begins with a code, whose reason phrase is the standard one.
    ///
    /// # Errors
    /// [`HeadingError::BadStatus`], [`HeadingError::Informational`].
    pub fn of_status(status: u16, room: usize) -> Result<Self, HeadingError> {
        match status {
            200..=999 => Ok(Self::with_status(status, None, room)),
            100..=199 => Err(HeadingError::Informational(status)),
            _ => Err(HeadingError::BadStatus(status.to_string())),
        }
    }

    /// Begins the head that grants an upgrade to another protocol.
    pub fn of_upgrade(room: usize) -> Self {
        Self::with_status(101, None, room)
    }

    /// Header lines so far.
    pub fn lines(&self) -> &HeaderBlock {
        &self.lines
    }

    fn with_status(status: u16, reason: Option<Box<[u8]>>, room: usize) -> Self {
        let lines = HeaderBlock::with_capacity(room);
        Self { status, reason, lines, content_length: None, dropped: Vec::new() }
    }

    /// Adds one header, name and value in latin-1.
    ///
    /// # Errors
    /// What is wrong with name or value.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadingError> {
        if name.is_empty() || scan::token_end(name, 0) < name.len() {
            return Err(HeadingError::BadName(text(name)));
        }
        if scan::value_end(value, 0) < value.len() {
            return Err(HeadingError::BadValue(text(name)));
        }
        // The headers that are not the application's begin with one of these letters.
        if matches!(name[0] | 0x20, b'c' | b'k' | b'p' | b't' | b'u') {
            if is_hop_by_hop(name) {
                self.dropped.push(text(name));
                return Ok(());
            }
            if name.eq_ignore_ascii_case(CONTENT_LENGTH) {
                return self.set_content_length(value);
            }
        }
        self.lines.push(name, value.trim_ascii());
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

    fn set_content_length(&mut self, value: &[u8]) -> Result<(), HeadingError> {
        let bad = || HeadingError::BadContentLength(text(value));
        if self.content_length.is_some() {
            return Err(bad());
        }
        self.content_length = Some(scan::decimal(value.trim_ascii()).ok_or_else(bad)?);
        Ok(())
    }
}

/// Whether a header belongs to the connection and not to the response (RFC 9110 section 7.6.1, and RFC 2616 section
/// 13.5.1, which PEP 3333 names).
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    let names: &[&[u8]] = match name.len() {
        2 => &[b"te"],
        7 => &[b"upgrade", b"trailer"],
        8 => &[b"trailers"],
        10 => &[b"connection", b"keep-alive"],
        17 => &[b"transfer-encoding"],
        18 => &[b"proxy-authenticate"],
        19 => &[b"proxy-authorization"],
        _ => &[],
    };
    names.iter().any(|hop| hop.eq_ignore_ascii_case(name))
}

/// The text that latin-1 bytes stand for.
fn text(latin1: &[u8]) -> String {
    latin1.iter().map(|&byte| char::from(byte)).collect()
}

const CONTENT_LENGTH: &[u8] = b"content-length";

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a text without characters beyond U+00FF.
    fn latin1(text: &str) -> Vec<u8> {
        text.chars().map(|c| u8::try_from(c).unwrap()).collect()
    }

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
            let head = Heading::new(&latin1(status), 0).unwrap().build();
            assert_eq!(head.status, code);
            assert_eq!(head.reason.as_deref(), reason.map(latin1).as_deref(), "{status}");
        }
        for status in [
            "",
            "OK",
            "20",
            "20 OK",
            "2000 OK",
            "200OK",
            "200\tOK",
            "099 x",
            "000 x",
            "+20 x",
            "200 a\r\nX: y",
            "200 \u{7f}",
        ] {
            assert!(Heading::new(&latin1(status), 0).is_err(), "{status:?}");
        }
        assert_eq!(Heading::new(b"103 Early", 0).unwrap_err(), HeadingError::Informational(103));
    }

    #[test]
    fn headers_cannot_carry_a_second_line() {
        let mut heading = Heading::new(b"200 OK", 4).unwrap();
        for (name, value) in [
            ("X\r\nY", "a"),
            ("X Y", "a"),
            ("", "a"),
            ("X:", "a"),
            ("X\u{e9}", "a"),
            ("X", "a\r\nY: b"),
            ("X", "a\nb"),
            ("X", "\0"),
            ("X", "\u{7f}"),
        ] {
            assert!(heading.push(&latin1(name), &latin1(value)).is_err(), "{name:?}: {value:?}");
        }
        heading.push(b"X", b"tab\tand \xe9").unwrap();
        assert_eq!(heading.build().lines.as_bytes(), b"X: tab\tand \xe9\r\n");
    }

    #[test]
    fn content_length_is_taken_out_and_must_be_one_number() {
        let mut heading = Heading::new(b"200 OK", 1).unwrap();
        heading.push(b"content-LENGTH", b" 12").unwrap();
        assert_eq!(heading.content_length(), Some(12));
        assert!(heading.push(b"Content-Length", b"12").is_err());
        assert!(heading.build().lines.as_bytes().is_empty());
        for bad in ["", "-1", "+1", "1, 1", "1_0", "99999999999999999999"] {
            let pushed = Heading::new(b"200 OK", 1).unwrap().push(b"Content-Length", bad.as_bytes());
            assert!(pushed.is_err(), "{bad:?}");
        }
    }

    #[test]
    fn hop_by_hop_headers_are_left_out_and_named() {
        let mut heading = Heading::new(b"200 OK", 3).unwrap();
        heading.push(b"Connection", b"close").unwrap();
        heading.push(b"TE", b"trailers").unwrap();
        heading.push(b"Set-Cookie", b"a=b").unwrap();
        assert_eq!(heading.dropped(), ["Connection", "TE"]);
        assert_eq!(heading.build().lines.iter().count(), 1);
        for name in
            ["Keep-Alive", "proxy-authenticate", "Proxy-Authorization", "Trailer", "trailers", "UPGRADE"]
        {
            assert!(is_hop_by_hop(name.as_bytes()), "{name}");
        }
        assert!(is_hop_by_hop(b"Transfer-Encoding") && !is_hop_by_hop(b"Cookie") && !is_hop_by_hop(b""));
    }
}
