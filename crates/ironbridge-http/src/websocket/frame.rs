//! Frames (RFC 6455 section 5.2): heads, masks, and what is wrong with them.

use ironbridge_exchange::websocket::Close;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// More of a message.
    Continuation = 0x0,
    /// A message of UTF-8, or its first part.
    Text = 0x1,
    /// A message of bytes, or its first part.
    Binary = 0x2,
    /// The end.
    Close = 0x8,
    /// Are you there?
    Ping = 0x9,
    /// I am.
    Pong = 0xA,
}

/// The head of a client's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// Whether the message ends with it.
    pub fin: bool,
    /// Whether the message is compressed (RFC 7692 section 6).
    pub rsv1: bool,
    /// What it is.
    pub opcode: Opcode,
    /// What the payload is masked with.
    pub mask: [u8; 4],
    /// Bytes of payload.
    pub len: u64,
}

/// Why a connection is failed (RFC 6455 section 7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Bits that no extension gives a meaning.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// An opcode that stands for nothing.
    #[error("an opcode is unknown")]
    UnknownOpcode,
    /// The client has to mask.
    #[error("a frame is not masked")]
    NotMasked,
    /// A control frame with more than 125 bytes, or in parts.
    #[error("a control frame is too long or fragmented")]
    BadControl,
    /// A length beyond 63 bits.
    #[error("a frame's length is malformed")]
    BadLength,
    /// A continuation of nothing.
    #[error("a continuation continues nothing")]
    NothingToContinue,
    /// A message within a message.
    #[error("a message begins before the one before it has ended")]
    Interleaved,
    /// A close frame of one byte, or with a code that must not be sent.
    #[error("a close frame is malformed")]
    BadClose,
    /// Text that is none, or a close frame's reason.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// More than the server accepts.
    #[error("a message is too large")]
    TooLarge,
    /// What does not inflate.
    #[error("compressed data is malformed")]
    BadDeflate,
}

