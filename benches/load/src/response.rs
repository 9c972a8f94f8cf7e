//! Where a response ends (RFC 9112 6.3), as far as a client needs it that trusts its server.

use memchr::memmem;

/// Follows one response through the bytes of a connection.
#[derive(Debug, Default)]
pub(crate) struct ResponseReader {
    stage: Stage,
    /// What is there of a head or a chunk-size line that is not whole yet.
    partial: Vec<u8>,
    status: u16,
    closes: bool,
}

/// What the last bytes meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More bytes must come.
    Partial,
    /// The response is whole.
    Whole {
        /// Its status code.
        status: u16,
        /// The server closes the connection after it.
        closes: bool,
    },
}

#[derive(Debug, Default, Clone, Copy)]
enum Stage {
    #[default]
    Head,
    Body {
        left: u64,
    },
    ChunkSize,
    /// Chunk data and the line end behind it.
    Chunk {
        left: u64,
    },
    Trailer,
    UntilClose,
}

impl ResponseReader {
    /// Takes the next bytes. A malformed response, or bytes beyond it, are an error.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<Progress, &'static str> {
        loop {
            let stage = self.stage;
            match stage {
                Stage::Head => match self.head(&mut bytes)? {
                    true => {}
                    false => return Ok(Progress::Partial),
                },
                Stage::Body { left } => {
                    let left = skip(&mut bytes, left);
                    self.stage = Stage::Body { left };
                    return if left == 0 { self.finish(bytes) } else { Ok(Progress::Partial) };
                }
                Stage::Chunk { left } => {
                    let left = skip(&mut bytes, left);
                    self.stage = if left == 0 { Stage::ChunkSize } else { Stage::Chunk { left } };
                    if left > 0 {
                        return Ok(Progress::Partial);
                    }
                }
                Stage::ChunkSize | Stage::Trailer => {
                    let Some(line) = self.line(&mut bytes) else { return Ok(Progress::Partial) };
                    match (stage, line.is_empty()) {
                        (Stage::Trailer, true) => return self.finish(bytes),
                        (Stage::Trailer, false) => {}
                        _ => self.stage = after_size(chunk_size(&line)?),
                    }
                }
                Stage::UntilClose => return Ok(Progress::Partial),
            }
        }
    }

    /// The connection ended. Says whether that ends the response properly.
    pub(crate) fn end(&mut self) -> Option<Progress> {
        let whole = matches!(self.stage, Stage::UntilClose);
        whole.then(|| self.finish(&[]).unwrap_or(Progress::Partial))
    }

    /// Reads the head if it is whole, and returns whether it was.
    fn head(&mut self, bytes: &mut &[u8]) -> Result<bool, &'static str> {
        if self.partial.is_empty()
            && let Some(end) = memmem::find(bytes, b"\r\n\r\n")
        {
            let (head, rest) = bytes.split_at(end + 4);
            *bytes = rest;
            return self.read_head(head).map(|()| true);
        }
        let before = self.partial.len();
        self.partial.extend_from_slice(bytes);
        let Some(end) = memmem::find(&self.partial[before.saturating_sub(3)..], b"\r\n\r\n") else {
            return Ok(false);
        };
        let length = before.saturating_sub(3) + end + 4;
        *bytes = &bytes[length - before..];
        let mut head = std::mem::take(&mut self.partial);
        head.truncate(length);
        self.read_head(&head).map(|()| true)
    }

    fn read_head(&mut self, head: &[u8]) -> Result<(), &'static str> {
        let status = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        self.status = status.filter(|_| head.starts_with(b"HTTP/1.")).ok_or("not a response")?;
        self.closes = head[7] == b'0';
        self.stage = Stage::UntilClose;
        let mut at = 0;
        while let Some(end) = memchr::memchr(b'\n', &head[at..]) {
            self.read_field(&head[at..at + end]);
            at += end + 1;
        }
        match self.status {
            100..=199 => self.stage = Stage::Head,
            204 | 304 => self.stage = Stage::Body { left: 0 },
            _ => {}
        }
        Ok(())
    }

    fn read_field(&mut self, line: &[u8]) {
        // The second letter sorts out nearly all fields before names are compared.
        if line.get(1).is_none_or(|letter| !matches!(letter | 0x20, b'o' | b'r')) {
            return;
        }
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let value = line[colon + 1..].trim_ascii();
        match &line[..colon] {
            name if name.eq_ignore_ascii_case(b"content-length") => {
                let left = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                self.stage = left.map_or(Stage::UntilClose, |left| Stage::Body { left });
            }
            name if name.eq_ignore_ascii_case(b"transfer-encoding") => self.stage = Stage::ChunkSize,
            name if name.eq_ignore_ascii_case(b"connection") => {
                self.closes = value.eq_ignore_ascii_case(b"close")
                    || (self.closes && !value.eq_ignore_ascii_case(b"keep-alive"));
            }
            _ => {}
        }
    }

    /// Takes a line off the front, without its line end.
    fn line(&mut self, bytes: &mut &[u8]) -> Option<Vec<u8>> {
        let (line, rest) = match memchr::memchr(b'\n', bytes) {
            Some(end) => bytes.split_at(end + 1),
            None => (*bytes, &[][..]),
        };
        *bytes = rest;
        self.partial.extend_from_slice(line);
        let whole = self.partial.ends_with(b"\n");
        whole.then(|| std::mem::take(&mut self.partial).trim_ascii_end().to_vec())
    }

    fn finish(&mut self, rest: &[u8]) -> Result<Progress, &'static str> {
        if !rest.is_empty() {
            return Err("bytes beyond the response");
        }
        let closes = self.closes || matches!(self.stage, Stage::UntilClose);
        self.stage = Stage::Head;
        self.partial.clear();
        Ok(Progress::Whole { status: self.status, closes })
    }
}

