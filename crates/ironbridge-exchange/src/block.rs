//! Header lines on their way out, rendered as HTTP/1 sends them.

/// Header lines in the order and spelling of whoever wrote them, each as `Name: value CRLF`.
///
/// Content-Length and hop-by-hop headers are never in here: the connection writes those.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderBlock {
    raw: Vec<u8>,
    has_date: bool,
    has_server: bool,
}

impl HeaderBlock {
    /// An empty block with room for `bytes` bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { raw: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Appends one line. The caller has checked name (RFC 9110 section 5.1: token) and value (5.5: no control characters).
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.raw.reserve(name.len() + value.len() + 4);
        self.raw.extend_from_slice(name);
        self.raw.extend_from_slice(b": ");
        self.raw.extend_from_slice(value);
        self.raw.extend_from_slice(b"\r\n");
        match name.len() {
            4 => self.has_date |= name.eq_ignore_ascii_case(b"date"),
            6 => self.has_server |= name.eq_ignore_ascii_case(b"server"),
            _ => {}
        }
    }

    /// The lines, ready for the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// Whether there is a Date line.
    pub fn has_date(&self) -> bool {
        self.has_date
    }

    /// Whether there is a Server line.
    pub fn has_server(&self) -> bool {
        self.has_server
    }

    /// The lines as `(name, value)`, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.raw.split_inclusive(|&byte| byte == b'\n').filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_as_they_were_written() {
        let mut block = HeaderBlock::default();
        block.push(b"x-ONE", b"1: 2");
        block.push(b"X-Empty", b"");
        assert_eq!(block.as_bytes(), b"x-ONE: 1: 2\r\nX-Empty: \r\n");
        assert_eq!(block.iter().collect::<Vec<_>>(), [(&b"x-ONE"[..], &b"1: 2"[..]), (b"X-Empty", b"")]);
        assert!(!block.has_date() && !block.has_server());
        block.push(b"DATE", b"x");
        block.push(b"server", b"x");
        assert!(block.has_date() && block.has_server());
    }
}
