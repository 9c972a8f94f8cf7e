//! Checks the trailer section of a chunked body (RFC 9112 section 7.1.2) byte by byte; nothing of it is kept.

use ironbridge_exchange::scan;

use super::refusal::Refusal;

/// Where in a trailer section the next byte stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trailer {
    state: State,
    left: usize,
    lines_left: u8,
    name: Name,
}

/// What a byte did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrailerStep {
    /// The section goes on.
    Inside,
    /// The section is over.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    LineStart,
    Name,
    Value,
    ValueLf,
    LastLf,
}

impl Trailer {
    /// The start of a section of at most `limit` bytes, the empty line at its end not counted. It has at most 16 000 bytes
    /// and 100 lines whatever `limit` says.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            state: State::LineStart,
            left: limit.min(MOST_BYTES),
            lines_left: MOST_LINES,
            name: Name::default(),
        }
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// [`Refusal::BadTrailer`] or [`Refusal::TrailerTooLarge`].
    pub(super) fn step(&mut self, byte: u8) -> Result<TrailerStep, Refusal> {
        self.state = match (self.state, byte) {
            (State::LineStart, b'\r') => State::LastLf,
            (State::LastLf, b'\n') => return Ok(TrailerStep::End),
            (State::LineStart, _) if scan::is_token(byte) => {
                self.lines_left = self.lines_left.checked_sub(1).ok_or(Refusal::TrailerTooLarge)?;
                self.name = Name::default();
                self.name.push(byte);
                State::Name
            }
            (State::Name, b':') if !self.name.is_forbidden() => State::Value,
            (State::Name, _) if scan::is_token(byte) => {
                self.name.push(byte);
                State::Name
            }
            (State::Value, b'\r') => State::ValueLf,
            (State::Value, _) if scan::is_value(byte) => State::Value,
            (State::ValueLf, b'\n') => State::LineStart,
            _ => return Err(Refusal::BadTrailer),
        };
        if self.state != State::LastLf {
            self.left = self.left.checked_sub(1).ok_or(Refusal::TrailerTooLarge)?;
        }
        Ok(TrailerStep::Inside)
    }
}

/// A field name in lower case, as far as it fits: the forbidden ones do.
#[derive(Debug, Clone, Copy, Default)]
struct Name {
    bytes: [u8; LONGEST],
    len: u8,
}

impl Name {
    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(usize::from(self.len)) {
            *slot = byte.to_ascii_lowercase();
        }
        self.len = self.len.saturating_add(1);
    }

    fn is_forbidden(&self) -> bool {
        self.bytes.get(..usize::from(self.len)).is_some_and(|name| FORBIDDEN.contains(&name))
    }
}

/// A little less than hyper takes, so that it is the gate that refuses.
const MOST_BYTES: usize = 16_000;
/// As many as hyper takes.
const MOST_LINES: u8 = 100;

/// Length of the longest name below.
const LONGEST: usize = 19;

/// Fields that must not come in a trailer (RFC 9110 section 6.5.1): they decide about framing, routing, request
/// modifiers, authentication, or how the content is to be read.
const FORBIDDEN: [&[u8]; 35] = [
    b"age",
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-disposition",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"cookie2",
    b"date",
    b"expect",
    b"expires",
    b"forwarded",
    b"host",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"keep-alive",
    b"max-forwards",
    b"pragma",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"range",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"via",
    b"www-authenticate",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(section: &str, limit: usize) -> Result<TrailerStep, Refusal> {
        let mut trailer = Trailer::new(limit);
        section.bytes().try_fold(TrailerStep::Inside, |_, byte| trailer.step(byte))
    }

    #[test]
    fn harmless_fields_pass() {
        for section in ["\r\n", "X-Checksum: abc\r\n\r\n", "a:\r\nb: \t\u{e4}\r\n\r\n", "hosts: a\r\n\r\n"] {
            assert_eq!(read(section, 100), Ok(TrailerStep::End), "{section:?}");
        }
        let long = format!("{}: b\r\n\r\n", "host".repeat(100));
        assert_eq!(read(&long, 1000), Ok(TrailerStep::End));
    }

    #[test]
    fn forbidden_names_are_refused_in_any_case() {
        for name in FORBIDDEN {
            let name = str::from_utf8(name).unwrap();
            assert!(name.len() <= LONGEST, "{name}");
            for spelled in [name.to_owned(), name.to_uppercase()] {
                assert_eq!(
                    read(&format!("{spelled}: a\r\n\r\n"), 100),
                    Err(Refusal::BadTrailer),
                    "{spelled}"
                );
            }
            assert_eq!(read(&format!("x{name}: a\r\n\r\n"), 100), Ok(TrailerStep::End), "{name}");
        }
    }

    #[test]
    fn lines_must_be_fields() {
        for section in [
            "\n",
            "\rx",
            ": a\r\n",
            "a\r\n",
            "a b: c\r\n",
            "a : b\r\n",
            " a: b\r\n",
            "a: b\n",
            "a: b\rc",
            "a: \0",
            "\u{e4}: a",
            "a: b\r\n c\r\n",
        ] {
            assert_eq!(read(section, 100), Err(Refusal::BadTrailer), "{section:?}");
        }
    }

    #[test]
    fn the_limit_counts_field_lines() {
        assert_eq!(read("a: b\r\n\r\n", 6), Ok(TrailerStep::End));
        assert_eq!(read("a: b\r\n\r\n", 5), Err(Refusal::TrailerTooLarge));
        assert_eq!(read("\r\n", 0), Ok(TrailerStep::End));
    }

    #[test]
    fn a_section_stays_below_what_hyper_takes() {
        let lines = |count: usize, len: usize| {
            read(&format!("{}\r\n", format!("a:{}\r\n", "b".repeat(len - 4)).repeat(count)), usize::MAX)
        };
        assert_eq!(lines(100, 4), Ok(TrailerStep::End));
        assert_eq!(lines(101, 4), Err(Refusal::TrailerTooLarge));
        assert_eq!(lines(100, 160), Ok(TrailerStep::End));
        assert_eq!(lines(1, 16_001), Err(Refusal::TrailerTooLarge));
    }
}
