//! The client's side of WebSockets (RFC 6455), as far as a client needs it that trusts its server.

use memchr::memmem;

/// A handshake under way.
#[derive(Debug, Default)]
pub(crate) struct Handshake {
    /// Bytes of the request that have been sent.
    pub(crate) sent: usize,
    answer: Vec<u8>,
}

/// Finds where messages end.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    /// What is there of a head.
    head: Vec<u8>,
    /// Bytes of the payload that have to come, and whether a message ends with it.
    payload: Option<(u64, bool)>,
}

impl Handshake {
    /// Takes the next bytes of the answer. Returns what is behind it, once it is whole.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.answer.extend_from_slice(bytes);
        let Some(end) = memmem::find(&self.answer, b"\r\n\r\n") else { return Ok(None) };
        if !self.answer.starts_with(b"HTTP/1.1 101") {
            return Err(format!("not upgraded: {}", self.answer[..end].escape_ascii()));
        }
        Ok(Some(self.answer.split_off(end + 4)))
    }
}

impl FrameReader {
    /// Takes the next bytes; returns how many messages end in them. Control frames do not count.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> usize {
        let mut messages = 0;
        while !bytes.is_empty() {
            let Some((left, is_last)) = &mut self.payload else {
                self.head.push(bytes[0]);
                bytes = &bytes[1..];
                self.payload = payload(&self.head);
                if self.payload.is_some() {
                    self.head.clear();
                }
                if let Some((0, is_last)) = self.payload {
                    messages += usize::from(is_last);
                    self.payload = None;
                }
                continue;
            };
            let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= taken as u64;
            bytes = &bytes[taken..];
            if *left == 0 {
                messages += usize::from(*is_last);
                self.payload = None;
            }
        }
        messages
    }
}

/// What a whole head says of its payload: its length, and whether a message ends with it.
fn payload(head: &[u8]) -> Option<(u64, bool)> {
    let [first, second, rest @ ..] = head else { return None };
    let len = match second & 0x7f {
        126 => u64::from(u16::from_be_bytes(rest.try_into().ok()?)),
        127 => u64::from_be_bytes(rest.try_into().ok()?),
        short => u64::from(short),
    };
    Some((len, first & 0x80 != 0 && first & 0x08 == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let mut bytes = vec![0x82, 3, 1, 2, 3, 0x89, 0, 0x01, 1, b'a', 0x80, 126, 0, 200];
        bytes.extend_from_slice(&[0; 200]);
        bytes.extend_from_slice(&[0x81, 0]);
        for size in 1..=bytes.len() {
            let mut reader = FrameReader::default();
            assert_eq!(bytes.chunks(size).map(|piece| reader.feed(piece)).sum::<usize>(), 3);
        }
    }

    #[test]
    fn a_handshake_ends_with_its_empty_line() {
        let mut handshake = Handshake::default();
        assert_eq!(handshake.feed(b"HTTP/1.1 101 Switching Protocols\r\n\r"), Ok(None));
        assert_eq!(handshake.feed(b"\nrest"), Ok(Some(b"rest".to_vec())));
        assert!(Handshake::default().feed(b"HTTP/1.1 404 Not Found\r\n\r\n").is_err());
    }
}
