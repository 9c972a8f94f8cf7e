//! A client's bytes become messages: unmasked, put together, inflated, and checked as soon as they come.

use ironbridge_exchange::websocket::{Close, Message};

use super::{
    deflate::Inflater,
    extension::Deflate,
    frame::{Failure, FrameHead, Opcode, apply_mask, read_close},
};

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message, whole.
    Message(Message),
    /// A ping with its payload.
    Ping(Vec<u8>),
    /// A pong with its payload.
    Pong(Vec<u8>),
    /// The end.
    Close(Close),
}

/// Reads frames.
#[derive(Debug)]
pub struct Decoder {
    most: usize,
    inflater: Option<Inflater>,
    /// Part of a frame's head.
    head: Vec<u8>,
    frame: Option<Frame>,
    message: Option<Partial>,
    /// Payload of a control frame.
    control: Vec<u8>,
}

/// A frame whose payload is being read.
#[derive(Debug)]
struct Frame {
    head: FrameHead,
    /// Bytes of it that have come.
    at: u64,
}

/// A message that is being read.
#[derive(Debug)]
struct Partial {
    is_text: bool,
    is_compressed: bool,
    data: Vec<u8>,
    /// Bytes of `data` that are known to be UTF-8.
    checked: usize,
}

impl Decoder {
    /// For messages of at most `most` bytes.
    pub fn new(most: usize, agreed: Option<&Deflate>) -> Self {
        Self {
            most,
            inflater: agreed.map(Inflater::new),
            head: Vec::new(),
            frame: None,
            message: None,
            control: Vec::new(),
        }
    }

