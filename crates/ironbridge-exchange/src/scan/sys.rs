//! Looks at 16 bytes at a time. SSE2 is part of every x86-64.

use std::arch::x86_64::{
    __m128i, _mm_add_epi8, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
    _mm_set_epi64x, _mm_set1_epi8,
};

/// Bytes looked at together.
pub(super) const WIDTH: usize = 16;

/// The place of the first byte that is smaller than `LIMIT` or DEL.
#[inline(always)]
pub(super) fn first_below_or_delete<const LIMIT: u8>(block: &[u8; WIDTH]) -> Option<usize> {
    // SAFETY: the function needs nothing but SSE2, and every x86-64 processor has it.
    first(unsafe { below_or_delete::<LIMIT>(block) })
}

/// The place of the first byte that is no letter, digit, `-` or `.`.
#[inline(always)]
pub(super) fn first_not_plain(block: &[u8; WIDTH]) -> Option<usize> {
    // SAFETY: the function needs nothing but SSE2, and every x86-64 processor has it.
    first(unsafe { not_plain(block) })
}

#[inline(always)]
fn first(marks: i32) -> Option<usize> {
    if marks == 0 { None } else { Some(marks.trailing_zeros() as usize) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn below_or_delete<const LIMIT: u8>(block: &[u8; WIDTH]) -> i32 {
    let bytes = load(block);
    let small = at_most(bytes, LIMIT - 1);
    _mm_movemask_epi8(_mm_or_si128(small, _mm_cmpeq_epi8(bytes, all(0x7f))))
}

#[inline]
#[target_feature(enable = "sse2")]
fn not_plain(block: &[u8; WIDTH]) -> i32 {
    let bytes = load(block);
    let letter = at_most(_mm_add_epi8(_mm_or_si128(bytes, all(0x20)), all(b'a'.wrapping_neg())), b'z' - b'a');
    let from_dash_to_nine = at_most(_mm_add_epi8(bytes, all(b'-'.wrapping_neg())), b'9' - b'-');
    let digit = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, all(b'/')), from_dash_to_nine);
    _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_or_si128(letter, digit), all(0)))
}

#[inline]
#[target_feature(enable = "sse2")]
fn load(block: &[u8; WIDTH]) -> __m128i {
    let bits = u128::from_le_bytes(*block);
    _mm_set_epi64x((bits >> 64) as i64, bits as i64)
}

#[inline]
#[target_feature(enable = "sse2")]
fn all(byte: u8) -> __m128i {
    _mm_set1_epi8(byte as i8)
}

#[inline]
#[target_feature(enable = "sse2")]
fn at_most(bytes: __m128i, limit: u8) -> __m128i {
    _mm_cmpeq_epi8(_mm_min_epu8(bytes, all(limit)), bytes)
}
