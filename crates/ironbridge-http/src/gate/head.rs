//! Reads a request's head (RFC 9112 sections 2 to 6), or says why it may not pass.

use bytes::Bytes;
use ironbridge_exchange::{Fields, RequestHead, Version, fields::FieldLine, head::Target};
use memchr::{memchr, memchr_iter, memrchr};

use super::{
    field_line::{self, NoField},
    limits::HeadLimits,
    meaning::{Framed, Meaning},
    refusal::Refusal,
    request_line::{self, RequestLine},
};

/// What [`HeadReader::read`] found.
#[derive(Debug)]
pub enum HeadStep {
    /// More bytes are needed.
    Partial,
    /// A whole head.
    Complete {
        /// The head.
        head: ParsedHead,
        /// Bytes of the buffer that it took, empty lines before it included.
        consumed: usize,
    },
}

/// A head that may pass, and what it says about its connection.
#[derive(Debug, Clone)]
pub struct ParsedHead {
    /// The head as it came.
    pub head: RequestHead,
    /// Whether the connection may go on after this request.
    pub connection: Persistence,
    /// Whether the client waits for `100 Continue`: only on HTTP/1.1, and only when there is a body to wait for.
    pub expect_continue: bool,
    /// Whether the client asks for a WebSocket (RFC 6455 section 4.2.1).
    pub websocket: bool,
}

/// What version and Connection say about the time after this request (RFC 9112 section 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// The next request may follow.
    KeepAlive,
    /// The connection closes after the response.
    Close,
}

/// Reads the heads of one connection, one after another.
///
/// Between two heads it remembers the header block of the last one: clients that keep a connection often send the same
/// block again, and what the same bytes mean need not be found out twice.
#[derive(Debug, Default)]
pub struct HeadReader {
    /// How many bytes of the head that is arriving have been looked at: a head that arrives byte by byte stays at linear cost.
    scanned: usize,
    last: Option<Known>,
}

/// A header block, and what it means with one version of HTTP.
#[derive(Debug)]
struct Known {
    version: Version,
    fields: Fields,
    framed: Framed,
}

