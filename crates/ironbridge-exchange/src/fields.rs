//! Header lines (RFC 9110 section 5: "fields") in the order and spelling of whoever wrote them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::kept::Kept;

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

/// An ordered list of header lines over one buffer.
///
/// Cloning shares everything. Names keep their spelling; [`Fields::get`] compares without case.
///
/// Clients that keep a connection often send the same lines again and again. Where a front end notices, it hands out clones
/// of one list: see [`Fields::is_repeated`].
#[derive(Clone)]
pub struct Fields {
    shared: Arc<Shared>,
}

struct Shared {
    raw: Box<[u8]>,
    lines: Vec<FieldLine>,
    repeated: AtomicBool,
    kept: Kept,
}

impl Fields {
    /// Header lines that lie in `raw` where `lines` says.
    ///
    /// # Panics
    /// Iterating panics when a line points outside `raw`.
    pub fn new(raw: impl Into<Box<[u8]>>, lines: Vec<FieldLine>) -> Self {
        let (raw, repeated) = (raw.into(), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { raw, lines, repeated, kept: Kept::default() }) }
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.shared.lines.len()
    }

    /// Whether there is no line at all.
    pub fn is_empty(&self) -> bool {
        self.shared.lines.is_empty()
    }

    /// The lines as `(name, value)` byte slices, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + Clone {
        let Shared { raw, lines, .. } = &*self.shared;
        let slice = |start: u32, len: u32| &raw[start as usize..start as usize + len as usize];
        lines
            .iter()
            .map(move |line| (slice(line.name_start, line.name_len), slice(line.value_start, line.value_len)))
    }

    /// The value of the first line called `name` (any case).
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// The values of every line called `name` (any case), in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// The buffer that the lines point into: the header block as it came.
    pub fn raw(&self) -> &[u8] {
        &self.shared.raw
    }

    /// A connection has sent the same block again. From now on it pays to keep what is made of it.
    pub fn repeat(&self) -> Self {
        self.shared.repeated.store(true, Ordering::Relaxed);
        self.clone()
    }

    /// Whether one connection has sent this block more than once, with the same version of HTTP.
    pub fn is_repeated(&self) -> bool {
        self.shared.repeated.load(Ordering::Relaxed)
    }

    /// What an adapter keeps with a repeated block. All of its clones belong to one connection.
    pub fn kept(&self) -> &Kept {
        &self.shared.kept
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, value)| (Escaped(name), Escaped(value)))).finish()
    }
}

struct Escaped<'a>(&'a [u8]);

impl fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self::new([], Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_order_and_spelling_and_are_found_in_any_case() {
        let raw = *b"X-One: 1\r\nset-COOKIE: a=b\r\nSet-Cookie:\r\n";
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

    #[test]
    fn what_is_kept_with_a_repeated_block_is_found_by_its_clones() {
        let first = Fields::new(*b"\r\n", Vec::new());
        assert!(!first.is_repeated());
        let second = first.repeat();
        assert!(first.is_repeated() && second.is_repeated());
        first.kept().keep("made of it");
        assert_eq!(second.kept().get(), Some(&"made of it"));
    }
}
