//! Why a request is turned away before any application sees it.

/// One reason for refusing a request. Its text is for the log; [`Refusal::status`] is for the client.
///
/// After any of these the connection must close: where the next request would start is no longer certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The first bytes are a TLS record, but this port speaks plain HTTP.
    #[error("a TLS handshake arrived on a plain HTTP port")]
    TlsOnPlainPort,
    /// The connection preface of HTTP/2 (RFC 9113 section 3.4) arrived where only HTTP/1 is spoken.
    #[error("an HTTP/2 preface arrived on an HTTP/1 connection")]
    Http2Preface,
    /// A line ends with LF alone (RFC 9112 section 2.2 allows a server to tolerate it; we do not).
    #[error("a line ends with a bare LF")]
    BareLf,
    /// A CR stands without LF after it.
    #[error("a CR stands without its LF")]
    BareCr,
    /// The method is empty or holds a byte that no token has (RFC 9110 section 5.6.2).
    #[error("the method is not a token")]
    BadMethod,
    /// The method is longer than any that is known (RFC 9112 section 3).
    #[error("the method is too long")]
    MethodTooLong,
    /// The request target has none of the forms of RFC 9112 section 3.2, or not the one its method needs.
    #[error("the request target is malformed")]
    BadTarget,
    /// The path holds `%00`, which no application expects.
    #[error("the path holds an encoded NUL")]
    NulInPath,
    /// CONNECT asks for a tunnel; this is no proxy.
    #[error("CONNECT is not supported")]
    Connect,
    /// The request line does not end with `HTTP/` digit `.` digit.
    #[error("the request line has no valid HTTP version")]
    BadVersion,
    /// A version of HTTP other than 1.0 and 1.1.
    #[error("the HTTP version is not supported")]
    HttpVersionUnsupported,
    /// The request line is longer than the limit.
    #[error("the request line is too long")]
    LineTooLong,
    /// The header block is larger than the limit.
    #[error("the header block is too large")]
    HeadTooLarge,
    /// There are more field lines than the limit.
    #[error("there are too many header lines")]
    TooManyFields,
    /// A field name is empty or not a token, or its line has no colon.
    #[error("a header name is malformed")]
    BadFieldName,
    /// White space stands between a field name and its colon (RFC 9112 section 5.1).
    #[error("white space stands before the colon of a header")]
    SpaceBeforeColon,
    /// A field value holds a control character (RFC 9110 section 5.5).
    #[error("a header value holds a control character")]
    BadFieldValue,
    /// A line starts with white space, the obsolete way of continuing the line before (RFC 9112 section 5.2).
    #[error("a header line is folded")]
    ObsFold,
    /// An HTTP/1.1 request without Host (RFC 9112 section 3.2).
    #[error("the Host header is missing")]
    MissingHost,
    /// More than one Host line.
    #[error("there is more than one Host header")]
    DuplicateHost,
    /// Host, or the authority of the target, is not `uri-host [":" port]`.
    #[error("the host is malformed")]
    BadHost,
    /// More than one Content-Length line, even with equal values.
    #[error("there is more than one Content-Length header")]
    DuplicateContentLength,
    /// Content-Length is not a plain decimal number that fits 64 bits.
    #[error("the Content-Length header is malformed")]
    BadContentLength,
    /// Content-Length and Transfer-Encoding together: two readings of where the body ends.
    #[error("there are both Content-Length and Transfer-Encoding")]
    LengthWithTransferEncoding,
    /// Transfer-Encoding on HTTP/1.0 (RFC 9112 section 6.1: faulty framing).
    #[error("Transfer-Encoding is not allowed on HTTP/1.0")]
    TransferEncodingOnHttp10,
    /// `chunked` twice, or two Transfer-Encoding lines.
    #[error("Transfer-Encoding is repeated")]
    RepeatedChunked,
    /// `chunked` is not the last coding (RFC 9112 section 6.3), or a list element is empty.
    #[error("the Transfer-Encoding header is malformed")]
    BadTransferEncoding,
    /// A transfer coding other than `chunked`.
    #[error("the transfer coding is not supported")]
    UnknownTransferCoding,
    /// More than one Content-Type line.
    #[error("there is more than one Content-Type header")]
    DuplicateContentType,
    /// Expect with anything but `100-continue`.
    #[error("the expectation is not supported")]
    UnknownExpectation,
    /// A chunk's size line, extension or end breaks RFC 9112 section 7.1.
    #[error("a chunk of the body is malformed")]
    BadChunk,
    /// A trailer line is malformed, or names a field that must not come in a trailer (RFC 9110 section 6.5.1).
    #[error("the trailer section is malformed")]
    BadTrailer,
    /// The trailer section is larger than the limit.
    #[error("the trailer section is too large")]
    TrailerTooLarge,
    /// The body is larger than the limit.
    #[error("the body is too large")]
    BodyTooLarge,
    /// The head did not arrive in time.
    #[error("the head did not arrive in time")]
    HeadTimeout,
    /// The body came slower than the server tolerates.
    #[error("the body arrived too slowly")]
    BodyTimeout,
}

