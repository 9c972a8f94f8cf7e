//! Reads one field line (RFC 9112 section 5): `name ":" OWS value OWS CRLF`.

use ironbridge_exchange::{fields::FieldLine, scan};

use super::refusal::Refusal;

/// A whole field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// Where it lies.
    pub(super) line: FieldLine,
    /// Its name.
    pub(super) name: &'a [u8],
    /// Its value, without the white space around it.
    pub(super) value: &'a [u8],
    /// Where the next line starts.
    pub(super) next: usize,
}

/// What else may stand where a field line could start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoField {
    /// A line that may go on after the bytes at hand.
    Partial,
    /// The empty line that ends the block; where the body starts.
    End(usize),
}

/// Reads the field line that starts at `at`; `None` when there is no whole and good one: see [`explain`].
/// `bytes` must be shorter than 4 GiB.
#[inline(always)]
pub(super) fn read(bytes: &[u8], at: usize) -> Option<Field<'_>> {
    if bytes.get(at) == Some(&b'\r') {
        return None;
    }
    let colon = scan::token_end(bytes, at);
    if bytes.get(colon) != Some(&b':') || colon == at {
        return None;
    }
    let start = value_start(bytes, colon);
    let stop = scan::value_end(bytes, start);
    if !bytes[stop..].starts_with(b"\r\n") {
        return None;
    }
    let mut value = &bytes[start..stop];
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    let line = FieldLine {
        name_start: at as u32,
        name_len: (colon - at) as u32,
        value_start: start as u32,
        value_len: value.len() as u32,
    };
    Some(Field { line, name: &bytes[at..colon], value, next: stop + 2 })
}

/// Says why [`read`] found no field at `at`.
///
/// # Errors
/// The first byte that cannot be part of a field line.
#[inline(never)]
pub(super) fn explain(bytes: &[u8], at: usize) -> Result<NoField, Refusal> {
    if bytes.get(at) == Some(&b'\r') {
        return not_a_name(bytes, at, at);
    }
    let colon = scan::token_end(bytes, at);
    if bytes.get(colon) != Some(&b':') || colon == at {
        return not_a_name(bytes, at, colon);
    }
    let stop = scan::value_end(bytes, value_start(bytes, colon));
    match (bytes.get(stop), bytes.get(stop + 1)) {
        (None, _) | (Some(b'\r'), None) => Ok(NoField::Partial),
        (Some(b'\n'), _) => Err(Refusal::BareLf),
        (Some(b'\r'), _) => Err(Refusal::BareCr),
        _ => Err(Refusal::BadFieldValue),
    }
}

/// Where the value behind a colon starts, if it is not empty.
#[inline(always)]
fn value_start(bytes: &[u8], colon: usize) -> usize {
    let mut start = colon + 1;
    while let Some(b' ' | b'\t') = bytes.get(start) {
        start += 1;
    }
    start
}

/// No name and colon: the end of the block, or a refusal.
fn not_a_name(bytes: &[u8], at: usize, stop: usize) -> Result<NoField, Refusal> {
    let starts_line = stop == at;
    match (bytes.get(stop), bytes.get(stop + 1)) {
        (None, _) => Ok(NoField::Partial),
        (Some(b'\r'), Some(b'\n')) if starts_line => Ok(NoField::End(stop + 2)),
        (Some(b'\r'), None) if starts_line => Ok(NoField::Partial),
        (Some(b'\r'), Some(_)) if starts_line => Err(Refusal::BareCr),
        (Some(b' ' | b'\t'), _) if starts_line => Err(Refusal::ObsFold),
        (Some(b' ' | b'\t'), _) => space_after_name(bytes, stop),
        (Some(b'\n'), _) => Err(Refusal::BareLf),
        _ => Err(Refusal::BadFieldName),
    }
}

fn space_after_name(bytes: &[u8], at: usize) -> Result<NoField, Refusal> {
    match bytes[at..].iter().find(|byte| !matches!(byte, b' ' | b'\t')) {
        None => Ok(NoField::Partial),
        Some(b':') => Err(Refusal::SpaceBeforeColon),
        Some(_) => Err(Refusal::BadFieldName),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(bytes: &[u8]) -> &[u8] {
        let Some(Field { line, name, value, next }) = read(bytes, 0) else { panic!("no field") };
        assert_eq!(&bytes[line.value_start as usize..][..line.value_len as usize], value);
        assert_eq!(&bytes[line.name_start as usize..][..line.name_len as usize], name);
        assert_eq!(next, bytes.len());
        value
    }

    fn no_field(bytes: &[u8]) -> Result<NoField, Refusal> {
        assert_eq!(read(bytes, 0), None);
        explain(bytes, 0)
    }

    #[test]
    fn white_space_around_a_value_is_left_out() {
        assert_eq!(value(b"A: b\r\n"), b"b");
        assert_eq!(value(b"A:b\r\n"), b"b");
        assert_eq!(value(b"A: \t b\tc d \t\r\n"), b"b\tc d");
        assert_eq!(value(b"A:\r\n"), b"");
        assert_eq!(value(b"A: \t \r\n"), b"");
        assert_eq!(value(b"A: \xff\xe4\r\n"), b"\xff\xe4");
    }

    #[test]
    fn the_empty_line_ends_the_block() {
        assert_eq!(no_field(b"\r\nbody"), Ok(NoField::End(2)));
        assert_eq!(no_field(b"\r"), Ok(NoField::Partial));
        assert_eq!(no_field(b""), Ok(NoField::Partial));
    }

    #[test]
    fn every_beginning_of_a_good_line_waits_for_more() {
        let line = b"A-b: c d \r\n";
        for end in 0..line.len() {
            assert_eq!(no_field(&line[..end]), Ok(NoField::Partial), "{end}");
        }
    }

    #[test]
    fn malformed_lines_are_told_apart() {
        for (line, expected) in [
            (&b": b\r\n"[..], Refusal::BadFieldName),
            (b"A b: c\r\n", Refusal::BadFieldName),
            (b"A\r\n", Refusal::BadFieldName),
            (b"\xe4: b\r\n", Refusal::BadFieldName),
            (b"A : b\r\n", Refusal::SpaceBeforeColon),
            (b"A\t: b\r\n", Refusal::SpaceBeforeColon),
            (b" A: b\r\n", Refusal::ObsFold),
            (b"\tb\r\n", Refusal::ObsFold),
            (b"A: b\n", Refusal::BareLf),
            (b"A\n", Refusal::BareLf),
            (b"\n", Refusal::BareLf),
            (b"A: b\rc\r\n", Refusal::BareCr),
            (b"\rA", Refusal::BareCr),
            (b"A: b\0\r\n", Refusal::BadFieldValue),
            (b"A: b\x7f\r\n", Refusal::BadFieldValue),
            (b"A: b\x0b\r\n", Refusal::BadFieldValue),
        ] {
            assert_eq!(no_field(line), Err(expected), "{}", line.escape_ascii());
        }
    }
}
