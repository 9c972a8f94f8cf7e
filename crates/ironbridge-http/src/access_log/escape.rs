//! Bytes of clients made harmless: no byte of theirs can end a line, a field or a string, or steer a terminal.

/// Appends bytes for a place between quotes of a log line: quote, backslash, control and non-ASCII bytes become
/// `\xHH`. So the original can be told from the text.
pub(super) fn quoted(bytes: &[u8], out: &mut Vec<u8>) {
    escape(bytes, out, |byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
}

/// Appends bytes for a place that ends at a space: as [`quoted`], and spaces too become `\xHH`.
pub(super) fn bare(bytes: &[u8], out: &mut Vec<u8>) {
    escape(bytes, out, |byte| matches!(byte, b'!'..=b'~') && byte != b'"' && byte != b'\\');
}

/// Appends a JSON string, quotes included (RFC 8259 section 7), in ASCII alone. Bytes that are no UTF-8 become the
/// text `\xHH`.
pub(super) fn json(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        json_text(chunk.valid(), out);
        for &byte in chunk.invalid() {
            out.extend([b'\\', b'\\', b'x', hex(byte >> 4), hex(byte)]);
        }
    }
    out.push(b'"');
}

fn escape(bytes: &[u8], out: &mut Vec<u8>, harmless: impl Fn(u8) -> bool) {
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|&byte| !harmless(byte)) {
        out.extend_from_slice(&rest[..end]);
        out.extend([b'\\', b'x', hex(rest[end] >> 4), hex(rest[end])]);
        rest = &rest[end + 1..];
    }
    out.extend_from_slice(rest);
}

fn json_text(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(end) =
        rest.bytes().position(|byte| !matches!(byte, b' '..=b'~') || byte == b'"' || byte == b'\\')
    {
        out.extend_from_slice(&rest.as_bytes()[..end]);
        // All bytes before `end` are ASCII, so a character starts there.
        let mut following = rest[end..].chars();
        if let Some(character) = following.next() {
            json_escape(character, out);
        }
        rest = following.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn json_escape(character: char, out: &mut Vec<u8>) {
    match character {
        '"' | '\\' => out.extend([b'\\', character as u8]),
        '\n' => out.extend(b"\\n"),
        '\r' => out.extend(b"\\r"),
        '\t' => out.extend(b"\\t"),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let [high, low] = unit.to_be_bytes();
                out.extend([b'\\', b'u', hex(high >> 4), hex(high), hex(low >> 4), hex(low)]);
            }
        }
    }
}

/// The digit for the lower half of a byte.
fn hex(byte: u8) -> u8 {
    b"0123456789abcdef"[usize::from(byte & 15)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Escape = fn(&[u8], &mut Vec<u8>);

    fn text(escape: Escape, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escape(bytes, &mut out);
        String::from_utf8(out).expect("all that comes out is ASCII")
    }

    /// Undoes `\xHH`.
    fn original(text: &str) -> Vec<u8> {
        let mut parts = text.split('\\');
        let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            let digits = part.strip_prefix('x').expect("only this escape is used");
            bytes.push(u8::from_str_radix(&digits[..2], 16).expect("two digits"));
            bytes.extend(&digits.as_bytes()[2..]);
        }
        bytes
    }

    #[test]
    fn what_could_forge_a_line_is_escaped() {
        assert_eq!(
            text(quoted, b"a \"b\" \\ \r\n\x1b[2J\x7f \xc3\xa9"),
            r"a \x22b\x22 \x5c \x0d\x0a\x1b[2J\x7f \xc3\xa9"
        );
        assert_eq!(text(bare, b"a b"), r"a\x20b");
        assert_eq!(text(json, b"a \"b\" \\\n\x00"), r#""a \"b\" \\\n\u0000""#);
        assert_eq!(text(json, "é\u{9b}\u{2028}😀".as_bytes()), r#""\u00e9\u009b\u2028\ud83d\ude00""#);
        assert_eq!(text(json, b"\xff\xc3"), r#""\\xff\\xc3""#);
    }

    proptest! {
        #[test]
        fn the_original_can_be_told_from_the_text(bytes: Vec<u8>) {
            for escape in [quoted, bare] as [Escape; 2] {
                let text = text(escape, &bytes);
                prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"'));
                prop_assert_eq!(original(&text), &bytes[..]);
            }
            prop_assert!(!text(bare, &bytes).contains(' '));
        }

        #[test]
        fn json_of_any_text_reads_back_as_that_text(input: String) {
            let text = text(json, input.as_bytes());
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(serde_json::from_str::<String>(&text).expect("JSON"), input);
        }

        #[test]
        fn json_of_any_bytes_is_json(bytes: Vec<u8>) {
            prop_assert!(serde_json::from_str::<String>(&text(json, &bytes)).is_ok());
        }
    }
}
