//! The forms of a request target (RFC 9112 section 3.2), taken apart. There is one reader for everybody: two that differ
//! would be two readings of one request.

/// The path and query of an accepted target, without scheme, authority and fragment, as they were sent.
///
/// An absolute form that has neither gives `/`. One that has a query but no path gives the query alone, with
/// its `?`; [`path_and_query`] knows that its path is `/`, too (RFC 9110 section 4.2.3).
pub fn origin_form(target: &[u8]) -> &[u8] {
    let target = without_fragment(target);
    let Some((_, rest)) = split_absolute(target) else { return target };
    if rest.is_empty() { b"/" } else { rest }
}

/// The path, never empty, and the query, without its `?`, of an accepted target. `*` is a path here.
pub fn path_and_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let target = origin_form(target);
    match memchr::memchr(b'?', target) {
        Some(0) => (b"/", Some(&target[1..])),
        Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
        None => (target, None),
    }
}

/// The authority of an absolute form, which overrides Host (RFC 9112 section 3.2.2); `None` for other forms.
pub fn authority(target: &[u8]) -> Option<&[u8]> {
    split_absolute(target).map(|(authority, _)| authority)
}

/// The authority of an absolute form and what stands after it.
pub fn split_absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    if target.first() == Some(&b'/') {
        return None;
    }
    let rest =
        strip_prefix_any_case(target, b"http://").or_else(|| strip_prefix_any_case(target, b"https://"))?;
    Some(rest.split_at(memchr::memchr3(b'/', b'?', b'#', rest).unwrap_or(rest.len())))
}

fn strip_prefix_any_case<'a>(bytes: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn without_fragment(target: &[u8]) -> &[u8] {
    &target[..memchr::memchr(b'#', target).unwrap_or(target.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_form_loses_scheme_authority_and_fragment() {
        for (target, expected) in [
            ("/", "/"),
            ("/a?b=c", "/a?b=c"),
            ("/a#b", "/a"),
            ("//a/b", "//a/b"),
            ("*", "*"),
            ("http://host", "/"),
            ("http://host/", "/"),
            ("HTTPS://host:1/a?b#c", "/a?b"),
            ("http://host?b", "?b"),
            ("http://host#c", "/"),
            ("/http://host/x", "/http://host/x"),
        ] {
            assert_eq!(origin_form(target.as_bytes()), expected.as_bytes(), "{target}");
        }
    }

    #[test]
    fn a_path_is_never_empty() {
        assert_eq!(path_and_query(b"http://host?b?c"), (&b"/"[..], Some(&b"b?c"[..])));
        assert_eq!(path_and_query(b"http://host"), (&b"/"[..], None));
        assert_eq!(path_and_query(b"/a?"), (&b"/a"[..], Some(&b""[..])));
        assert_eq!(path_and_query(b"/a#x?y"), (&b"/a"[..], None));
    }

    #[test]
    fn only_an_absolute_form_has_an_authority() {
        assert_eq!(authority(b"http://host:80/a"), Some(&b"host:80"[..]));
        assert_eq!(authority(b"http://host?a"), Some(&b"host"[..]));
        assert_eq!(authority(b"/a"), None);
        assert_eq!(authority(b"*"), None);
    }
}
