//! How large a request's head may be.

/// Upper bounds on a request's head; what exceeds one is refused before it is complete.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes of the request line, its CRLF not counted (414 beyond).
    pub request_line: usize,
    /// Bytes of the header block: every field line with its CRLF, and the empty line at the end (431 beyond).
    pub head: usize,
    /// Field lines (431 beyond).
    pub fields: usize,
}
