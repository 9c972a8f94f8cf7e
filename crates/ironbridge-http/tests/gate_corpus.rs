//! The gate against files of literal bytes: `wire/requests/NAME.http` is what a client sends, `NAME.expect` what
//! becomes of it. Every file is read whole, line by line and byte by byte.
//!
//! An expectation has one block a request: `ok METHOD TARGET VERSION FRAMING PERSISTENCE [expect-continue]`, then
//! its header lines, then `| ` and its body where there is one. It ends with `refuse STATUS LABEL` when the gate
//! refuses, and `partial` when more bytes are needed. A first line `limits LINE HEAD FIELDS` sets other limits.
//! Bytes are written as in Rust's byte strings.

use std::{fmt::Write as _, fs, path::PathBuf};

use ironbridge_http::gate::{
    chunked::{ChunkedTracker, Piece},
    head::{HeadReader, HeadStep, ParsedHead, Persistence},
    limits::HeadLimits,
    refusal::Refusal,
};

#[path = "../fuzz/checks.rs"]
mod checks;

use ironbridge_exchange::BodyFraming;

const LIMITS: HeadLimits = HeadLimits { request_line: 8192, head: 65536, fields: 100 };

#[test]
fn every_request_of_the_corpus_becomes_what_is_expected_however_it_arrives() {
    let cases = corpus();
    assert!(cases.len() >= 90, "the corpus is missing files: {}", cases.len());
    let mut failures = String::new();
    for case in &cases {
        let whole = vec![case.input.len()];
        let lines = case.input.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let lines = lines.chain([case.input.len()]).collect();
        let bytes = (1..=case.input.len()).collect();
        for (how, ends) in [("whole", whole), ("line by line", lines), ("byte by byte", bytes)] {
            let outcome = outcome(&case.input, ends, &case.limits);
            if outcome != case.expected {
                let name = &case.name;
                let _ = write!(failures, "\n{name}, {how}: expected\n{}but got\n{outcome}", case.expected);
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn random_mixtures_of_the_corpus_are_read_in_one_way_only() {
    let inputs: Vec<Vec<u8>> = corpus().into_iter().map(|case| case.input).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..20_000 {
        let input = mutate(&inputs, &mut random);
        checks::head(&input);
        let body = input.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
        checks::chunked(&input[body..]);
    }
}

struct Case {
    name: String,
    input: Vec<u8>,
    limits: HeadLimits,
    expected: String,
}

fn corpus() -> Vec<Case> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire/requests"));
    let files = fs::read_dir(&folder).expect("the corpus is there");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("the corpus can be listed").path()).collect();
    paths.sort();
    paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "http"))
        .map(read_case)
        .collect()
}

fn read_case(path: PathBuf) -> Case {
    let name = path.file_stem().expect("it ends with .http").to_string_lossy().into_owned();
    let input = fs::read(&path).expect("the file can be read");
    let expected = fs::read_to_string(path.with_extension("expect")).expect("each .http has its .expect");
    let (limits, expected) = match expected.strip_prefix("limits ").and_then(|rest| rest.split_once('\n')) {
        Some((numbers, rest)) => (read_limits(numbers), rest.to_owned()),
        None => (LIMITS, expected),
    };
    Case { name, input, limits, expected }
}

fn read_limits(numbers: &str) -> HeadLimits {
    let numbers: Vec<usize> =
        numbers.split(' ').map(|number| number.parse().expect("limits are numbers")).collect();
    HeadLimits { request_line: numbers[0], head: numbers[1], fields: numbers[2] }
}

/// What becomes of `input` when it arrives in pieces that end at `ends`, written like an expectation.
fn outcome(input: &[u8], ends: Vec<usize>, limits: &HeadLimits) -> String {
    let mut reader = Reader { at: 0, heads: HeadReader::default(), body: None, seen: String::new() };
    for end in ends {
        if let Err(refusal) = reader.read(&input[..end], limits) {
            let _ = writeln!(reader.seen, "refuse {} {}", refusal.status(), refusal.label());
            return reader.seen;
        }
    }
    if reader.body.is_some() || reader.at < input.len() {
        reader.seen.push_str("partial\n");
    }
    reader.seen
}