impl HeadReader {
    /// Reads the head at the start of `buf`, which holds all bytes since the end of the previous message.
    ///
    /// Up to two empty lines before the request line are skipped (RFC 9112 section 2.2).
    ///
    /// # Errors
    /// Why the request may not pass: as soon as the bytes that decide it are part of a whole line, or exceed a limit.
    pub fn read(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<HeadStep, Refusal> {
        let start = skip_empty_lines(buf);
        let bytes = &buf[start..];
        if self.scanned > ALWAYS_READ && !is_over(bytes, self.scanned - start, limits)? {
            self.scanned = buf.len();
            return Ok(HeadStep::Partial);
        }
        let step = self.parse(bytes, start, limits);
        self.scanned = if let Ok(HeadStep::Partial) = step { buf.len() } else { 0 };
        step
    }

    /// Forgets the last header block, to give its memory back.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// Reads a head that stands at the start of `bytes`, after `skipped` bytes, in one pass.
    #[inline(always)]
    fn parse(&mut self, bytes: &[u8], skipped: usize, limits: &HeadLimits) -> Result<HeadStep, Refusal> {
        let Some(request) = request_line::read(bytes, limits.request_line)? else {
            return Ok(HeadStep::Partial);
        };
        let rest = &bytes[request.end..];
        if let Some(known) = self.last.as_ref().filter(|known| known.begins(request.version, rest)) {
            let head = assemble(bytes, &request, known.fields.repeat(), known.framed);
            return Ok(HeadStep::Complete {
                head,
                consumed: skipped + request.end + known.fields.raw().len(),
            });
        }
        let Some((fields, framed)) = read_block(rest, request.version, limits)? else {
            return Ok(HeadStep::Partial);
        };
        let len = fields.raw().len();
        if len <= WORTH_REMEMBERING {
            self.last = Some(Known { version: request.version, fields: fields.clone(), framed });
        }
        let head = assemble(bytes, &request, fields, framed);
        Ok(HeadStep::Complete { head, consumed: skipped + request.end + len })
    }
}

impl Known {
    /// Whether `rest` begins with this very block. A block ends with its empty line, so there it ends in `rest`, too.
    fn begins(&self, version: Version, rest: &[u8]) -> bool {
        self.version == version && rest.starts_with(self.fields.raw())
    }
}

/// Up to this many bytes a head is read anew with every call, so that nonsense is refused at its first byte.
const ALWAYS_READ: usize = 64;

/// Larger header blocks are not remembered: their memory is better spent.
const WORTH_REMEMBERING: usize = 8 * 1024;

fn skip_empty_lines(buf: &[u8]) -> usize {
    match buf {
        [b'\r', b'\n', b'\r', b'\n', ..] => 4,
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    }
}

/// Reads the header block at the start of `bytes`; `None` when it does not end there.
fn read_block(
    bytes: &[u8],
    version: Version,
    limits: &HeadLimits,
) -> Result<Option<(Fields, Framed)>, Refusal> {
    let block = Block::of(bytes, 0, limits);
    let mut meaning = Meaning::new(version);
    let mut lines = Vec::with_capacity((bytes.len() / TYPICAL_LINE + 2).min(MANY_LINES));
    let at = read_fields(block.bytes, limits.fields, &mut lines, &mut meaning)?;
    match field_line::explain(block.bytes, at)? {
        NoField::End(end) => Ok(Some((Fields::new(&bytes[..end], lines), meaning.finish()?))),
        NoField::Partial => block.partial().map(|()| None),
    }
}

/// Takes note of every whole field line; returns where they end.
// Not inlined: this loop wants all registers for itself.
#[inline(never)]
fn read_fields(
    block: &[u8],
    limit: usize,
    lines: &mut Vec<FieldLine>,
    meaning: &mut Meaning,
) -> Result<usize, Refusal> {
    let mut at = 0;
    while let Some(field) = field_line::read(block, at) {
        if lines.len() >= limit {
            return Err(Refusal::TooManyFields);
        }
        meaning.note(field.name, field.value);
        lines.push(field.line);
        at = field.next;
    }
    Ok(at)
}

/// Bytes of a header line, on the small side, to guess how many lines there will be.
const TYPICAL_LINE: usize = 32;

/// The guess ends here: a body that came with its head says nothing about lines.
const MANY_LINES: usize = 24;

/// The part of the buffer in which the header block must end.
struct Block<'a> {
    bytes: &'a [u8],
    is_full: bool,
}

impl<'a> Block<'a> {
    fn of(bytes: &'a [u8], start: usize, limits: &HeadLimits) -> Self {
        // Field lines keep their places in 32 bits.
        let end = start.saturating_add(limits.head).min(u32::MAX as usize);
        Self { bytes: &bytes[..bytes.len().min(end)], is_full: bytes.len() >= end }
    }

    /// The block does not end in its part of the buffer: is there room for more?
    fn partial(&self) -> Result<(), Refusal> {
        if self.is_full { Err(Refusal::HeadTooLarge) } else { Ok(()) }
    }
}

fn assemble(bytes: &[u8], request: &RequestLine, fields: Fields, framed: Framed) -> ParsedHead {
    let (method, target) = (&bytes[..request.method_end], &bytes[request.target_start..request.target_end]);
    let head = RequestHead {
        method: well_known(method).unwrap_or_else(|| Bytes::copy_from_slice(method)),
        target: Target::from_slice(target),
        version: request.version,
        fields,
        framing: framed.framing,
    };
    let websocket = framed.websocket && method == b"GET";
    ParsedHead { head, connection: framed.connection, expect_continue: framed.expect_continue, websocket }
}

