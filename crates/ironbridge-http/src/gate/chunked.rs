//! Follows the framing of a chunked body (RFC 9112 section 7.1) without copying or keeping any of it.

use ironbridge_exchange::scan;

use super::{
    refusal::Refusal,
    trailer::{Trailer, TrailerStep},
};

/// Knows, from byte to byte, what the next byte of a chunked body is.
///
/// It is strict: sizes are 1 to 16 hexadecimal digits, lines end with CRLF, an extension follows the grammar of
/// section 7.1.1 (with the white space that RFC 9110 section 5.6.3 tells recipients to accept before `;` and
/// around `=`) within 256 bytes a line and 16 000 bytes a body, and trailers follow [`super::refusal::Refusal::BadTrailer`].
#[derive(Debug, Clone, Copy)]
pub struct ChunkedTracker {
    state: State,
    /// Bytes of data that are left of this chunk; while its size is read, the size so far.
    remaining: u64,
    announced: u64,
    /// Bytes that extensions may still take.
    extensions: u16,
    trailer: Trailer,
}

/// What stands at the start of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Framing, read and done with; ask again for what stands after it.
    Framing {
        /// Bytes of framing; at least one.
        consumed: usize,
    },
    /// Data of the body. It stays at the start until [`ChunkedTracker::advance_data`] is told that it was taken.
    Data {
        /// Bytes of data; at least one.
        len: usize,
    },
    /// The end of the body, trailer section included.
    End {
        /// Bytes of framing up to the end, where the next request starts.
        consumed: usize,
    },
}

/// How far [`ChunkedTracker::follow`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// Bytes that belong to the body, framing included.
    pub taken: usize,
    /// Bytes of data among them.
    pub data: u64,
    /// Whether the body ends with them.
    pub over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the size, after this many digits.
    Size { digits: u8 },
    /// In what may stand between a size and the end of its line, after this many bytes.
    Extension { part: Part, bytes: u16 },
    /// Before the LF of a size line.
    SizeLf,
    /// In the data.
    Data,
    /// Before the CR that ends a chunk.
    DataCr,
    /// Before the LF that ends a chunk.
    DataLf,
    /// In the trailer section, and after it.
    Trailer,
    /// After the end.
    Over,
}

/// Where in a chunk extension: `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// After white space that must be followed by `;`.
    BeforeSemicolon,
    /// After `;`.
    BeforeName,
    Name,
    /// After white space behind a name: `=` or `;` must come.
    AfterName,
    /// After `=`.
    BeforeValue,
    Token,
    Quoted,
    /// After a backslash in a quoted string.
    Escaped,
    /// After the closing quote.
    AfterQuoted,
}

impl ChunkedTracker {
    /// A tracker before the first chunk; `max_trailer` bounds the trailer section in bytes.
    pub fn new(max_trailer: usize) -> Self {
        Self {
            state: State::Size { digits: 0 },
            remaining: 0,
            announced: 0,
            extensions: MOST_EXTENSIONS,
            trailer: Trailer::new(max_trailer),
        }
    }

    /// Bytes of data in all chunks whose size line has been read; the last of them need not have come yet.
    ///
    /// A limit on the body is best held against this, before the data arrives.
    pub fn announced(&self) -> u64 {
        self.announced
    }

    /// Whether the end of the body has been read.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Follows the body over as many of `bytes` as belong to it.
    ///
    /// # Errors
    /// As [`ChunkedTracker::next`].
    pub fn follow(&mut self, bytes: &[u8]) -> Result<Followed, Refusal> {
        let mut followed = Followed { taken: 0, data: 0, over: false };
        while let Some(piece) = self.next(&bytes[followed.taken..])? {
            match piece {
                Piece::Framing { consumed } => followed.taken += consumed,
                Piece::Data { len } => {
                    self.advance_data(len);
                    followed.data += len as u64;
                    followed.taken += len;
                }
                Piece::End { consumed } => {
                    followed.taken += consumed;
                    followed.over = true;
                    break;
                }
            }
        }
        Ok(followed)
    }