struct Reader {
    at: usize,
    heads: HeadReader,
    body: Option<Body>,
    seen: String,
}

enum Body {
    Length(usize),
    Chunked(ChunkedTracker, Vec<u8>),
}

impl Reader {
    fn read(&mut self, input: &[u8], limits: &HeadLimits) -> Result<(), Refusal> {
        while self.at < input.len() {
            let bytes = &input[self.at..];
            match &mut self.body {
                None => match self.heads.read(bytes, limits)? {
                    HeadStep::Partial => break,
                    HeadStep::Complete { head, consumed } => {
                        self.at += consumed;
                        self.write_head(&head);
                    }
                },
                Some(Body::Length(length)) if bytes.len() < *length => break,
                Some(Body::Length(length)) => {
                    let length = *length;
                    self.finish_body(&bytes[..length]);
                    self.at += length;
                }
                Some(Body::Chunked(tracker, data)) => match tracker.next(bytes)? {
                    None => break,
                    Some(Piece::Framing { consumed }) => self.at += consumed,
                    Some(Piece::Data { len }) => {
                        data.extend_from_slice(&bytes[..len]);
                        tracker.advance_data(len);
                        self.at += len;
                    }
                    Some(Piece::End { consumed }) => {
                        let data = std::mem::take(data);
                        self.finish_body(&data);
                        self.at += consumed;
                    }
                },
            }
        }
        Ok(())
    }

    fn write_head(&mut self, parsed: &ParsedHead) {
        let head = &parsed.head;
        let (framing, body) = match head.framing {
            BodyFraming::None => ("none".to_owned(), None),
            BodyFraming::Length(0) => ("length=0".to_owned(), None),
            BodyFraming::Length(length) => (
                format!("length={length}"),
                Some(Body::Length(usize::try_from(length).unwrap_or(usize::MAX))),
            ),
            BodyFraming::Chunked => {
                ("chunked".to_owned(), Some(Body::Chunked(ChunkedTracker::new(1000), Vec::new())))
            }
        };
        let persistence = if parsed.connection == Persistence::KeepAlive { "keep-alive" } else { "close" };
        let expect = if parsed.expect_continue { " expect-continue" } else { "" };
        let (method, target) = (head.method.escape_ascii(), head.target.escape_ascii());
        let version = head.version.as_str();
        let _ = writeln!(self.seen, "ok {method} {target} {version} {framing} {persistence}{expect}");
        for (name, value) in head.fields.iter() {
            let line = format!("{}: {}", name.escape_ascii(), value.escape_ascii());
            let _ = writeln!(self.seen, "{}", line.trim_end());
        }
        self.body = body;
    }

    fn finish_body(&mut self, data: &[u8]) {
        let _ = writeln!(self.seen, "| {}", data.escape_ascii());
        self.body = None;
    }
}

/// One of `inputs` with a few changes: bytes from the dictionary, from another input, or gone.
fn mutate(inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = inputs[random.below(inputs.len())].clone();
    input.truncate(2000);
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        let end = (at + random.below(8)).min(input.len());
        let other = &inputs[random.below(inputs.len())];
        let word = match random.below(4) {
            0 => vec![random.below(256) as u8],
            1 => {
                let from = random.below(other.len() + 1);
                other[from..(from + random.below(60)).min(other.len())].to_vec()
            }
            2 => DICTIONARY[random.below(DICTIONARY.len())].to_vec(),
            _ => Vec::new(),
        };
        let end = if random.below(2) == 0 { at } else { end };
        input.splice(at..end, word);
    }
    input
}

const DICTIONARY: [&[u8]; 32] = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\x7f",
    b"\t",
    b" ",
    b":",
    b": ",
    b"%00",
    b"#",
    b"*",
    b"http://a",
    b"@",
    b"[::1]",
    b"GET ",
    b"OPTIONS * ",
    b"CONNECT ",
    b" HTTP/1.0\r\n",
    b" HTTP/1.1\r\n",
    b"Host: a\r\n",
    b"Content-Length: 1\r\n",
    b"Content-Length:",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding:",
    b"Connection: close\r\n",
    b"0\r\n\r\n",
    b"ffffffffffffffff",
    b";a=\"b\"",
    b"\x16\x03",
    b"\xc3\xa4",
];

/// xorshift64*: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}