    /// Takes bytes off the start of `input` until something is whole; `None`: more have to come.
    ///
    /// # Errors
    /// The connection has to be failed, and nothing more may be read.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Event>, Failure> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.read_head(input)? {
                    Some(head) => self.begin(head)?,
                    None => return Ok(None),
                },
            };
            let left = frame.head.len - frame.at;
            let n = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let (bytes, rest) = input.split_at(n);
            *input = rest;
            self.take(&frame, bytes)?;
            frame.at += n as u64;
            if frame.at < frame.head.len {
                self.frame = Some(frame);
                return Ok(None);
            }
            if let Some(event) = self.end(&frame.head)? {
                return Ok(Some(event));
            }
        }
    }

    fn read_head(&mut self, input: &mut &[u8]) -> Result<Option<FrameHead>, Failure> {
        if self.head.is_empty() {
            let Some((head, len)) = FrameHead::read(input)? else {
                self.head.extend_from_slice(input);
                *input = &[];
                return Ok(None);
            };
            *input = &input[len..];
            return Ok(Some(head));
        }
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            self.head.push(byte);
            if let Some((head, _)) = FrameHead::read(&self.head)? {
                self.head.clear();
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    fn begin(&mut self, head: FrameHead) -> Result<Frame, Failure> {
        match head.opcode {
            Opcode::Text | Opcode::Binary => {
                if self.message.is_some() {
                    return Err(Failure::Interleaved);
                }
                if head.rsv1 && self.inflater.is_none() {
                    return Err(Failure::ReservedBit);
                }
                let is_text = head.opcode == Opcode::Text;
                self.message =
                    Some(Partial { is_text, is_compressed: head.rsv1, data: Vec::new(), checked: 0 });
            }
            Opcode::Continuation if self.message.is_none() => return Err(Failure::NothingToContinue),
            Opcode::Continuation => {}
            Opcode::Close | Opcode::Ping | Opcode::Pong => self.control.clear(),
        }
        if let Some(message) = self.message.as_ref().filter(|message| !message.is_compressed)
            && !head.opcode.is_control()
            && head.len > (self.most - message.data.len()) as u64
        {
            return Err(Failure::TooLarge);
        }
        Ok(Frame { head, at: 0 })
    }

    /// Some of a frame's payload.
    fn take(&mut self, frame: &Frame, bytes: &[u8]) -> Result<(), Failure> {
        let at = (frame.at % 4) as usize;
        let (message, mask) = match &mut self.message {
            Some(message) if !frame.head.opcode.is_control() => (message, frame.head.mask),
            _ => {
                put_unmasked(&mut self.control, bytes, frame.head.mask, at);
                return Ok(());
            }
        };
        match &mut self.inflater {
            Some(inflater) if message.is_compressed => {
                let mut block = [0; BLOCK];
                let mut at = at;
                for part in bytes.chunks(BLOCK) {
                    let block = &mut block[..part.len()];
                    block.copy_from_slice(part);
                    apply_mask(block, mask, at);
                    at += part.len();
                    let inflated = inflater.inflate(block, &mut message.data, self.most);
                    // What is wrong first counts, whichever way it is wrong.
                    message.check()?;
                    inflated?;
                }
            }
            _ => {
                let left = usize::try_from(frame.head.len - frame.at).unwrap_or(usize::MAX);
                // What is only announced takes little memory.
                message.data.reserve(left.min(bytes.len().max(BLOCK)));
                put_unmasked(&mut message.data, bytes, mask, at);
            }
        }
        message.check()
    }

    /// All of a frame has come.
    fn end(&mut self, head: &FrameHead) -> Result<Option<Event>, Failure> {
        Ok(Some(match head.opcode {
            Opcode::Ping => Event::Ping(std::mem::take(&mut self.control)),
            Opcode::Pong => Event::Pong(std::mem::take(&mut self.control)),
            Opcode::Close => Event::Close(read_close(&self.control)?),
            _ if !head.fin => return Ok(None),
            _ => {
                let Some(mut message) = self.message.take() else { return Ok(None) };
                if let Some(inflater) = self.inflater.as_mut().filter(|_| message.is_compressed) {
                    let ended = inflater.end(&mut message.data, self.most);
                    message.check()?;
                    ended?;
                }
                Event::Message(message.finish()?)
            }
        }))
    }
}

impl Partial {
    /// Looks at the text that has come; a character may still be incomplete.
    fn check(&mut self) -> Result<(), Failure> {
        if !self.is_text {
            return Ok(());
        }
        match simdutf8::compat::from_utf8(&self.data[self.checked..]) {
            Ok(_) => self.checked = self.data.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(Failure::NotUtf8),
        }
        Ok(())
    }

    fn finish(self) -> Result<Message, Failure> {
        if !self.is_text {
            return Ok(Message::Binary(self.data.into()));
        }
        if self.checked < self.data.len() {
            return Err(Failure::NotUtf8);
        }
        Ok(Message::Text(self.data.into()))
    }
}

fn put_unmasked(out: &mut Vec<u8>, bytes: &[u8], mask: [u8; 4], at: usize) {
    let start = out.len();
    out.extend_from_slice(bytes);
    apply_mask(&mut out[start..], mask, at);
}

/// Bytes that are unmasked at a time to be inflated.
const BLOCK: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

    /// A client's frame.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            len @ 0..=125 => out.push(0x80 | len as u8),
            len @ 126..=0xFFFF => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(&MASK);
        put_unmasked(&mut out, payload, MASK, 0);
        out
    }

    fn agreed() -> Deflate {
        Deflate {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_window_bits: 15,
            client_window_bits: None,
        }
    }

    /// Everything that the bytes come to, given in pieces of `piece` bytes.
    fn decode(bytes: &[u8], piece: usize, most: usize) -> (Vec<Event>, Option<Failure>) {
        let agreed = agreed();
        let mut decoder = Decoder::new(most, Some(&agreed));
        let mut events = Vec::new();
        for mut piece in bytes.chunks(piece) {
            while !piece.is_empty() {
                match decoder.feed(&mut piece) {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => assert!(piece.is_empty()),
                    Err(failure) => return (events, Some(failure)),
                }
            }
        }
        (events, None)
    }

    fn text(text: &str) -> Event {
        Event::Message(Message::Text(text.to_owned().into()))
    }

    #[test]
    fn fragments_make_one_message_with_control_frames_between() {
        let bytes =
            [frame(0x01, b"a"), frame(0x89, b"?"), frame(0x00, b"b"), frame(0x8A, b""), frame(0x80, b"c")]
                .concat();
        let expected = [Event::Ping(b"?".to_vec()), Event::Pong(Vec::new()), text("abc")];
        for piece in 1..=bytes.len() {
            assert_eq!(decode(&bytes, piece, 3), (expected.to_vec(), None));
        }
    }

    #[test]
    fn a_message_out_of_order_is_refused() {
        let failure = |frames: &[Vec<u8>]| decode(&frames.concat(), 3, 100).1;
        assert_eq!(failure(&[frame(0x80, b"")]), Some(Failure::NothingToContinue));
        assert_eq!(failure(&[frame(0x01, b""), frame(0x82, b"")]), Some(Failure::Interleaved));
        assert_eq!(failure(&[frame(0x01, b""), frame(0xC0, b"")]), Some(Failure::ReservedBit));
    }

    #[test]
    fn a_message_too_large_is_refused_when_it_is_announced() {
        let head = &frame(0x82, &[0; 101])[..8];
        assert_eq!(decode(head, 1, 100).1, Some(Failure::TooLarge));
        let parts = [frame(0x02, &[0; 60]), frame(0x80, &[0; 41])].concat();
        assert_eq!(decode(&parts[..78], 1, 100).1, Some(Failure::TooLarge));
        assert_eq!(decode(&[frame(0x02, &[0; 60]), frame(0x80, &[0; 40])].concat(), 7, 100).0.len(), 1);
    }

    #[test]
    fn text_that_is_none_is_found_out_at_its_first_wrong_byte() {
        // The rest of the frame never comes.
        let bytes = frame(0x81, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited");
        assert_eq!(decode(&bytes[..6 + 13], 1, 100).1, Some(Failure::NotUtf8));
        assert_eq!(decode(&bytes[..6 + 12], 1, 100).1, None);
        assert_eq!(decode(&frame(0x81, b"\xce"), 1, 100).1, Some(Failure::NotUtf8), "half a character");
        let split = [frame(0x01, b"\xce"), frame(0x80, b"\xba")].concat();
        assert_eq!(decode(&split, 5, 100).0, [text("\u{3ba}")]);
    }

    #[test]
    fn compressed_messages_are_measured_and_checked_after_inflating() {
        let mut deflated = Vec::new();
        assert!(super::super::deflate::Deflater::new(&agreed()).deflate(&[b'x'; 1000], &mut deflated));
        let expected = text(&"x".repeat(1000));
        for piece in [1, 5, 100] {
            let (events, failure) = decode(&frame(0xC1, &deflated), piece, 1000);
            assert_eq!((&events[0], failure), (&expected, None));
            assert_eq!(decode(&frame(0xC1, &deflated), piece, 999).1, Some(Failure::TooLarge));
        }
        let (first, second) = deflated.split_at(3);
        let parts = [frame(0x41, first), frame(0x89, b""), frame(0x80, second)].concat();
        assert_eq!(decode(&parts, 4, 1000).0[1], expected);
        let plain = Decoder::new(100, None).feed(&mut &frame(0xC1, &deflated)[..]);
        assert_eq!(plain, Err(Failure::ReservedBit));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic_and_pieces_make_no_difference(bytes: Vec<u8>, piece in 1..9_usize) {
            let whole = decode(&bytes, bytes.len().max(1), 64);
            let pieces = decode(&bytes, piece, 64);
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn what_looks_like_frames_neither(
            frames in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..20)), 0..8),
            piece in 1..9_usize,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(first, payload)| frame(*first, payload)).collect();
            let whole = decode(&bytes, bytes.len().max(1), 64);
            prop_assert_eq!(whole, decode(&bytes, piece, 64));
        }
    }
}