impl Opcode {
    fn read(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// Close, ping and pong.
    pub fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

impl FrameHead {
    /// The head at the start of `bytes`, and how long it is; `None` as long as it is not whole.
    ///
    /// # Errors
    /// What is wrong with it, as soon as that shows.
    #[inline]
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Failure> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let opcode = Opcode::read(first & 0x0F).ok_or(Failure::UnknownOpcode)?;
        let (fin, rsv1) = (first & 0x80 != 0, first & 0x40 != 0);
        if first & 0x30 != 0 || rsv1 && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(Failure::ReservedBit);
        }
        if second & 0x80 == 0 {
            return Err(Failure::NotMasked);
        }
        let short = second & 0x7F;
        if opcode.is_control() && (short > MOST_CONTROL || !fin) {
            return Err(Failure::BadControl);
        }
        let (len, rest) = match short {
            126 => {
                let Some((len, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(*len)), rest)
            }
            127 => {
                let Some((len, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (u64::from_be_bytes(*len), rest)
            }
            short => (u64::from(short), rest),
        };
        if len > i64::MAX as u64 {
            return Err(Failure::BadLength);
        }
        let Some((&mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
        Ok(Some((Self { fin, rsv1, opcode, mask, len }, bytes.len() - rest.len())))
    }
}

impl Failure {
    /// The close frame that goes with it.
    pub fn close(self) -> Close {
        let code = match self {
            Self::NotUtf8 | Self::BadDeflate => Close::INVALID,
            Self::TooLarge => Close::TOO_BIG,
            _ => Close::PROTOCOL,
        };
        Close { code, reason: self.to_string() }
    }
}

/// Appends the head of a frame of ours, which is not masked.
#[inline]
pub fn put_head(out: &mut Vec<u8>, opcode: Opcode, rsv1: bool, len: usize) {
    out.push(0x80 | u8::from(rsv1) << 6 | opcode as u8);
    match len {
        0..=125 => out.push(len as u8),
        126..=0xFFFF => {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// Masks or unmasks `bytes`, which begin at byte `at` of their frame (RFC 6455 section 5.3).
#[inline]
pub fn apply_mask(bytes: &mut [u8], mask: [u8; 4], at: usize) {
    let mut mask = mask;
    mask.rotate_left(at % 4);
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

/// The code and reason of a close frame.
///
/// # Errors
/// [`Failure::BadClose`], [`Failure::NotUtf8`].
pub fn read_close(payload: &[u8]) -> Result<Close, Failure> {
    let (code, reason) = match payload {
        [] => return Ok(Close::with_code(Close::NO_CODE)),
        [_] => return Err(Failure::BadClose),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !Close::may_be_sent(code) {
        return Err(Failure::BadClose);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| Failure::NotUtf8)?;
    Ok(Close { code, reason: reason.to_owned() })
}

/// Most bytes in a control frame.
pub const MOST_CONTROL: u8 = 125;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_read_and_written_at_their_borders() {
        for len in [0, 125, 126, 0xFFFF, 0x1_0000] {
            let mut out = Vec::new();
            put_head(&mut out, Opcode::Binary, true, len);
            out[1] |= 0x80;
            out.extend_from_slice(&[1, 2, 3, 4]);
            let head = FrameHead {
                fin: true,
                rsv1: true,
                opcode: Opcode::Binary,
                mask: [1, 2, 3, 4],
                len: len as u64,
            };
            assert_eq!(FrameHead::read(&out), Ok(Some((head, out.len()))));
            for cut in 0..out.len() {
                assert_eq!(FrameHead::read(&out[..cut]), Ok(None), "{len} {cut}");
            }
        }
    }

    #[test]
    fn heads_that_break_a_rule_are_refused() {
        let read = |first, second| FrameHead::read(&[first, second, 0, 0, 0, 0]).err();
        assert_eq!(read(0x81, 0x00), Some(Failure::NotMasked));
        assert_eq!(read(0x91, 0x80), Some(Failure::ReservedBit));
        assert_eq!(read(0xA1, 0x80), Some(Failure::ReservedBit));
        assert_eq!(read(0xC0, 0x80), Some(Failure::ReservedBit), "a continuation");
        assert_eq!(read(0xC9, 0x80), Some(Failure::ReservedBit), "a ping");
        for opcode in [3, 7, 11, 15] {
            assert_eq!(read(0x80 | opcode, 0x80), Some(Failure::UnknownOpcode));
        }
        assert_eq!(read(0x09, 0x80), Some(Failure::BadControl));
        assert_eq!(read(0x89, 0x80 | 126), Some(Failure::BadControl));
        let endless = [0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(FrameHead::read(&endless).err(), Some(Failure::BadLength));
    }

    #[test]
    fn close_frames_say_why() {
        let close = |payload: &[u8]| read_close(payload).map(|close| (close.code, close.reason));
        assert_eq!(close(b""), Ok((1005, String::new())));
        assert_eq!(close(b"\x03\xE8bye"), Ok((1000, "bye".to_owned())));
        assert_eq!(close(b"\x0F\xA1"), Ok((4001, String::new())));
        assert_eq!(close(b"\x03"), Err(Failure::BadClose));
        assert_eq!(close(b"\x03\xE8\xFF"), Err(Failure::NotUtf8));
        for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert_eq!(close(&code.to_be_bytes()), Err(Failure::BadClose), "{code}");
        }
    }

    proptest! {
        #[test]
        fn masks_apply_from_any_place(bytes: Vec<u8>, mask: [u8; 4], at in 0..9_usize) {
            let mut masked = bytes.clone();
            apply_mask(&mut masked, mask, at);
            for (i, (byte, masked)) in bytes.iter().zip(&masked).enumerate() {
                prop_assert_eq!(*masked, byte ^ mask[(at + i) % 4]);
            }
        }
    }
}