    /// What stands at the start of `input`, the bytes after everything consumed so far; `None` when it is empty,
    /// or the body is over.
    ///
    /// # Errors
    /// [`Refusal::BadChunk`], [`Refusal::BadTrailer`] or [`Refusal::TrailerTooLarge`] at the first byte that is
    /// wrong. The tracker is of no use afterwards.
    pub fn next(&mut self, input: &[u8]) -> Result<Option<Piece>, Refusal> {
        if self.state == State::Over || input.is_empty() {
            return Ok(None);
        }
        for (index, &byte) in input.iter().enumerate() {
            match self.state {
                State::Data if index == 0 => {
                    let len =
                        usize::try_from(self.remaining).map_or(input.len(), |left| left.min(input.len()));
                    return Ok(Some(Piece::Data { len }));
                }
                State::Data => return Ok(Some(Piece::Framing { consumed: index })),
                State::Trailer => match self.trailer.step(byte)? {
                    TrailerStep::Inside => {}
                    TrailerStep::End => {
                        self.state = State::Over;
                        return Ok(Some(Piece::End { consumed: index + 1 }));
                    }
                },
                state => self.state = self.framing(state, byte)?,
            }
        }
        Ok(Some(Piece::Framing { consumed: input.len() }))
    }

    /// Takes note that `n` bytes of the data that [`ChunkedTracker::next`] announced were taken.
    ///
    /// # Panics
    /// When there is less data left in the chunk than that.
    pub fn advance_data(&mut self, n: usize) {
        assert!(self.state == State::Data && n as u64 <= self.remaining, "more data taken than announced");
        self.remaining -= n as u64;
        if self.remaining == 0 {
            self.state = State::DataCr;
        }
    }

    /// The state after one byte of framing outside the trailer section.
    fn framing(&mut self, state: State, byte: u8) -> Result<State, Refusal> {
        match (state, byte) {
            (State::Size { digits }, _) => self.size(digits, byte),
            (State::Extension { part, bytes }, _) => {
                self.extensions = self.extensions.checked_sub(1).ok_or(Refusal::BadChunk)?;
                extension(part, bytes, byte)
            }
            (State::SizeLf, b'\n') => self.size_over(),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size { digits: 0 }),
            _ => Err(Refusal::BadChunk),
        }
    }

    fn size(&mut self, digits: u8, byte: u8) -> Result<State, Refusal> {
        match (byte, char::from(byte).to_digit(16)) {
            (_, Some(digit)) if digits < MAX_DIGITS => {
                self.remaining = self.remaining << 4 | u64::from(digit);
                Ok(State::Size { digits: digits + 1 })
            }
            _ if digits == 0 => Err(Refusal::BadChunk),
            (b'\r', _) => Ok(State::SizeLf),
            (b';', _) => Ok(State::Extension { part: Part::BeforeName, bytes: 1 }),
            (b' ' | b'\t', _) => Ok(State::Extension { part: Part::BeforeSemicolon, bytes: 1 }),
            _ => Err(Refusal::BadChunk),
        }
    }

    fn size_over(&mut self) -> Result<State, Refusal> {
        self.announced = self.announced.checked_add(self.remaining).ok_or(Refusal::BadChunk)?;
        Ok(if self.remaining == 0 { State::Trailer } else { State::Data })
    }
}

/// Digits of 64 bits.
const MAX_DIGITS: u8 = 16;

/// Bytes of extensions on one line; no client is known to send any.
const MAX_EXTENSION: u16 = 256;

/// Bytes of extensions in one body: a little less than hyper takes, so that it is the gate that refuses.
const MOST_EXTENSIONS: u16 = 16_000;

/// The state after one byte behind a size.
fn extension(part: Part, bytes: u16, byte: u8) -> Result<State, Refusal> {
    let may_end = matches!(part, Part::Name | Part::Token | Part::AfterQuoted);
    if byte == b'\r' && may_end {
        return Ok(State::SizeLf);
    }
    let next = next_part(part, byte).filter(|_| bytes < MAX_EXTENSION).ok_or(Refusal::BadChunk)?;
    Ok(State::Extension { part: next, bytes: bytes + 1 })
}

