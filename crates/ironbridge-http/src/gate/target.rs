//! Which forms of a request target are let in (RFC 9112 section 3.2).

use ironbridge_exchange::target::split_absolute;

use super::{host, refusal::Refusal};

/// Checks that `target` has a form that `method` may have.
#[inline]
pub(super) fn check(method: &[u8], target: &[u8]) -> Result<(), Refusal> {
    if method == b"CONNECT" {
        return Err(Refusal::Connect);
    }
    match target {
        [b'/'] => Ok(()),
        [b'/', ..] => check_path(target),
        b"*" if method == b"OPTIONS" => Ok(()),
        _ => check_absolute(target),
    }
}

fn check_absolute(target: &[u8]) -> Result<(), Refusal> {
    let (authority, rest) = split_absolute(target).ok_or(Refusal::BadTarget)?;
    // RFC 9110 section 4.2.1: the host of an http URI is not empty.
    if authority.is_empty() || authority[0] == b':' || !host::is_host(authority) {
        return Err(Refusal::BadHost);
    }
    check_path(rest)
}

fn check_path(path_and_more: &[u8]) -> Result<(), Refusal> {
    let mut from = 0;
    while let Some(percent) = memchr::memchr(b'%', &path_and_more[from..]) {
        from += percent + 1;
        if path_and_more[from..].starts_with(b"00") {
            let before = &path_and_more[..from];
            let in_path = memchr::memchr2(b'?', b'#', before).is_none();
            return if in_path { Err(Refusal::NulInPath) } else { Ok(()) };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_gets_the_forms_it_may_have() {
        assert_eq!(check(b"GET", b"/"), Ok(()));
        assert_eq!(check(b"OPTIONS", b"*"), Ok(()));
        assert_eq!(check(b"GET", b"*"), Err(Refusal::BadTarget));
        assert_eq!(check(b"CONNECT", b"a:80"), Err(Refusal::Connect));
        assert_eq!(check(b"GET", b"a:80"), Err(Refusal::BadTarget));
        assert_eq!(check(b"GET", b"ftp://a/"), Err(Refusal::BadTarget));
        assert_eq!(check(b"GET", b"http:///"), Err(Refusal::BadHost));
        assert_eq!(check(b"GET", b"http://u@h/"), Err(Refusal::BadHost));
    }

    #[test]
    fn an_encoded_nul_is_refused_in_the_path_only() {
        assert_eq!(check(b"GET", b"/a%20%00"), Err(Refusal::NulInPath));
        assert_eq!(check(b"GET", b"http://h/a%00"), Err(Refusal::NulInPath));
        assert_eq!(check(b"GET", b"/a?b=%00"), Ok(()));
        assert_eq!(check(b"GET", b"/a#%00"), Ok(()));
        assert_eq!(check(b"GET", b"/a%2500"), Ok(()));
        assert_eq!(check(b"GET", b"/a%"), Ok(()));
    }
}