/// Usual methods without a copy.
fn well_known(method: &[u8]) -> Option<Bytes> {
    let name: &'static [u8] = match method {
        b"GET" => b"GET",
        b"PUT" => b"PUT",
        b"POST" => b"POST",
        b"HEAD" => b"HEAD",
        b"PATCH" => b"PATCH",
        b"DELETE" => b"DELETE",
        b"OPTIONS" => b"OPTIONS",
        _ => return None,
    };
    Some(Bytes::from_static(name))
}

/// Whether the head ends in the bytes after `from`, without reading again the lines before.
///
/// Every line that ended before `from` has passed already. Each line is read when it has ended or exceeds a
/// limit, just as [`read_block`] reads it, so that both refuse for the same reason.
fn is_over(bytes: &[u8], from: usize, limits: &HeadLimits) -> Result<bool, Refusal> {
    let smallest_limit = limits.head.min(limits.request_line);
    if bytes.len() <= smallest_limit && memchr(b'\n', &bytes[from..]).is_none() {
        return Ok(false);
    }
    let block_start = match memchr(b'\n', &bytes[..from]) {
        Some(line_end) => line_end + 1,
        None => match request_line::read(bytes, limits.request_line)? {
            Some(request) => request.end,
            None => return Ok(false),
        },
    };
    let block = Block::of(bytes, block_start, limits);
    if !block.is_full && memchr(b'\n', &bytes[from..]).is_none() {
        return Ok(false);
    }
    let mut at = memrchr(b'\n', &bytes[..from]).map_or(block_start, |line_end| line_end + 1);
    let mut fields = memchr_iter(b'\n', &bytes[block_start..at]).count();
    while let Some(field) = field_line::read(block.bytes, at) {
        if fields >= limits.fields {
            return Err(Refusal::TooManyFields);
        }
        fields += 1;
        at = field.next;
    }
    match field_line::explain(block.bytes, at)? {
        NoField::End(_) => Ok(true),
        NoField::Partial => block.partial().map(|()| false),
    }
}

#[cfg(test)]
mod tests {
    use ironbridge_exchange::BodyFraming;
    use proptest::prelude::*;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits { request_line: 100, head: 200, fields: 5 };

    /// The result for `input` that arrives in pieces which end at `cuts` and at its own end.
    fn read_in_pieces(
        input: &[u8],
        cuts: impl IntoIterator<Item = usize>,
    ) -> Result<Option<String>, Refusal> {
        let mut reader = HeadReader::default();
        for end in cuts.into_iter().chain([input.len()]) {
            if let HeadStep::Complete { head, consumed } = reader.read(&input[..end], &LIMITS)? {
                assert_eq!(reader.scanned, 0);
                return Ok(Some(format!("{consumed} {head:?}")));
            }
            assert_eq!(reader.scanned, end);
        }
        Ok(None)
    }

    fn complete(input: &[u8]) -> (ParsedHead, usize) {
        match HeadReader::default().read(input, &LIMITS) {
            Ok(HeadStep::Complete { head, consumed }) => (head, consumed),
            other => panic!("no head but {other:?}"),
        }
    }

    fn refusal(input: &[u8]) -> Option<Refusal> {
        HeadReader::default().read(input, &LIMITS).err()
    }

