//! What the few fields mean that decide about framing and the connection.

use ironbridge_exchange::{BodyFraming, Version, scan};

use super::{head::Persistence, host, refusal::Refusal};

/// Collects, line by line, what the special fields of one head say.
///
/// A contradiction is only reported by [`Meaning::finish`], when the head is over: so the answer is the same
/// however the network cut the head into pieces.
#[derive(Debug)]
pub(super) struct Meaning {
    version: Version,
    refusal: Option<Refusal>,
    length: Option<u64>,
    host: bool,
    transfer_encoding: bool,
    content_type: bool,
    expect_continue: bool,
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    websocket: bool,
}

/// What a whole head means for its body and its connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Framed {
    /// Where the body ends.
    pub(super) framing: BodyFraming,
    /// Whether the connection may go on after it.
    pub(super) connection: Persistence,
    /// Whether the client waits for 100 before it sends the body.
    pub(super) expect_continue: bool,
    /// Whether it asks to upgrade to a WebSocket, and could.
    pub(super) websocket: bool,
}

impl Meaning {
    /// Nothing is known but the version.
    pub(super) fn new(version: Version) -> Self {
        Self {
            version,
            refusal: None,
            length: None,
            host: false,
            transfer_encoding: false,
            content_type: false,
            expect_continue: false,
            close: false,
            keep_alive: false,
            upgrade: false,
            websocket: false,
        }
    }

    /// Takes note of one line. Most lines are none of ours, which length and first letter tell.
    #[inline(always)]
    pub(super) fn note(&mut self, name: &[u8], value: &[u8]) {
        const OURS: u32 = 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 12 | 1 << 14 | 1 << 17;
        if name.len() < 32
            && OURS >> name.len() & 1 == 1
            && matches!(name[0] | 0x20, b'h' | b'e' | b'c' | b't' | b'u')
        {
            self.note_ours(name, value);
        }
    }

