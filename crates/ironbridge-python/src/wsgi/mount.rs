//! Where in the URL space the application is mounted: SCRIPT_NAME and PATH_INFO.

use ironbridge_exchange::{RequestHead, target::path_and_query};

/// A mount point: `--root-path`, decoded.
#[derive(Debug, Clone, Default)]
pub struct Mount {
    root: Vec<u8>,
}

impl Mount {
    /// A mount at `root`, which is empty or starts with a slash and does not end with one.
    pub fn new(root: &str) -> Self {
        Self { root: root.as_bytes().to_vec() }
    }

    /// SCRIPT_NAME.
    pub fn script_name(&self) -> &[u8] {
        &self.root
    }

    /// Whether the request's path lies at or below the mount point.
    pub fn covers(&self, head: &RequestHead) -> bool {
        self.root.is_empty() || &head.target[..] == b"*" || {
            let path = percent_decode(path_and_query(&head.target).0);
            self.path_info(&path).is_some()
        }
    }

    /// What of a decoded path lies below the mount point: PATH_INFO.
    pub fn path_info<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        let rest = path.strip_prefix(self.root.as_slice())?;
        (rest.is_empty() || rest[0] == b'/' || self.root.is_empty()).then_some(rest)
    }
}

/// Replaces `%HH` by its byte; what is not two hex digits stays as it is.
pub fn percent_decode(path: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'%', path) else { return path.into() };
    let mut out = Vec::with_capacity(path.len());
    out.extend_from_slice(&path[..first]);
    let mut rest = &path[first..];
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|pair| Some((hex(pair[0])?, hex(pair[1])?)));
        match digits {
            Some((high, low)) if byte == b'%' => {
                out.push(high << 4 | low);
                rest = &tail[2..];
            }
            _ => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    out.into()
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_the_mount_point_is_split_and_one_outside_is_not_covered() {
        let mount = Mount::new("/shop");
        assert_eq!(mount.path_info(b"/shop"), Some(&b""[..]));
        assert_eq!(mount.path_info(b"/shop/cart"), Some(&b"/cart"[..]));
        assert_eq!(mount.path_info(b"/shopping"), None);
        assert_eq!(mount.path_info(b"/"), None);
        assert_eq!(Mount::new("").path_info(b"//x"), Some(&b"//x"[..]));
    }

    #[test]
    fn percent_decoding_keeps_what_is_not_hex() {
        for (encoded, decoded) in [
            (&b"/a"[..], &b"/a"[..]),
            (b"/%41%zz%4", b"/A%zz%4"),
            (b"/%2F%ff%00", b"/\x2f\xff\x00"),
            (b"%", b"%"),
            (b"/%2541", b"/%41"),
            (b"/a%4+1", b"/a%4+1"),
        ] {
            assert_eq!(&percent_decode(encoded)[..], decoded);
        }
    }
}
