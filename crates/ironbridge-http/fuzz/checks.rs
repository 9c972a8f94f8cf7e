//! What must hold for any bytes. The fuzz targets call this, and so does a bounded test on stable Rust.

#![allow(dead_code, unreachable_pub, reason = "each fuzz target is a crate that calls only its own check")]

use ironbridge_exchange::target::{origin_form, path_and_query};
use ironbridge_http::gate::{
    chunked::{ChunkedTracker, Piece},
    head::{HeadReader, HeadStep, ParsedHead},
    limits::HeadLimits,
    minimal::minimal_head,
    refusal::Refusal,
};

const LIMITS: HeadLimits = HeadLimits { request_line: 200, head: 600, fields: 8 };

/// Reads `input` as a head: whole, in halves and byte by byte the answer is the same, and what passes is unambiguous.
pub fn head(input: &[u8]) {
    // Ends the last line: a piece that ends within a line may be refused early, or not yet.
    let input = [input, b"\n"].concat();
    let whole = read(&input, [input.len()]);
    let text = format!("{whole:?}");
    assert_eq!(text, format!("{:?}", read(&input, [input.len() / 2, input.len()])));
    assert_eq!(text, format!("{:?}", read(&input, 1..=input.len())));
    assert_eq!(text, format!("{:?}", read_again(&input)));
    if let Ok(Some((parsed, consumed))) = whole {
        passes(&parsed, &input[..consumed]);
    }
}

/// Reads `input` as a chunked body: whole and byte by byte the answer is the same.
pub fn chunked(input: &[u8]) {
    assert_eq!(decode(input, input.len().max(1)), decode(input, 1));
    assert_eq!(decode(input, 7), decode(input, 1));
}

fn read(input: &[u8], ends: impl IntoIterator<Item = usize>) -> Result<Option<(ParsedHead, usize)>, Refusal> {
    let mut reader = HeadReader::default();
    for end in ends {
        if let HeadStep::Complete { head, consumed } = reader.read(&input[..end], &LIMITS)? {
            return Ok(Some((head, consumed)));
        }
    }
    Ok(None)
}

/// As [`read`], by a reader that has seen the same head before.
fn read_again(input: &[u8]) -> Result<Option<(ParsedHead, usize)>, Refusal> {
    let mut reader = HeadReader::default();
    reader.read(input, &LIMITS)?;
    match reader.read(input, &LIMITS)? {
        HeadStep::Complete { head, consumed } => Ok(Some((head, consumed))),
        HeadStep::Partial => Ok(None),
    }
}

fn passes(parsed: &ParsedHead, bytes: &[u8]) {
    let head = &parsed.head;
    assert!(bytes.ends_with(head.fields.raw()) && bytes.ends_with(b"\r\n\r\n"));
    let line_ends = bytes.iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(line_ends, bytes.windows(2).filter(|pair| pair == b"\r\n").count());
    assert_eq!(line_ends, bytes.iter().filter(|&&byte| byte == b'\r').count());
    // The lines, the empty line, and before them the request line and up to two empty lines.
    assert!((head.fields.len() + 2..=head.fields.len() + 4).contains(&line_ends));
    assert_eq!(head.fields.raw().iter().filter(|&&byte| byte == b'\n').count(), head.fields.len() + 1);
    for (name, value) in head.fields.iter() {
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic));
        assert!(value.iter().all(|&byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f)));
    }
    assert!(!path_and_query(&head.target).0.is_empty() && !origin_form(&head.target).contains(&b'#'));
    let minimal = minimal_head(parsed);
    assert!(minimal.starts_with(&head.method) && minimal.ends_with(b"\r\n\r\n") && minimal.len() < 350);
}

/// The data and the bytes consumed up to the end, when `input` arrives `step` bytes at a time.
fn decode(input: &[u8], step: usize) -> Result<Option<(Vec<u8>, usize)>, Refusal> {
    let mut tracker = ChunkedTracker::new(100);
    let (mut data, mut at, mut end) = (Vec::new(), 0, 0);
    while end < input.len() {
        end = (end + step).min(input.len());
        while let Some(piece) = tracker.next(&input[at..end])? {
            match piece {
                Piece::Framing { consumed } => at += consumed,
                Piece::Data { len } => {
                    data.extend_from_slice(&input[at..at + len]);
                    tracker.advance_data(len);
                    at += len;
                }
                Piece::End { consumed } => {
                    assert_eq!(tracker.announced(), data.len() as u64);
                    return Ok(Some((data, at + consumed)));
                }
            }
        }
        assert_eq!(at, end, "the tracker takes everything that it is given");
    }
    Ok(None)
}