    #[inline(never)]
    fn note_ours(&mut self, name: &[u8], value: &[u8]) {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value),
            6 if name.eq_ignore_ascii_case(b"expect") => self.expect(value),
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade(value),
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(value),
            12 if name.eq_ignore_ascii_case(b"content-type") => self.content_type(),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value),
            _ => {}
        }
    }

    /// The head is over.
    ///
    /// # Errors
    /// The first contradiction, or what is missing.
    pub(super) fn finish(self) -> Result<Framed, Refusal> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        if self.transfer_encoding && self.length.is_some() {
            return Err(Refusal::LengthWithTransferEncoding);
        }
        if !self.host && self.version == Version::Http11 {
            return Err(Refusal::MissingHost);
        }
        let framing = match self.length {
            Some(length) => BodyFraming::Length(length),
            None if self.transfer_encoding => BodyFraming::Chunked,
            None => BodyFraming::None,
        };
        let has_body = !matches!(framing, BodyFraming::None | BodyFraming::Length(0));
        Ok(Framed {
            framing,
            connection: self.persistence(),
            expect_continue: self.expect_continue && has_body,
            websocket: self.upgrade && self.websocket && !has_body && self.version == Version::Http11,
        })
    }

    /// RFC 9112 section 9.3: `close` wins, then the version's habit.
    fn persistence(&self) -> Persistence {
        if !self.close && (self.keep_alive || self.version == Version::Http11) {
            Persistence::KeepAlive
        } else {
            Persistence::Close
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
    }

    fn host(&mut self, value: &[u8]) {
        if std::mem::replace(&mut self.host, true) {
            self.refuse(Refusal::DuplicateHost);
        } else if !host::is_host(value) {
            self.refuse(Refusal::BadHost);
        }
    }

    fn expect(&mut self, value: &[u8]) {
        // RFC 9110 section 10.1.1: ignored in an HTTP/1.0 request.
        if self.version == Version::Http10 {
            return;
        }
        if value.eq_ignore_ascii_case(b"100-continue") {
            self.expect_continue = true;
        } else {
            self.refuse(Refusal::UnknownExpectation);
        }
    }

    fn connection(&mut self, value: &[u8]) {
        // What nearly everybody sends.
        if value == b"keep-alive" {
            self.keep_alive = true;
            return;
        }
        for option in value.split(|&byte| byte == b',') {
            let option = option.trim_ascii();
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    fn upgrade(&mut self, value: &[u8]) {
        let is_websocket = |protocol: &[u8]| protocol.trim_ascii().eq_ignore_ascii_case(b"websocket");
        self.websocket |= value.split(|&byte| byte == b',').any(is_websocket);
    }

    fn content_type(&mut self) {
        if std::mem::replace(&mut self.content_type, true) {
            self.refuse(Refusal::DuplicateContentType);
        }
    }

    fn content_length(&mut self, value: &[u8]) {
        match scan::decimal(value) {
            _ if self.length.is_some() => self.refuse(Refusal::DuplicateContentLength),
            Some(length) => self.length = Some(length),
            None => self.refuse(Refusal::BadContentLength),
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) {
        if self.version == Version::Http10 {
            self.refuse(Refusal::TransferEncodingOnHttp10);
        } else if std::mem::replace(&mut self.transfer_encoding, true) {
            self.refuse(Refusal::RepeatedChunked);
        } else if !value.eq_ignore_ascii_case(b"chunked") {
            self.refuse(not_just_chunked(value));
        }
    }
}

/// Why a Transfer-Encoding other than exactly `chunked` is refused.
#[cold]
fn not_just_chunked(value: &[u8]) -> Refusal {
    let is_chunked = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let codings: Vec<&[u8]> = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).collect();
    match codings.iter().filter(|coding| is_chunked(coding)).count() {
        _ if codings.iter().any(|coding| coding.is_empty()) => Refusal::BadTransferEncoding,
        0 => Refusal::UnknownTransferCoding,
        1 if codings.last().is_some_and(is_chunked) => Refusal::UnknownTransferCoding,
        1 => Refusal::BadTransferEncoding,
        _ => Refusal::RepeatedChunked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(version: Version, lines: &[(&str, &str)]) -> Result<Framed, Refusal> {
        let mut meaning = Meaning::new(version);
        for (name, value) in lines {
            meaning.note(name.as_bytes(), value.as_bytes());
        }
        meaning.finish()
    }

    fn refusal(lines: &[(&str, &str)]) -> Option<Refusal> {
        let lines: Vec<_> = [("Host", "a")].iter().chain(lines).copied().collect();
        meaning(Version::Http11, &lines).err()
    }

    fn persistence(version: Version, lines: &[(&str, &str)]) -> Persistence {
        let lines: Vec<_> = [("Host", "a")].iter().chain(lines).copied().collect();
        meaning(version, &lines).unwrap().connection
    }

    #[test]
    fn host_is_needed_once_and_only_on_http_11() {
        assert_eq!(meaning(Version::Http11, &[]).err(), Some(Refusal::MissingHost));
        assert!(meaning(Version::Http10, &[]).is_ok());
        assert_eq!(refusal(&[("hOST", "a")]), Some(Refusal::DuplicateHost));
        assert_eq!(meaning(Version::Http10, &[("Host", "a b")]).err(), Some(Refusal::BadHost));
        assert!(meaning(Version::Http11, &[("Host", "")]).is_ok());
    }

    #[test]
    fn a_content_length_is_digits_that_fit_and_comes_once() {
        for bad in ["", "+5", "-0", "5, 5", "0_1", "0x5", "5 5", "18446744073709551616", "\u{ff15}", "1.0"] {
            assert_eq!(refusal(&[("Content-Length", bad)]), Some(Refusal::BadContentLength), "{bad}");
        }
        let framed = meaning(Version::Http10, &[("content-length", "18446744073709551615")]).unwrap();
        assert_eq!(framed.framing, BodyFraming::Length(u64::MAX));
        let twice = [("Content-Length", "5"), ("CONTENT-LENGTH", "5")];
        assert_eq!(refusal(&twice), Some(Refusal::DuplicateContentLength));
    }

    #[test]
    fn a_transfer_encoding_is_exactly_chunked() {
        let framed = meaning(Version::Http11, &[("Host", ""), ("Transfer-Encoding", "ChunKed")]).unwrap();
        assert_eq!(framed.framing, BodyFraming::Chunked);
        for (value, expected) in [
            ("gzip", Refusal::UnknownTransferCoding),
            ("identity", Refusal::UnknownTransferCoding),
            ("gzip, chunked", Refusal::UnknownTransferCoding),
            ("chunked;a=b", Refusal::UnknownTransferCoding),
            ("\"chunked\"", Refusal::UnknownTransferCoding),
            ("chunked, chunked", Refusal::RepeatedChunked),
            ("chunked, gzip", Refusal::BadTransferEncoding),
            ("chunked,", Refusal::BadTransferEncoding),
            ("", Refusal::BadTransferEncoding),
        ] {
            assert_eq!(refusal(&[("Transfer-Encoding", value)]), Some(expected), "{value}");
        }
        let twice = [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")];
        assert_eq!(refusal(&twice), Some(Refusal::RepeatedChunked));
        let both = [("Transfer-Encoding", "chunked"), ("Content-Length", "0")];
        assert_eq!(refusal(&both), Some(Refusal::LengthWithTransferEncoding));
        let old = meaning(Version::Http10, &[("Transfer-Encoding", "chunked")]);
        assert_eq!(old.err(), Some(Refusal::TransferEncodingOnHttp10));
    }

    #[test]
    fn close_wins_and_versions_differ_in_their_habit() {
        use Persistence::{Close, KeepAlive};
        assert_eq!(persistence(Version::Http11, &[]), KeepAlive);
        assert_eq!(persistence(Version::Http10, &[]), Close);
        assert_eq!(persistence(Version::Http10, &[("Connection", "Keep-Alive")]), KeepAlive);
        assert_eq!(persistence(Version::Http11, &[("Connection", "upgrade, CLOSE")]), Close);
        let both = [("Connection", "keep-alive"), ("connection", "close")];
        assert_eq!(persistence(Version::Http10, &both), Close);
        assert_eq!(persistence(Version::Http11, &[both[1], both[0]]), Close);
        assert_eq!(persistence(Version::Http11, &[("Connection", "closed")]), KeepAlive);
    }

    #[test]
    fn an_expectation_counts_on_http_11_with_a_body() {
        let expect = ("Expect", "100-Continue");
        let length = ("Content-Length", "1");
        assert!(meaning(Version::Http11, &[("Host", ""), expect, length]).unwrap().expect_continue);
        assert!(!meaning(Version::Http11, &[("Host", ""), expect]).unwrap().expect_continue);
        assert!(!meaning(Version::Http10, &[expect, length]).unwrap().expect_continue);
        assert_eq!(refusal(&[("Expect", "200-ok")]), Some(Refusal::UnknownExpectation));
        assert!(meaning(Version::Http10, &[("Expect", "200-ok")]).is_ok());
    }

    #[test]
    fn an_upgrade_to_a_websocket_is_asked_for_in_two_lines_without_a_body() {
        let websocket = |version, lines: &[(&str, &str)]| {
            let lines: Vec<_> = [("Host", "")].iter().chain(lines).copied().collect();
            meaning(version, &lines).unwrap().websocket
        };
        let both = [("Connection", "keep-alive, Upgrade"), ("UPGRADE", "h2c, WebSocket")];
        assert!(websocket(Version::Http11, &both));
        assert!(websocket(Version::Http11, &[both[1], both[0], ("Content-Length", "0")]));
        assert!(!websocket(Version::Http11, &both[..1]) && !websocket(Version::Http11, &both[1..]));
        assert!(!websocket(Version::Http11, &[both[0], ("Upgrade", "websockets")]));
        assert!(!websocket(Version::Http11, &[both[0], both[1], ("Content-Length", "1")]));
        assert!(!websocket(Version::Http11, &[both[0], both[1], ("Transfer-Encoding", "chunked")]));
        assert!(!websocket(Version::Http10, &both));
    }

    #[test]
    fn a_second_content_type_is_refused() {
        let twice = [("Content-Type", "a/b"), ("content-type", "a/b")];
        assert_eq!(refusal(&twice), Some(Refusal::DuplicateContentType));
    }
}
