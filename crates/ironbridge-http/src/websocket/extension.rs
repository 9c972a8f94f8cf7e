//! What client and server agree about compression: the parameters of permessage-deflate (RFC 7692 section 7.1).

use std::fmt;

/// An agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    /// We forget our window after each message.
    pub server_no_context_takeover: bool,
    /// So does the client.
    pub client_no_context_takeover: bool,
    /// Our window, as a power of two: 9 to 15.
    pub server_window_bits: u8,
    /// The client's, where it has let us choose; otherwise it may be 15.
    pub client_window_bits: Option<u8>,
}

/// One offer of a client.
#[derive(Debug, Default)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// The inner one: at most so many.
    client_max_window_bits: Option<Option<u8>>,
}

/// The first of a client's offers that can be accepted, with windows of at most `most` bits.
pub fn agree<'a>(lines: impl Iterator<Item = &'a [u8]>, most: u8) -> Option<Deflate> {
    let offers = lines.flat_map(|line| line.split(|&byte| byte == b','));
    offers.filter_map(Offer::read).find_map(|offer| offer.accept(most))
}

impl Offer {
    /// None: another extension, or a malformed offer, which has to be declined (RFC 7692 section 7.1).
    fn read(text: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(text).ok()?.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case("permessage-deflate") {
            return None;
        }
        let mut offer = Self::default();
        let mut seen = Vec::new();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim_start())?)),
                None => (part, None),
            };
            if seen.contains(&name) {
                return None;
            }
            seen.push(name);
            match (name, value) {
                ("server_no_context_takeover", None) => offer.server_no_context_takeover = true,
                ("client_no_context_takeover", None) => offer.client_no_context_takeover = true,
                ("server_max_window_bits", Some(bits)) => offer.server_max_window_bits = Some(window(bits)?),
                ("client_max_window_bits", None) => offer.client_max_window_bits = Some(None),
                ("client_max_window_bits", Some(bits)) => {
                    offer.client_max_window_bits = Some(Some(window(bits)?));
                }
                _ => return None,
            }
        }
        Some(offer)
    }

    fn accept(self, most: u8) -> Option<Deflate> {
        let server_window_bits = self.server_max_window_bits.unwrap_or(LARGEST).min(most);
        // No library compresses with the smallest window.
        if server_window_bits < SMALLEST {
            return None;
        }
        Some(Deflate {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_window_bits,
            client_window_bits: self
                .client_max_window_bits
                .map(|bits| bits.unwrap_or(LARGEST).min(most))
                .filter(|&bits| bits >= SMALLEST),
        })
    }
}

impl fmt::Display for Deflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("permessage-deflate")?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if self.server_window_bits < LARGEST {
            write!(f, "; server_max_window_bits={}", self.server_window_bits)?;
        }
        match self.client_window_bits {
            Some(bits) if bits < LARGEST => write!(f, "; client_max_window_bits={bits}"),
            _ => Ok(()),
        }
    }
}

fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(value),
    }
}

/// A decimal number without leading zeros, from 8 to 15 (RFC 7692 section 7.1.2).
fn window(text: &str) -> Option<u8> {
    let bits = text.parse().ok().filter(|bits| (8..=LARGEST).contains(bits))?;
    (!text.starts_with(['0', '+'])).then_some(bits)
}

/// The largest window.
pub(super) const LARGEST: u8 = 15;
/// The smallest that can be compressed with.
const SMALLEST: u8 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(lines: &[&str], most: u8) -> Option<String> {
        agree(lines.iter().map(|line| line.as_bytes()), most).map(|deflate| deflate.to_string())
    }

    #[test]
    fn what_browsers_offer_is_accepted_with_small_windows() {
        let expected = "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12";
        assert_eq!(answer(&["permessage-deflate; client_max_window_bits"], 12).as_deref(), Some(expected));
        assert_eq!(answer(&["permessage-deflate"], 15).as_deref(), Some("permessage-deflate"));
    }

    #[test]
    fn a_client_gets_what_it_insists_on() {
        for (offer, expected) in [
            ("; server_max_window_bits=10", "; server_max_window_bits=10"),
            ("; client_max_window_bits=9", "; server_max_window_bits=12; client_max_window_bits=9"),
            ("; client_max_window_bits=8", "; server_max_window_bits=12"),
            ("; server_no_context_takeover", "; server_no_context_takeover; server_max_window_bits=12"),
            (
                "; client_no_context_takeover; server_max_window_bits=\"15\"",
                "; client_no_context_takeover; server_max_window_bits=12",
            ),
        ] {
            let answer = answer(&[&format!("permessage-deflate{offer}")], 12);
            assert_eq!(answer, Some(format!("permessage-deflate{expected}")), "{offer}");
        }
    }

    #[test]
    fn the_first_offer_that_can_be_accepted_counts() {
        let offers =
            ["x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=8", "permessage-deflate"];
        assert_eq!(answer(&offers, 15).as_deref(), Some("permessage-deflate"));
    }

    #[test]
    fn malformed_offers_are_declined() {
        for offer in [
            "; server_max_window_bits",
            "; server_max_window_bits=7",
            "; server_max_window_bits=16",
            "; server_max_window_bits=012",
            "; server_max_window_bits=+12",
            "; client_max_window_bits=\"12",
            "; client_no_context_takeover=1",
            "; client_no_context_takeover; client_no_context_takeover",
            "; something",
            ";",
        ] {
            assert_eq!(answer(&[&format!("permessage-deflate{offer}")], 15), None, "{offer}");
        }
        assert_eq!(answer(&["permessage-bzip2"], 15), None);
        assert_eq!(answer(&[], 15), None);
    }
}