fn skip(bytes: &mut &[u8], left: u64) -> u64 {
    let step = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    *bytes = &bytes[step..];
    left - step as u64
}

fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let text = std::str::from_utf8(digits).map_err(|_| "bad chunk size")?;
    u64::from_str_radix(text, 16).map_err(|_| "bad chunk size")
}

fn after_size(size: u64) -> Stage {
    if size == 0 { Stage::Trailer } else { Stage::Chunk { left: size + 2 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: [(&str, u16, bool); 5] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, false),
        ("HTTP/1.1 500 Oh\r\nConnection: close\r\ncontent-length:0\r\n\r\n", 500, true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nA: b\r\n\r\n",
            200,
            false,
        ),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204, false),
        ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", 200, false),
    ];

    #[test]
    fn responses_end_where_they_end_however_they_are_cut() {
        for (text, status, closes) in CASES {
            for cut in 0..text.len() {
                let mut reader = ResponseReader::default();
                let (first, second) = text.as_bytes().split_at(cut);
                assert_eq!(reader.feed(first), Ok(Progress::Partial), "{text} cut at {cut}");
                assert_eq!(
                    reader.feed(second),
                    Ok(Progress::Whole { status, closes }),
                    "{text} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn without_a_length_the_close_ends_it() {
        let mut reader = ResponseReader::default();
        assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\n\r\nhello"), Ok(Progress::Partial));
        assert_eq!(reader.end(), Some(Progress::Whole { status: 200, closes: true }));
    }

    #[test]
    fn a_close_inside_a_body_is_no_end() {
        let mut reader = ResponseReader::default();
        assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"), Ok(Progress::Partial));
        assert_eq!(reader.end(), None);
    }

    #[test]
    fn nonsense_and_surplus_bytes_are_errors() {
        assert!(ResponseReader::default().feed(b"SMTP ready\r\n\r\n").is_err());
        assert!(ResponseReader::default().feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab").is_err());
    }
}
