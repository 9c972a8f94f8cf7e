//! Reads a request line (RFC 9112 section 3): `method SP target SP version CRLF`.

use ironbridge_exchange::{Version, scan};

use super::{refusal::Refusal, target};

/// Where the parts of a request line lie; the method starts at 0. Offsets in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestLine {
    /// Where the method ends.
    pub(super) method_end: usize,
    /// Where the target starts.
    pub(super) target_start: usize,
    /// Where the target ends.
    pub(super) target_end: usize,
    /// The version.
    pub(super) version: Version,
    /// Where the next line starts.
    pub(super) end: usize,
}

/// Reads the request line at the start of `bytes`; `None` when it may go on after them.
///
/// # Errors
/// The first byte that cannot be part of a request line, or else what the whole line lacks, or its length.
#[inline(always)]
pub(super) fn read(bytes: &[u8], limit: usize) -> Result<Option<RequestLine>, Refusal> {
    let longest = limit.saturating_add(b"\r\n".len());
    let region = &bytes[..bytes.len().min(longest)];
    match read_region(region)? {
        None if region.len() == longest => Err(Refusal::LineTooLong),
        line => Ok(line),
    }
}

#[inline(always)]
fn read_region(bytes: &[u8]) -> Result<Option<RequestLine>, Refusal> {
    let method_end = scan::token_end(bytes, 0);
    match bytes.get(method_end) {
        _ if method_end > LONGEST_METHOD => return Err(Refusal::MethodTooLong),
        Some(b' ') if method_end > 0 => {}
        Some(_) => return not_a_method(bytes, method_end),
        None => return Ok(None),
    }
    let target_start = method_end + 1;
    let target_end = scan::target_end(bytes, target_start);
    match bytes.get(target_end) {
        Some(b' ') if target_end > target_start => {}
        Some(b'\n') => return Err(Refusal::BareLf),
        // HTTP/0.9 has no version.
        Some(b'\r') if target_end > target_start => return Err(Refusal::BadVersion),
        Some(_) => return Err(Refusal::BadTarget),
        None => return Ok(None),
    }
    let (method, target) = (&bytes[..method_end], &bytes[target_start..target_end]);
    let Some((version, end)) = read_version(bytes, target_end + 1, target)? else { return Ok(None) };
    target::check(method, target)?;
    Ok(Some(RequestLine { method_end, target_start, target_end, version, end }))
}

#[inline(always)]
fn read_version(bytes: &[u8], at: usize, target: &[u8]) -> Result<Option<(Version, usize)>, Refusal> {
    let end = at + b"HTTP/1.1\r\n".len();
    match bytes.get(at..end) {
        Some(b"HTTP/1.1\r\n") => Ok(Some((Version::Http11, end))),
        Some(b"HTTP/1.0\r\n") => Ok(Some((Version::Http10, end))),
        _ => not_our_version(&bytes[at..], target),
    }
}

#[cold]
fn not_our_version(rest: &[u8], target: &[u8]) -> Result<Option<(Version, usize)>, Refusal> {
    let end = scan::target_end(rest, 0);
    match (rest.get(end), rest.get(end + 1)) {
        (None, _) | (Some(b'\r'), None) => return Ok(None),
        (Some(b'\r'), Some(b'\n')) => {}
        (Some(b'\r'), Some(_)) => return Err(Refusal::BareCr),
        (Some(b'\n'), _) => return Err(Refusal::BareLf),
        _ => return Err(Refusal::BadVersion),
    }
    match &rest[..end] {
        b"HTTP/2.0" if target == b"*" => Err(Refusal::Http2Preface),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Refusal::HttpVersionUnsupported)
        }
        _ => Err(Refusal::BadVersion),
    }
}

#[cold]
fn not_a_method(bytes: &[u8], at: usize) -> Result<Option<RequestLine>, Refusal> {
    match (bytes[at], bytes.get(at + 1)) {
        // A TLS record: handshake, version 3.x.
        (0x16, Some(3)) if at == 0 => Err(Refusal::TlsOnPlainPort),
        // One more byte tells a TLS handshake, or an empty line before the request line.
        (0x16 | b'\r', None) if at == 0 => Ok(None),
        (b'\n', _) => Err(Refusal::BareLf),
        _ => Err(Refusal::BadMethod),
    }
}

