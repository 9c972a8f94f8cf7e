//! The user name in an Authorization header, for the log alone: nobody has checked the password.

/// The user name of Basic credentials (RFC 7617 section 2), or none when the header holds anything else.
pub fn basic_user(authorization: &[u8]) -> Option<Vec<u8>> {
    let scheme = authorization.get(..SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let credentials = authorization[SCHEME.len()..].trim_ascii();
    let mut user = decode_base64(credentials)?;
    let colon = memchr::memchr(b':', &user)?;
    user.truncate(colon);
    (!user.is_empty()).then_some(user)
}

/// RFC 4648 section 4, with or without its padding.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|&&byte| byte == b'=').count();
    let digits = &text[..text.len() - padding];
    if padding > 2 || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0;
        for &digit in group {
            bits = bits << 6 | sextet(digit)?;
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

fn sextet(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

const SCHEME: &[u8] = b"basic ";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_user_of_the_rfc_is_found() {
        assert_eq!(basic_user(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), Some(b"Aladdin".to_vec()));
        assert_eq!(basic_user(b"bAsIc   QWxhZGRpbjpvcGVuIHNlc2FtZQ "), Some(b"Aladdin".to_vec()));
    }

    #[test]
    fn base64_is_decoded_at_every_length() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg", "foob")] {
            assert_eq!(decode_base64(text.as_bytes()), Some(bytes.as_bytes().to_vec()), "{text}");
        }
        assert_eq!(decode_base64(b"+/+/"), Some(vec![0xfb, 0xff, 0xbf]));
    }

    #[test]
    fn anything_else_has_no_user() {
        let table: [&[u8]; 8] = [
            b"",
            b"Basic",
            b"Basic ",
            b"Bearer abc",
            b"Basic !!!!",
            b"Basic Zm9v",
            b"Basic OnB3",
            b"Basic Zm9vO===",
        ];
        for header in table {
            assert_eq!(basic_user(header), None, "{header:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            basic_user(&[SCHEME, &bytes].concat());
        }
    }
}
