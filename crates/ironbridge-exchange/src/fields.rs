//! Header lines (RFC 9110 section 5: "fields") in the order and spelling of whoever wrote them.

use bytes::Bytes;

/// Where one header line lies in its buffer. Offsets are in bytes from the buffer's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldLine {
    /// Offset of the name's first byte.
    pub name_start: u32,
    /// Length of the name; a name ends where its colon stands.
    pub name_len: u32,
    /// Offset of the value's first byte, leading white space left out.
    pub value_start: u32,
    /// Length of the value, trailing white space left out.
    pub value_len: u32,
}

/// An ordered list of header lines over one shared buffer.
///
/// Cloning shares the buffer. Names keep their spelling; [`Fields::get`] compares without case.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    raw: Bytes,
    lines: Vec<FieldLine>,
}

impl Fields {
    /// Header lines that lie in `raw` where `lines` says.
    ///
    /// # Panics
    /// Iterating panics when a line points outside `raw`.
    pub fn new(raw: Bytes, lines: Vec<FieldLine>) -> Self {
        Self { raw, lines }
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no line at all.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The lines as `(name, value)` byte slices, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + Clone {
        self.lines.iter().map(|line| (self.slice(line.name_start, line.name_len), self.value(line)))
    }

    /// The value of the first line called `name` (any case).
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// The values of every line called `name` (any case), in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// The buffer that the lines point into.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    fn value(&self, line: &FieldLine) -> &[u8] {
        self.slice(line.value_start, line.value_len)
    }

    fn slice(&self, start: u32, len: u32) -> &[u8] {
        &self.raw[start as usize..start as usize + len as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_order_and_spelling_and_are_found_in_any_case() {
        let raw = Bytes::from_static(b"X-One: 1\r\nset-COOKIE: a=b\r\nSet-Cookie:\r\n");
        let line = |name_start, name_len, value_start, value_len| FieldLine {
            name_start,
            name_len,
            value_start,
            value_len,
        };
        let fields = Fields::new(raw, vec![line(0, 5, 7, 1), line(10, 10, 22, 3), line(27, 10, 38, 0)]);
        assert_eq!(fields.len(), 3);
        assert_eq!(fields.get("x-one"), Some(&b"1"[..]));
        assert_eq!(fields.get_all("set-cookie").collect::<Vec<_>>(), [&b"a=b"[..], b""]);
        assert_eq!(fields.get("absent"), None);
        assert_eq!(
            fields.iter().map(|(n, _)| n).collect::<Vec<_>>(),
            [&b"X-One"[..], b"set-COOKIE", b"Set-Cookie"]
        );
    }
}
