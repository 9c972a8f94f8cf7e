//! Compression of messages (RFC 7692 section 7.2).

use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{
    extension::{Deflate, LARGEST},
    frame::Failure,
};

/// Inflates a client's messages.
#[derive(Debug)]
pub(super) struct Inflater {
    /// Made for the first message that needs it: most connections never do.
    engine: Option<Decompress>,
    window_bits: u8,
    forgets: bool,
    /// The present message has had a last block; what follows of it is padding.
    has_ended: bool,
}

/// Deflates our messages.
#[derive(Debug)]
pub(super) struct Deflater {
    engine: Option<Engine>,
    window_bits: u8,
    forgets: bool,
}

/// One of the [`MOST_ENGINES`] compressors of this process.
#[derive(Debug)]
struct Engine(Compress);

impl Inflater {
    pub(super) fn new(agreed: &Deflate) -> Self {
        Self {
            engine: None,
            window_bits: agreed.client_window_bits.unwrap_or(LARGEST),
            forgets: agreed.client_no_context_takeover,
            has_ended: false,
        }
    }

    /// Appends what `input` inflates to, so that `out` holds at most `most` bytes.
    ///
    /// # Errors
    /// [`Failure::TooLarge`], [`Failure::BadDeflate`].
    pub(super) fn inflate(
        &mut self,
        mut input: &[u8],
        out: &mut Vec<u8>,
        most: usize,
    ) -> Result<(), Failure> {
        let bits = self.window_bits;
        let engine = self.engine.get_or_insert_with(|| Decompress::new_with_window_bits(false, bits));
        while !self.has_ended {
            if out.len() == out.capacity() {
                // Never much more than there is: an attacker pays for what we hold. And never more than shows that the message
                // is too large: what is wrong behind that is not looked for, however much of it has come.
                let room = out.len().clamp(LEAST_ROOM, MOST_ROOM);
                out.reserve_exact(room.min(most.saturating_add(1) - out.len()));
            }
            let (taken, made) = (engine.total_in(), out.len());
            let status =
                engine.decompress_vec(input, out, FlushDecompress::Sync).map_err(|_| Failure::BadDeflate)?;
            let taken = (engine.total_in() - taken) as usize;
            input = &input[taken..];
            if out.len() > most {
                return Err(Failure::TooLarge);
            }
            match status {
                Status::StreamEnd => self.has_ended = true,
                // With room to spare, all that can be made of the input has been.
                _ if input.is_empty() && out.len() < out.capacity() => break,
                _ if taken == 0 && out.len() == made && out.len() < out.capacity() => {
                    return Err(Failure::BadDeflate);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The message is over.
    ///
    /// # Errors
    /// [`Failure::TooLarge`], [`Failure::BadDeflate`].
    pub(super) fn end(&mut self, out: &mut Vec<u8>, most: usize) -> Result<(), Failure> {
        self.inflate(TAIL, out, most)?;
        if (std::mem::take(&mut self.has_ended) || self.forgets)
            && let Some(engine) = &mut self.engine
        {
            engine.reset(false);
        }
        Ok(())
    }
}

impl Deflater {
    pub(super) fn new(agreed: &Deflate) -> Self {
        Self {
            engine: None,
            window_bits: agreed.server_window_bits,
            forgets: agreed.server_no_context_takeover,
        }
    }

    /// Appends `input`, deflated. `false`: nothing was appended, the message should go as it is.
    pub(super) fn deflate(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> bool {
        if self.engine.is_none() {
            self.engine = Engine::new(self.window_bits);
        }
        let Some(Engine(engine)) = &mut self.engine else { return false };
        let start = out.len();
        loop {
            if out.capacity() - out.len() < LEAST_ROOM {
                out.reserve(LEAST_ROOM.max(input.len() / 2));
            }
            let taken = engine.total_in();
            if engine.compress_vec(input, out, FlushCompress::Sync).is_err() {
                // Not even memory is asked for here; but who forgets its window can always go on.
                engine.reset();
                out.truncate(start);
                return false;
            }
            input = &input[(engine.total_in() - taken) as usize..];
            if input.is_empty() && out.len() < out.capacity() {
                break;
            }
        }
        if out.ends_with(TAIL) {
            out.truncate(out.len() - TAIL.len());
        }
        if self.forgets {
            engine.reset();
        }
        true
    }

    /// Gives the compressor back; the next message begins with an empty window, which the client need not know.
    pub(super) fn rest(&mut self) {
        self.engine = None;
    }
}

impl Engine {
    /// None: there are enough already. They are large, and their number is up to clients.
    fn new(window_bits: u8) -> Option<Self> {
        if ENGINES.fetch_add(1, Ordering::Relaxed) < MOST_ENGINES {
            Some(Self(Compress::new_with_window_bits(Compression::fast(), false, window_bits)))
        } else {
            ENGINES.fetch_sub(1, Ordering::Relaxed);
            None
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        ENGINES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What every compressed message ends with, and what is left out of it.
const TAIL: &[u8] = &[0, 0, 0xFF, 0xFF];
const LEAST_ROOM: usize = 256;
const MOST_ROOM: usize = 1024 * 1024;
/// Compressors at once, about 200 KB each.
const MOST_ENGINES: usize = 512;
static ENGINES: AtomicUsize = AtomicUsize::new(0);

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(server_window_bits: u8, forgets: bool) -> Deflate {
        Deflate {
            server_no_context_takeover: forgets,
            client_no_context_takeover: forgets,
            server_window_bits,
            client_window_bits: Some(server_window_bits),
        }
    }

    fn inflate(inflater: &mut Inflater, input: &[u8], most: usize) -> Result<Vec<u8>, Failure> {
        let mut out = Vec::new();
        inflater.inflate(input, &mut out, most)?;
        inflater.end(&mut out, most)?;
        Ok(out)
    }

    #[test]
    fn what_is_deflated_inflates_with_and_without_memory() {
        for bits in 9..=15 {
            for forgets in [false, true] {
                let agreed = agreed(bits, forgets);
                let (mut deflater, mut inflater) = (Deflater::new(&agreed), Inflater::new(&agreed));
                let mut sizes = Vec::new();
                for round in 0..20_usize {
                    let message: Vec<u8> = (0..round * 977).map(|i| (i % 61 + i / 300) as u8).collect();
                    let mut out = b"head".to_vec();
                    assert!(deflater.deflate(&message, &mut out));
                    sizes.push(out.len());
                    assert_eq!(inflate(&mut inflater, &out[4..], 1 << 20).unwrap(), message);
                    if round == 10 {
                        deflater.rest();
                    }
                }
                assert!(sizes[19] < 19 * 977);
            }
        }
    }

    #[test]
    fn the_messages_of_the_rfc_inflate() {
        // RFC 7692 section 7.2.3: in one block, the same again with the window kept, stored, with a last block, in two blocks.
        let mut inflater = Inflater::new(&agreed(15, false));
        for message in [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[0xf2, 0x00, 0x11, 0x00, 0x00],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ] {
            assert_eq!(inflate(&mut inflater, message, 5).unwrap(), b"Hello", "{message:x?}");
        }
    }

    #[test]
    fn a_bomb_is_found_out_before_it_takes_memory() {
        let agreed = agreed(15, false);
        let mut bomb = Vec::new();
        assert!(Deflater::new(&agreed).deflate(&vec![0; 64 << 20], &mut bomb));
        assert!(bomb.len() < 1 << 20);
        let mut out = Vec::new();
        let result = Inflater::new(&agreed).inflate(&bomb, &mut out, 1 << 20);
        assert_eq!(result, Err(Failure::TooLarge));
        assert!(out.capacity() <= 4 << 20, "{}", out.capacity());
    }

    #[test]
    fn a_message_of_the_most_bytes_is_none_too_large() {
        let agreed = agreed(12, false);
        for size in [0, 1, 255, 256, 257, 4096, 65536] {
            let message = vec![b'x'; size];
            let mut deflated = Vec::new();
            assert!(Deflater::new(&agreed).deflate(&message, &mut deflated));
            assert_eq!(inflate(&mut Inflater::new(&agreed), &deflated, size).unwrap(), message);
            if size > 0 {
                let cut = inflate(&mut Inflater::new(&agreed), &deflated, size - 1);
                assert_eq!(cut, Err(Failure::TooLarge), "{size}");
            }
        }
    }

    #[test]
    fn what_is_not_deflated_is_refused() {
        let result = inflate(&mut Inflater::new(&agreed(15, false)), b"\xff\xff\xff\xff", 1 << 20);
        assert_eq!(result, Err(Failure::BadDeflate));
    }
}
