//! Looks at eight bytes at a time in a 64-bit integer, where there is no SIMD that we know.

/// Bytes looked at together.
pub(super) const WIDTH: usize = 8;

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// The place of the first byte that is smaller than `LIMIT` (at most 0x80) or DEL.
#[inline]
pub(super) fn first_below_or_delete<const LIMIT: u8>(block: &[u8; WIDTH]) -> Option<usize> {
    let word = u64::from_le_bytes(*block);
    let del = word ^ (ONES * 0x7f);
    // A subtraction borrows only from bytes after the first that qualifies, so that the lowest mark is true.
    let small = word.wrapping_sub(ONES * LIMIT as u64) & !word;
    first((small | (del.wrapping_sub(ONES) & !del)) & HIGH)
}

/// The place of the first byte that is no letter, digit, `-` or `.`.
#[inline]
pub(super) fn first_not_plain(block: &[u8; WIDTH]) -> Option<usize> {
    let word = u64::from_le_bytes(*block);
    let letter = in_range::<b'a', b'z'>(word | (ONES * 0x20));
    let plain = letter | in_range::<b'-', b'.'>(word) | in_range::<b'0', b'9'>(word);
    first(!plain & HIGH)
}

/// The high bit of every byte that lies between two ASCII characters, both included.
#[inline]
fn in_range<const FIRST: u8, const LAST: u8>(word: u64) -> u64 {
    let low = word & !HIGH;
    let from_first = low + ONES * (0x80 - FIRST as u64);
    let after_last = low + ONES * (0x7f - LAST as u64);
    from_first & !after_last & !word & HIGH
}

#[inline]
fn first(marks: u64) -> Option<usize> {
    if marks == 0 { None } else { Some(marks.trailing_zeros() as usize / 8) }
}
