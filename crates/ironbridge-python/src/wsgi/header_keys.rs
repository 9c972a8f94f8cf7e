//! From a header's name, as sent, to its key in environ.

use std::{collections::HashMap, sync::RwLock};

use pyo3::{Py, Python, types::PyString};

/// What a header becomes.
#[derive(Debug)]
pub enum HeaderKey {
    /// Nothing: it must not reach the application.
    Drop,
    /// CONTENT_TYPE.
    ContentType,
    /// CONTENT_LENGTH; the front end knows better than the header.
    ContentLength,
    /// HTTP_TRANSFER_ENCODING, where the body is still encoded when the application runs.
    TransferEncoding(Py<PyString>),
    /// HTTP_COOKIE, whose values are joined by "; " (RFC 9113 section 8.2.3).
    Cookie(Py<PyString>),
    /// HTTP_HOST, which the authority of an absolute target overrides (RFC 9112 section 3.2.2).
    Host(Py<PyString>),
    /// HTTP_ and the name.
    Other(Py<PyString>),
}

/// Remembers keys by the bytes of the name as clients spell it.
#[derive(Debug, Default)]
pub struct HeaderKeys {
    known: RwLock<HashMap<Box<[u8]>, HeaderKey, foldhash::fast::RandomState>>,
}

impl HeaderKeys {
    /// The key of the header called `name`.
    pub fn get(&self, py: Python<'_>, name: &[u8]) -> HeaderKey {
        // The lock is held for no longer than the look: what is done with a key may run Python code.
        let known =
            self.known.read().expect("no code panics under this lock").get(name).map(|key| key.clone_ref(py));
        known.unwrap_or_else(|| {
            // Clients choose the names: what they choose must not grow without bound, here or among Python's interned strings,
            // which some versions never give up.
            let keep = name.len() <= LONGEST
                && self.known.read().expect("no code panics under this lock").len() < MOST;
            let key = HeaderKey::new(py, name, keep);
            if keep {
                let key = key.clone_ref(py);
                self.known.write().expect("no code panics under this lock").insert(name.into(), key);
            }
            key
        })
    }
}

impl HeaderKey {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Drop => Self::Drop,
            Self::ContentType => Self::ContentType,
            Self::ContentLength => Self::ContentLength,
            Self::TransferEncoding(key) => Self::TransferEncoding(key.clone_ref(py)),
            Self::Cookie(key) => Self::Cookie(key.clone_ref(py)),
            Self::Host(key) => Self::Host(key.clone_ref(py)),
            Self::Other(key) => Self::Other(key.clone_ref(py)),
        }
    }

    fn new(py: Python<'_>, name: &[u8], intern: bool) -> Self {
        // "X_Forwarded_For" would become the same key as "X-Forwarded-For"; "Proxy" would become HTTP_PROXY, which
        // HTTP clients take for the proxy to use.
        if name.contains(&b'_') || name.eq_ignore_ascii_case(b"proxy") {
            return Self::Drop;
        }
        let key: String = name
            .iter()
            .map(|&byte| if byte == b'-' { '_' } else { byte.to_ascii_uppercase() as char })
            .collect();
        let http = || {
            let key = format!("HTTP_{key}");
            if intern { PyString::intern(py, &key) } else { PyString::new(py, &key) }.unbind()
        };
        match key.as_str() {
            "CONTENT_TYPE" => Self::ContentType,
            "CONTENT_LENGTH" => Self::ContentLength,
            "TRANSFER_ENCODING" => Self::TransferEncoding(http()),
            "COOKIE" => Self::Cookie(http()),
            "HOST" => Self::Host(http()),
            _ => Self::Other(http()),
        }
    }
}

const MOST: usize = 1024;
const LONGEST: usize = 64;