impl Refusal {
    /// Every reason, in the order of `self as usize`.
    pub const ALL: [Self; 36] = [
        Self::TlsOnPlainPort,
        Self::Http2Preface,
        Self::BareLf,
        Self::BareCr,
        Self::BadMethod,
        Self::MethodTooLong,
        Self::BadTarget,
        Self::NulInPath,
        Self::Connect,
        Self::BadVersion,
        Self::HttpVersionUnsupported,
        Self::LineTooLong,
        Self::HeadTooLarge,
        Self::TooManyFields,
        Self::BadFieldName,
        Self::SpaceBeforeColon,
        Self::BadFieldValue,
        Self::ObsFold,
        Self::MissingHost,
        Self::DuplicateHost,
        Self::BadHost,
        Self::DuplicateContentLength,
        Self::BadContentLength,
        Self::LengthWithTransferEncoding,
        Self::TransferEncodingOnHttp10,
        Self::RepeatedChunked,
        Self::BadTransferEncoding,
        Self::UnknownTransferCoding,
        Self::DuplicateContentType,
        Self::UnknownExpectation,
        Self::BadChunk,
        Self::BadTrailer,
        Self::TrailerTooLarge,
        Self::BodyTooLarge,
        Self::HeadTimeout,
        Self::BodyTimeout,
    ];

    /// The status of the response to send (RFC 9110 section 15). A 405 needs an `Allow` header beside it.
    pub fn status(self) -> u16 {
        match self {
            Self::Connect => 405,
            Self::HeadTimeout | Self::BodyTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::LineTooLong => 414,
            Self::UnknownExpectation => 417,
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailerTooLarge => 431,
            Self::MethodTooLong | Self::UnknownTransferCoding => 501,
            Self::Http2Preface | Self::HttpVersionUnsupported => 505,
            _ => 400,
        }
    }

    /// The reason as one snake_case word for counters.
    pub fn label(self) -> &'static str {
        match self {
            Self::TlsOnPlainPort => "tls_on_plain_port",
            Self::Http2Preface => "http2_preface",
            Self::BareLf => "bare_lf",
            Self::BareCr => "bare_cr",
            Self::BadMethod => "bad_method",
            Self::MethodTooLong => "method_too_long",
            Self::BadTarget => "bad_target",
            Self::NulInPath => "nul_in_path",
            Self::Connect => "connect",
            Self::BadVersion => "bad_version",
            Self::HttpVersionUnsupported => "http_version_unsupported",
            Self::LineTooLong => "line_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::BadFieldName => "bad_field_name",
            Self::SpaceBeforeColon => "space_before_colon",
            Self::BadFieldValue => "bad_field_value",
            Self::ObsFold => "obs_fold",
            Self::MissingHost => "missing_host",
            Self::DuplicateHost => "duplicate_host",
            Self::BadHost => "bad_host",
            Self::DuplicateContentLength => "duplicate_content_length",
            Self::BadContentLength => "bad_content_length",
            Self::LengthWithTransferEncoding => "length_with_transfer_encoding",
            Self::TransferEncodingOnHttp10 => "transfer_encoding_on_http10",
            Self::RepeatedChunked => "repeated_chunked",
            Self::BadTransferEncoding => "bad_transfer_encoding",
            Self::UnknownTransferCoding => "unknown_transfer_coding",
            Self::DuplicateContentType => "duplicate_content_type",
            Self::UnknownExpectation => "unknown_expectation",
            Self::BadChunk => "bad_chunk",
            Self::BadTrailer => "bad_trailer",
            Self::TrailerTooLarge => "trailer_too_large",
            Self::BodyTooLarge => "body_too_large",
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_label_and_its_place_in_the_list() {
        let mut labels = std::collections::HashSet::new();
        for (index, reason) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            assert!(labels.insert(reason.label()));
            assert!((400..600).contains(&reason.status()));
            assert!(!reason.to_string().ends_with('.'));
        }
        assert_eq!(labels.len(), Refusal::BodyTimeout as usize + 1);
    }
}
