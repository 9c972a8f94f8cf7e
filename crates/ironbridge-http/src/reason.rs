//! Reason phrases of the registered status codes (RFC 9110 section 15).

/// The standard phrase, empty for a code that has none (RFC 9112 section 4: the phrase may be absent).
pub fn standard_reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason()).unwrap_or("")
}