/// Bytes of a method: the longest that is registered, BASELINE-CONTROL and UPDATEREDIRECTREF, have 17.
const LONGEST_METHOD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &[u8]) -> Option<Refusal> {
        read(line, 64).err()
    }

    #[test]
    fn the_parts_of_a_line_are_found() {
        let line = read(b"M-SEARCH /a?b HTTP/1.0\r\nrest", 64).unwrap().unwrap();
        assert_eq!((line.method_end, line.target_start, line.target_end, line.end), (8, 9, 13, 24));
        assert_eq!(line.version, Version::Http10);
    }

    #[test]
    fn every_beginning_of_a_good_line_waits_for_more() {
        let line = b"GET /a HTTP/1.1\r\n";
        for end in 0..line.len() {
            assert!(read(&line[..end], 64).unwrap().is_none(), "{end}");
        }
    }

    #[test]
    fn the_first_bad_byte_refuses_at_once() {
        assert_eq!(refusal(b"G\0"), Some(Refusal::BadMethod));
        assert_eq!(refusal(b" GET"), Some(Refusal::BadMethod));
        assert_eq!(refusal(b"\n"), Some(Refusal::BareLf));
        assert_eq!(refusal(b"GET  "), Some(Refusal::BadTarget));
        assert_eq!(refusal(b"GET /a\t"), Some(Refusal::BadTarget));
        assert_eq!(refusal(b"GET /\x7f"), Some(Refusal::BadTarget));
        assert_eq!(refusal(b"GET /\r"), Some(Refusal::BadVersion));
        assert_eq!(refusal(b"GET / HTTP/1.1 "), Some(Refusal::BadVersion));
        assert_eq!(refusal(b"GET / HTTP/1.1\n"), Some(Refusal::BareLf));
        assert_eq!(refusal(b"GET / HTTP/1.1\rX"), Some(Refusal::BareCr));
    }

    #[test]
    fn versions_other_than_ours_are_told_apart() {
        assert_eq!(refusal(b"GET / HTTP/2.0\r\n"), Some(Refusal::HttpVersionUnsupported));
        assert_eq!(refusal(b"GET / HTTP/1.2\r\n"), Some(Refusal::HttpVersionUnsupported));
        assert_eq!(refusal(b"PRI * HTTP/2.0\r\n"), Some(Refusal::Http2Preface));
        assert_eq!(refusal(b"GET / HTTP/1\r\n"), Some(Refusal::BadVersion));
        assert_eq!(refusal(b"GET / HTTP/1.10\r\n"), Some(Refusal::BadVersion));
        assert_eq!(refusal(b"GET / http/1.1\r\n"), Some(Refusal::BadVersion));
    }

    #[test]
    fn a_tls_handshake_is_known_by_its_second_byte() {
        assert!(read(b"\x16", 64).unwrap().is_none());
        assert_eq!(refusal(b"\x16\x03"), Some(Refusal::TlsOnPlainPort));
        assert_eq!(refusal(b"\x16\x04"), Some(Refusal::BadMethod));
    }

    #[test]
    fn the_limit_counts_the_line_without_its_end() {
        let line = b"GET / HTTP/1.1\r\n";
        assert!(read(line, 14).unwrap().is_some());
        assert_eq!(read(line, 13).err(), Some(Refusal::LineTooLong));
        let line = [&b"GET /"[..], &[b'a'; 61]].concat();
        assert_eq!(refusal(&line), Some(Refusal::LineTooLong));
        assert!(read(&line[..65], 64).unwrap().is_none());
    }

    #[test]
    fn a_method_longer_than_any_known_one_is_refused_before_its_end() {
        assert_eq!(read(&[b'A'; 65], 1000).err(), Some(Refusal::MethodTooLong));
        assert!(read(&[b'A'; 64], 1000).unwrap().is_none());
    }
}