    #[test]
    fn a_head_keeps_its_bytes_order_and_spelling() {
        let input =
            b"\r\nPOST /a%2fb?\"<\xe4 HTTP/1.1\r\nhOst: a\r\nX:  1 \r\nContent-Length: 3\r\nX: 2\r\n\r\nabc";
        let (parsed, consumed) = complete(input);
        assert_eq!(&input[consumed..], b"abc");
        assert_eq!(&parsed.head.method[..], b"POST");
        assert_eq!(&parsed.head.target[..], b"/a%2fb?\"<\xe4");
        assert_eq!(parsed.head.version, Version::Http11);
        assert_eq!(parsed.head.framing, BodyFraming::Length(3));
        assert_eq!(parsed.connection, Persistence::KeepAlive);
        assert_eq!(parsed.head.fields.raw(), b"hOst: a\r\nX:  1 \r\nContent-Length: 3\r\nX: 2\r\n\r\n");
        let lines: Vec<_> = parsed.head.fields.iter().collect();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"hOst", b"a"), (b"X", b"1"), (b"Content-Length", b"3"), (b"X", b"2")];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_header_block_that_comes_again_is_known() {
        let mut reader = HeadReader::default();
        let mut fields = |input: &str| match reader.read(input.as_bytes(), &LIMITS) {
            Ok(HeadStep::Complete { head, consumed }) => {
                assert_eq!(&input[consumed..], "GET");
                (head.head.fields, head.connection)
            }
            other => panic!("no head but {other:?}"),
        };
        let (first, _) = fields("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET");
        assert!(!first.is_repeated());
        let (again, persistence) = fields("PUT /b HTTP/1.1\r\nHost: a\r\n\r\nGET");
        assert!(again.is_repeated() && persistence == Persistence::KeepAlive);
        let (longer, _) = fields("GET /a HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\nGET");
        assert!(!longer.is_repeated() && longer.len() == 2);
        fields("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET");
        // The same lines mean something else with another version.
        let (older, persistence) = fields("GET /a HTTP/1.0\r\nHost: a\r\n\r\nGET");
        assert!(!older.is_repeated() && persistence == Persistence::Close);
    }

    #[test]
    fn at_most_two_empty_lines_come_before_a_request() {
        let request = "GET / HTTP/1.0\r\n\r\n";
        for (empty, consumed) in [("", 18), ("\r\n", 20), ("\r\n\r\n", 22)] {
            assert_eq!(complete(format!("{empty}{request}").as_bytes()).1, consumed);
        }
        assert_eq!(refusal(b"\r\n\r\n\r\nGET"), Some(Refusal::BadMethod));
        assert_eq!(refusal(b"\n"), Some(Refusal::BareLf));
        assert_eq!(read_in_pieces(b"\r\n\r\n\r", [1, 2, 3, 4]), Ok(None));
    }

    #[test]
    fn limits_refuse_before_the_head_is_complete() {
        assert_eq!(refusal(&[b"GET /".as_slice(), &[b'a'; 97]].concat()), Some(Refusal::LineTooLong));
        let endless = [b"GET / HTTP/1.0\r\nA: ".as_slice(), &[b'a'; 200]].concat();
        assert_eq!(refusal(&endless), Some(Refusal::HeadTooLarge));
        assert_eq!(read_in_pieces(&endless, 1..endless.len()), Err(Refusal::HeadTooLarge));
        let many = b"GET / HTTP/1.0\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\n";
        assert_eq!(refusal(many), Some(Refusal::TooManyFields));
        assert_eq!(read_in_pieces(many, 1..many.len()), Err(Refusal::TooManyFields));
        let long_many = [b"GET / HTTP/1.0\r\n".as_slice(), &b"abcdefghij: klmnopqrst\r\n".repeat(6)].concat();
        assert_eq!(refusal(&long_many), Some(Refusal::TooManyFields));
        assert_eq!(read_in_pieces(&long_many, 1..long_many.len()), Err(Refusal::TooManyFields));
        let block = [b"GET / HTTP/1.0\r\nA: ".as_slice(), &[b'a'; 193], b"\r\n\r\n"].concat();
        assert_eq!(complete(&block).1, block.len());
        let block = [b"GET / HTTP/1.0\r\nA: ".as_slice(), &[b'a'; 194], b"\r\n\r\n"].concat();
        assert_eq!(refusal(&block), Some(Refusal::HeadTooLarge));
    }

    #[test]
    fn what_is_wrong_in_a_line_outweighs_that_the_head_is_too_large() {
        let bad = [b"GET / HTTP/1.0\r\nA: \0".as_slice(), &[b'a'; 200]].concat();
        assert_eq!(refusal(&bad), Some(Refusal::BadFieldValue));
        assert_eq!(read_in_pieces(&bad, 1..bad.len()), Err(Refusal::BadFieldValue));
    }

    #[test]
    fn a_contradiction_refuses_when_the_head_is_over() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n";
        assert_eq!(read_in_pieces(head, []), Ok(None));
        assert_eq!(refusal(&[head.as_slice(), b"\r\n"].concat()), Some(Refusal::DuplicateHost));
    }

    /// Heads and near misses: parts that matter, in any order, with any bytes between.
    fn requests() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            8 => prop::sample::select(PARTS).prop_map(<[u8]>::to_vec),
            1 => prop::collection::vec(any::<u8>(), 0..4),
            1 => (0..120usize).prop_map(|n| vec![b'a'; n]),
        ];
        let start = prop::sample::select(STARTS).prop_map(<[u8]>::to_vec);
        (start, prop::collection::vec(part, 0..16))
            .prop_map(|(start, parts)| [start, parts.concat()].concat())
    }

    const STARTS: &[&[u8]] =
        &[b"", b"\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST /x HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n"];

    const PARTS: &[&[u8]] = &[
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b" ",
        b":",
        b"GET ",
        b"POST ",
        b"OPTIONS * ",
        b"/",
        b"http://a/",
        b"%00",
        b"?#",
        b"HTTP/1.1\r\n",
        b"HTTP/1.0\r\n",
        b"HTTP/2.0\r\n",
        b"Host: a\r\n",
        b"Host:",
        b"Content-Length: 1\r\n",
        b"Connection: close\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"X-A: b\r\n",
        b"X-B:\tc \r\n",
        b"\x16\x03",
        b"\0",
        b"\x7f",
        b"\xff",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn cutting_the_input_changes_nothing(mut input in requests(), cut in any::<prop::sample::Index>()) {
            // Ends the last line: a piece that ends within a line may be refused early, or not yet.
            input.push(b'\n');
            let whole = read_in_pieces(&input, []);
            prop_assert_eq!(&whole, &read_in_pieces(&input, [cut.index(input.len())]));
            prop_assert_eq!(&whole, &read_in_pieces(&input, 1..input.len()));
        }

        #[test]
        fn what_is_accepted_reads_the_same_again_and_holds_no_line_end(input in requests()) {
            if let Ok(HeadStep::Complete { head, consumed }) = HeadReader::default().read(&input, &LIMITS) {
                let raw = head.head.fields.raw();
                prop_assert!(input[..consumed].ends_with(raw));
                let (again, len) = complete(&input[..consumed]);
                prop_assert_eq!(len, consumed);
                prop_assert_eq!(format!("{head:?}"), format!("{again:?}"));
                let lines = head.head.fields.iter().flat_map(|(name, value)| [name, value]);
                for part in lines.chain([&head.head.method[..], &head.head.target[..]]) {
                    prop_assert!(part.iter().all(|byte| !b"\r\n\0".contains(byte)));
                }
            }
        }

        #[test]
        fn what_a_reader_remembers_changes_nothing(
            before in requests(), mut input in requests(), cut in any::<prop::sample::Index>(), same in any::<bool>(),
        ) {
            // Ends the last line, as above.
            input.push(b'\n');
            let mut reader = HeadReader::default();
            let before = if same { &input } else { &before };
            let _ = reader.read(before, &LIMITS);
            reader.scanned = 0;
            if reader.read(&input[..cut.index(input.len() + 1)], &LIMITS).is_err() {
                return Ok(());
            }
            let whole = reader.read(&input, &LIMITS).map(|step| format!("{step:?}"));
            let fresh = HeadReader::default().read(&input, &LIMITS).map(|step| format!("{step:?}"));
            prop_assert_eq!(whole, fresh);
        }

        #[test]
        fn any_bytes_are_refused_or_waited_for_without_a_panic(input in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = HeadReader::default().read(&input, &LIMITS);
        }
    }
}
