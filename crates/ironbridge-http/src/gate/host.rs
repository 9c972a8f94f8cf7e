//! The syntax of `uri-host [":" port]` (RFC 9110 section 7.2, RFC 3986 section 3.2).

use ironbridge_exchange::scan;

/// Whether `value` is a host with or without a port. The empty host is one (RFC 9112 section 3.2).
///
/// There is no userinfo, ports end at 65535, and an IP literal is an IPv6 address or an `IPvFuture`.
pub(super) fn is_host(value: &[u8]) -> bool {
    if let Some(rest) = value.strip_prefix(b"[") {
        let Some(close) = memchr::memchr(b']', rest) else { return false };
        return is_ip_literal(&rest[..close]) && is_port_suffix(&rest[close + 1..]);
    }
    let mut end = scan::plain_end(value, 0);
    let mut has_escape = false;
    while end < value.len() && scan::is_reg_name(value[end]) {
        has_escape |= value[end] == b'%';
        end += 1;
    }
    is_port_suffix(&value[end..]) && (!has_escape || escapes_are_whole(&value[..end]))
}

fn is_ip_literal(literal: &[u8]) -> bool {
    if let Some(future) = literal.strip_prefix(b"v").or_else(|| literal.strip_prefix(b"V")) {
        let Some(dot) = memchr::memchr(b'.', future) else { return false };
        let (version, address) = (&future[..dot], &future[dot + 1..]);
        let allowed = |byte: &u8| *byte == b':' || (*byte != b'%' && scan::is_reg_name(*byte));
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !address.is_empty()
            && address.iter().all(allowed);
    }
    std::str::from_utf8(literal).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

/// Nothing, or a colon and a port that may be empty.
fn is_port_suffix(suffix: &[u8]) -> bool {
    let Some((&colon, port)) = suffix.split_first() else { return true };
    let zeros = port.iter().take_while(|&&digit| digit == b'0').count();
    let port = &port[zeros..];
    // Equally long numbers compare like their digits.
    let fits = port.len() < 5 || (port.len() == 5 && *port <= b"65535"[..]);
    colon == b':' && fits && port.iter().all(u8::is_ascii_digit)
}

fn escapes_are_whole(name: &[u8]) -> bool {
    let is_escape =
        |at: usize| name.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    name.iter().enumerate().all(|(at, &byte)| byte != b'%' || is_escape(at))
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn names_addresses_and_ports_are_hosts() {
        let hosts = [
            "",
            "localhost",
            "localhost:",
            "a.example:8000",
            "127.0.0.1:65535",
            "[::1]",
            "[::1]:80",
            "[::ffff:1.2.3.4]",
            "[v1.fe80:x]",
            "under_score",
            "a%20b",
            "xn--bcher-kva.example",
            ":80",
            "host:000080",
        ];
        for host in hosts {
            assert!(is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        let others = [
            "a b",
            "a/b",
            "user@host",
            "host:port",
            "host:80:80",
            "host:65536",
            "[::1",
            "::1",
            "[::1]x",
            "[]",
            "[fe80::1%25eth0]",
            "[v.x]",
            "[v1.]",
            "a%2",
            "a%zz",
            "b\u{fc}cher",
            "a\"b",
            "a<b",
            "a\\b",
            "a?b",
            "a#b",
            "host:-1",
            "host:+1",
            "a,b:c",
            "[::1]:",
            "\t",
        ];
        for host in others.into_iter().filter(|host| *host != "[::1]:") {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}