fn next_part(part: Part, byte: u8) -> Option<Part> {
    let is_space = matches!(byte, b' ' | b'\t');
    Some(match (part, byte) {
        (Part::BeforeSemicolon, b';') => Part::BeforeName,
        (Part::BeforeName | Part::Name, _) if scan::is_token(byte) => Part::Name,
        (Part::BeforeValue | Part::Token, _) if scan::is_token(byte) => Part::Token,
        (Part::Name | Part::AfterName, b'=') => Part::BeforeValue,
        (Part::Name | Part::AfterName | Part::Token | Part::AfterQuoted, b';') => Part::BeforeName,
        (Part::BeforeValue, b'"') => Part::Quoted,
        (Part::Quoted, b'"') => Part::AfterQuoted,
        (Part::Quoted, b'\\') => Part::Escaped,
        (Part::Quoted | Part::Escaped, _) if scan::is_value(byte) => Part::Quoted,
        (Part::Name | Part::AfterName, _) if is_space => Part::AfterName,
        (Part::Token | Part::AfterQuoted, _) if is_space => Part::BeforeSemicolon,
        (Part::BeforeSemicolon | Part::BeforeName | Part::BeforeValue, _) if is_space => part,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data and the number of bytes consumed, fed in steps of `step` bytes.
    fn decode(input: &[u8], step: usize) -> Result<Option<(Vec<u8>, usize)>, Refusal> {
        let mut tracker = ChunkedTracker::new(200);
        let (mut data, mut at, mut end) = (Vec::new(), 0, 0);
        while end < input.len() {
            end = (end + step).min(input.len());
            while let Some(piece) = tracker.next(&input[at..end])? {
                at += match piece {
                    Piece::Framing { consumed } => consumed,
                    Piece::Data { len } => {
                        data.extend_from_slice(&input[at..at + len]);
                        tracker.advance_data(len);
                        len
                    }
                    Piece::End { consumed } => {
                        assert_eq!(tracker.announced(), data.len() as u64);
                        assert!(tracker.is_over());
                        return Ok(Some((data, at + consumed)));
                    }
                };
            }
            assert_eq!(at, end, "everything was taken");
        }
        Ok(None)
    }

    fn is_refused(input: &str) {
        for step in [1, 2, 3, 1000] {
            assert_eq!(decode(input.as_bytes(), step), Err(Refusal::BadChunk), "{input:?}");
        }
    }

    fn is_read(input: &str, data: &str) {
        for step in [1, 2, 3, 1000] {
            let whole = Some((data.as_bytes().to_vec(), input.len()));
            assert_eq!(decode(input.as_bytes(), step), Ok(whole), "{input:?}");
        }
    }

    #[test]
    fn chunks_are_put_together_and_what_follows_is_left() {
        is_read("5\r\nhello\r\n006\r\n world\r\n0\r\n\r\n", "hello world");
        is_read("0\r\n\r\n", "");
        is_read(
            "a\r\n0123456789\r\nA\r\n\r\n\r\n\r\n\r\n\r\n\r\n000\r\n\r\n",
            "0123456789\r\n\r\n\r\n\r\n\r\n",
        );
        is_read("0000000000000001\r\nx\r\n0\r\n\r\n", "x");
        let two = b"1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1";
        assert_eq!(decode(two, 1000), Ok(Some((b"x".to_vec(), 11))));
    }

    #[test]
    fn extensions_follow_the_grammar() {
        for extension in
            [";a", ";a=b", ";a;b", ";a=\"b;c\\\"d e\";f", " ;a", "\t; a \t= b ;c", ";a=\"\"", ";a = \"b\" ;c"]
        {
            is_read(&format!("1{extension}\r\nx\r\n0{extension}\r\n\r\n"), "x");
        }
        for extension in [
            " ",
            ";",
            "; ",
            ";a=",
            ";a= ",
            ";a ",
            ";a=b ",
            ";a=\"b",
            ";a=\"b\" ",
            ";=b",
            ";;a",
            ";a==b",
            ";a b",
            ";a=b=c",
            ";a=\"\0\"",
            ";a=\"\r\"",
            ";a=\"\n\"",
            ";a=\"\\\r\n\"",
            ";a:b",
            ";\u{e4}",
            ";a=b\n",
            ";a=\"b\"c",
            " a",
        ] {
            is_refused(&format!("1{extension}\r\nx\r\n0\r\n\r\n"));
        }
        is_read(&format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(255)), "x");
        is_refused(&format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(256)));
    }

    #[test]
    fn extensions_of_all_chunks_together_are_bounded() {
        let chunk = format!("1;{}\r\nx\r\n", "a".repeat(249));
        assert!(matches!(decode(chunk.repeat(64).as_bytes(), 1000), Ok(None)));
        assert_eq!(decode(chunk.repeat(65).as_bytes(), 1000), Err(Refusal::BadChunk));
    }

    #[test]
    fn sizes_are_hexadecimal_digits_and_nothing_else() {
        for size in [
            "",
            " 1",
            "+1",
            "-1",
            "0x1",
            "1_0",
            "1 ",
            "1\t",
            "g",
            "1g",
            "00000000000000001",
            "\u{ff11}",
            "1,1",
            "\"1\"",
            "\0",
            "1\0",
        ] {
            is_refused(&format!("{size}\r\nx\r\n0\r\n\r\n"));
        }
        assert_eq!(decode(b"ffffffffffffffff\r\nx", 1), Ok(None));
    }

    #[test]
    fn sizes_that_add_up_beyond_64_bits_are_refused() {
        let mut tracker = ChunkedTracker::new(0);
        tracker.next(b"1\r\n").unwrap();
        tracker.advance_data(1);
        assert_eq!(tracker.next(b"\r\nffffffffffffffff\r\n"), Err(Refusal::BadChunk));
    }

    #[test]
    fn lines_end_with_crlf_and_data_where_it_was_announced() {
        for body in [
            "1\nx\r\n0\r\n\r\n",
            "1\r\nx\n0\r\n\r\n",
            "1\rx\r\n0\r\n\r\n",
            "1\r\nxy\r\n0\r\n\r\n",
            "1\r\nx0\r\n\r\n",
            "2\r\nx\r\n0\r\n\r\n",
            "1\r\nx\r0\r\n\r\n",
            "0\n\r\n",
            "0\r\r\n",
        ] {
            is_refused(body);
        }
    }

    #[test]
    fn data_may_be_taken_in_parts() {
        let mut tracker = ChunkedTracker::new(0);
        assert_eq!(tracker.next(b"5\r\nhello\r\n"), Ok(Some(Piece::Framing { consumed: 3 })));
        assert_eq!(tracker.announced(), 5);
        assert_eq!(tracker.next(b"hello\r\n"), Ok(Some(Piece::Data { len: 5 })));
        tracker.advance_data(2);
        assert_eq!(tracker.next(b"llo\r\n"), Ok(Some(Piece::Data { len: 3 })));
        tracker.advance_data(3);
        assert_eq!(tracker.next(b"\r\n"), Ok(Some(Piece::Framing { consumed: 2 })));
        assert_eq!(tracker.next(b""), Ok(None));
        assert_eq!(tracker.next(b"0\r\n\r\nGET"), Ok(Some(Piece::End { consumed: 5 })));
        assert_eq!(tracker.next(b"GET"), Ok(None));
    }

    #[test]
    fn trailers_are_checked_and_dropped() {
        is_read("1\r\nx\r\n0\r\nX-Sum: a b\r\nEmpty:\r\n\r\n", "x");
        assert_eq!(decode(b"0\r\nHost: a\r\n\r\n", 1), Err(Refusal::BadTrailer));
        assert_eq!(
            decode("0\r\n".bytes().chain(b"A:\r\n".repeat(101)).collect::<Vec<_>>().as_slice(), 1000),
            Err(Refusal::TrailerTooLarge)
        );
        let long = format!("0\r\nA: {}\r\n\r\n", "a".repeat(200));
        assert_eq!(decode(long.as_bytes(), 1000), Err(Refusal::TrailerTooLarge));
    }
}
