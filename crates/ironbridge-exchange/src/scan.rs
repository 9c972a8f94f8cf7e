//! Byte classes of HTTP, and searches that look at many bytes at a time.

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable;
#[cfg(target_arch = "x86_64")]
mod sys;

#[cfg(not(target_arch = "x86_64"))]
use portable as wide;
#[cfg(target_arch = "x86_64")]
use sys as wide;

/// Whether a byte may stand in a token (RFC 9110 section 5.6.2).
pub const fn is_token(byte: u8) -> bool {
    CLASSES[byte as usize] & TOKEN != 0
}

/// Whether a byte may stand in a `reg-name` (RFC 3986 section 3.2.2), `%` included.
pub const fn is_reg_name(byte: u8) -> bool {
    CLASSES[byte as usize] & REG_NAME != 0
}

/// Whether a byte may stand in a field value (RFC 9110 section 5.5): no control character but TAB.
pub const fn is_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

/// The number that `1*DIGIT` says (RFC 9110 section 8.6), if it is just that and fits.
pub fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Where the token that starts at `at` ends; the end of `bytes` if nothing stops it.
#[inline(always)]
pub fn token_end(bytes: &[u8], at: usize) -> usize {
    let mut end = plain_end(bytes, at);
    while end < bytes.len() && is_token(bytes[end]) {
        end += 1;
    }
    end
}

/// Where the first byte at or after `at` stands that is no letter, digit, `-` or `.`; the end of `bytes` if there is none.
#[inline(always)]
pub fn plain_end(bytes: &[u8], at: usize) -> usize {
    first_place(bytes, at, wide::first_not_plain)
}

/// Where the first byte at or after `at` stands that no field value may hold; the end of `bytes` if there is none.
#[inline(always)]
pub fn value_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        at = first_place(bytes, at, wide::first_below_or_delete::<0x20>);
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

/// Where the first control character or space at or after `at` stands; the end of `bytes` if there is none.
#[inline(always)]
pub fn target_end(bytes: &[u8], at: usize) -> usize {
    first_place(bytes, at, wide::first_below_or_delete::<0x21>)
}

/// Asks `find` block by block; it must find a NUL, which fills the last block.
#[inline(always)]
fn first_place(bytes: &[u8], mut at: usize, find: impl Fn(&[u8; wide::WIDTH]) -> Option<usize>) -> usize {
    while let Some(block) = bytes[at..].first_chunk() {
        match find(block) {
            Some(place) => return at + place,
            None => at += wide::WIDTH,
        }
    }
    at + find_in_rest(&bytes[at..], find)
}

/// Asks `find` about fewer bytes than a block has.
#[inline]
fn find_in_rest(rest: &[u8], find: impl Fn(&[u8; wide::WIDTH]) -> Option<usize>) -> usize {
    let mut block = [0; wide::WIDTH];
    // Copying eight bytes at a time, overlapping, costs less than a call that can copy any number.
    if let (Some(first), Some(last)) = (rest.first_chunk::<8>(), rest.last_chunk::<8>()) {
        block[..8].copy_from_slice(first);
        block[rest.len() - 8..rest.len()].copy_from_slice(last);
    } else {
        for (to, from) in block.iter_mut().zip(rest) {
            *to = *from;
        }
    }
    find(&block).map_or(rest.len(), |place| place.min(rest.len()))
}

const TOKEN: u8 = 1;
const REG_NAME: u8 = 2;

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_alphanumeric() {
            classes[byte] = TOKEN | REG_NAME;
        }
        if one_of(b, b"!#$%&'*+-.^_`|~") {
            classes[byte] |= TOKEN;
        }
        if one_of(b, b"-._~!$&'()*+,;=%") {
            classes[byte] |= REG_NAME;
        }
        byte += 1;
    }
    classes
};

const fn one_of(byte: u8, set: &[u8]) -> bool {
    let mut index = 0;
    while index < set.len() {
        if set[index] == byte {
            return true;
        }
        index += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_stops_the_search_exactly_when_it_must() {
        for byte in 0..=255u8 {
            for place in 0..20 {
                let mut bytes = [b'\xff'; 20];
                bytes[place] = byte;
                let expected = if is_value(byte) { 20 } else { place };
                assert_eq!(value_end(&bytes, 0), expected, "{byte:#x} at {place}");
                let expected = if byte > 0x20 && byte != 0x7f { 20 } else { place };
                assert_eq!(target_end(&bytes, 0), expected, "{byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn the_first_of_several_stops_wins() {
        let bytes = b"ab\x21\x20\x7f\x01\x00\x7f\x7e\x80";
        assert_eq!(value_end(bytes, 0), 4);
        assert_eq!(target_end(bytes, 0), 3);
        assert_eq!(value_end(b"\t\t\t\r\t", 0), 3);
    }

    #[test]
    fn every_way_of_looking_at_a_block_sees_the_same() {
        fn is_plain(byte: u8) -> bool {
            byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.'
        }
        for byte in 0..=255u8 {
            for place in 0..8 {
                for (before, after) in [(b'a', 0), (b'Z', 0xff), (b'9', b'/'), (b'-', 0x80)] {
                    let mut block = [after; 8];
                    block[..place].fill(before);
                    block[place] = byte;
                    let plain = block.iter().position(|&byte| !is_plain(byte));
                    assert_eq!(portable::first_not_plain(&block), plain, "{block:x?}");
                    let stop = block.iter().position(|&byte| byte < 0x20 || byte == 0x7f);
                    assert_eq!(portable::first_below_or_delete::<0x20>(&block), stop, "{block:x?}");
                    let mut long = [b'a'; wide::WIDTH];
                    long[wide::WIDTH - 8..].copy_from_slice(&block);
                    assert_eq!(
                        wide::first_not_plain(&long),
                        plain.map(|at| at + wide::WIDTH - 8),
                        "{block:x?}"
                    );
                    let stop = stop.map(|at| at + wide::WIDTH - 8);
                    assert_eq!(wide::first_below_or_delete::<0x20>(&long), stop, "{block:x?}");
                }
            }
        }
    }

    #[test]
    fn tokens_are_those_of_the_rfc() {
        let tokens: Vec<u8> = (0..=255).filter(|&byte| is_token(byte)).collect();
        assert_eq!(tokens.len(), 62 + 15);
        assert!(!is_token(b':') && !is_token(b'(') && !is_token(b'"') && !is_token(0x80));
        assert_eq!(token_end(b"Host: x", 0), 4);
    }
}
