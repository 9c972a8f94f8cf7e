//! Where in the URL space the application is mounted: SCRIPT_NAME and PATH_INFO.

use ironbridge_exchange::RequestHead;

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
            let path = percent_decode(split_target(&head.target).0);
            self.path_info(&path).is_some()
        }
    }

    /// What of a decoded path lies below the mount point: PATH_INFO.
    pub fn path_info<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        let rest = path.strip_prefix(self.root.as_slice())?;
        (rest.is_empty() || rest[0] == b'/' || self.root.is_empty()).then_some(rest)
    }
}

/// Path and query of a request target in origin-form, absolute-form or asterisk-form (RFC 9112 section 3.2), still
/// percent-encoded; a fragment is left out.
pub fn split_target(target: &[u8]) -> (&[u8], &[u8]) {
    let target = match memchr::memchr(b'#', target) {
        Some(hash) => &target[..hash],
        None => target,
    };
    let local = match target.first() {
        Some(b'/' | b'*') => target,
        _ => after_authority(target),
    };
    let (path, query) = match memchr::memchr(b'?', local) {
        Some(mark) => (&local[..mark], &local[mark + 1..]),
        None => (local, &b""[..]),
    };
    (if path.is_empty() { b"/" } else { path }, query)
}

/// The authority of a target in absolute-form.
pub fn authority(target: &[u8]) -> Option<&[u8]> {
    if matches!(target.first(), Some(b'/' | b'*') | None) {
        return None;
    }
    let rest = after_scheme(target)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    Some(&rest[..end])
}

fn after_authority(target: &[u8]) -> &[u8] {
    let rest = after_scheme(target).unwrap_or(target);
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    &rest[end..]
}

fn after_scheme(target: &[u8]) -> Option<&[u8]> {
    memchr::memmem::find(target, b"://").map(|at| &target[at + 3..])
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
    fn targets_are_split_in_each_of_their_forms() {
        assert_eq!(split_target(b"/a%20b?q=%41#frag"), (&b"/a%20b"[..], &b"q=%41"[..]));
        assert_eq!(split_target(b"*"), (&b"*"[..], &b""[..]));
        assert_eq!(split_target(b"http://h:80"), (&b"/"[..], &b""[..]));
        assert_eq!(split_target(b"http://h?x"), (&b"/"[..], &b"x"[..]));
        assert_eq!(split_target(b"http://h/p?x=http://y/"), (&b"/p"[..], &b"x=http://y/"[..]));
        assert_eq!(authority(b"http://h:80/p"), Some(&b"h:80"[..]));
        assert_eq!(authority(b"/p?http://h/"), None);
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
