//! environ (PEP 3333 "environ Variables"): a template that holds what never changes, copied and filled in.

use std::sync::Arc;

use ironbridge_exchange::{
    Peer, Request, RequestBody, RequestHead, Version,
    peer::Address,
    target::{authority, path_and_query},
};
use pyo3::{
    Bound, Py, PyAny, PyResult, Python,
    prelude::*,
    types::{PyDict, PyString},
};

use super::{
    early_hints::EarlyHintsCallable,
    error_stream::ErrorStream,
    ffi::{latin1, set_default},
    file_wrapper::FileWrapper,
    header_keys::{HeaderKey, HeaderKeys},
    input::Input,
    mount::{Mount, percent_decode},
    names::Names,
};
use crate::here::Here;

/// Makes environs.
#[derive(Debug)]
pub struct EnvironMaker {
    names: Names,
    keys: HeaderKeys,
    mount: Arc<Mount>,
    /// What every environ starts from.
    template: Py<PyDict>,
}

/// What the environs of one connection start from; kept with it.
#[derive(Debug)]
struct ConnectionTemplate {
    environ: Py<PyDict>,
    /// Whether SERVER_NAME and SERVER_PORT are known: on unix sockets only Host can tell.
    names_server: bool,
}

impl EnvironMaker {
    /// Prepares the template.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn new(py: Python<'_>, mount: Arc<Mount>) -> PyResult<Self> {
        let names = Names::new(py);
        let template = template(py, &names, &mount)?;
        Ok(Self { names, keys: HeaderKeys::default(), mount, template: template.unbind() })
    }

    /// The names that the adapter looks up on Python objects.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The environ of one request. Takes the body out of `request`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn make<'py>(
        &self,
        py: Python<'py>,
        here: &Here,
        request: &mut Request,
    ) -> PyResult<(Bound<'py, PyDict>, Option<Bound<'py, Input>>)> {
        let head = &request.head;
        let kept = ConnectionTemplate::of(self, py, &request.peer)?;
        let environ = kept.environ.bind(py).copy()?;
        if !kept.names_server {
            self.put_server_from_host(&environ, head, request.peer.secure)?;
        }
        self.put_request_line(&environ, head)?;
        let length = known_length(&request.body, head);
        self.put_headers(&environ, head, length)?;
        let body = std::mem::replace(&mut request.body, RequestBody::Empty);
        let input = match body {
            RequestBody::Empty => None,
            body => {
                let input = Bound::new(py, Input::new(body, here.clone()))?;
                environ.set_item(&self.names.wsgi_input, &input)?;
                Some(input)
            }
        };
        if request.early_hints.is_none() {
            environ.del_item(&self.names.wsgi_early_hints)?;
        }
        Ok((environ, input))
    }

    fn put_request_line(&self, environ: &Bound<'_, PyDict>, head: &RequestHead) -> PyResult<()> {
        let (py, names) = (environ.py(), &self.names);
        if &head.method[..] != b"GET" {
            environ.set_item(&names.request_method, names.method(py, &head.method)?)?;
        }
        let target = latin1(py, &head.target)?;
        environ.set_item(&names.raw_uri, &target)?;
        environ.set_item(&names.request_uri, &target)?;
        let (path, query) = path_and_query(&head.target);
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            environ.set_item(&names.query_string, latin1(py, query)?)?;
        }
        let path = percent_decode(path);
        let below = self.mount.path_info(&path).unwrap_or(&path);
        // A bare path is the target itself, and the string for it is there already.
        let same = below == &head.target[..];
        environ.set_item(&names.path_info, if same { target } else { latin1(py, below)? })?;
        match head.version {
            Version::Http11 => {}
            Version::Http10 => environ.set_item(&names.server_protocol, &names.http_10)?,
            Version::Http2 => environ.set_item(&names.server_protocol, &names.http_2)?,
        }
        Ok(())
    }

    fn connection_template(&self, py: Python<'_>, peer: &Peer) -> PyResult<ConnectionTemplate> {
        let names = &self.names;
        let environ = self.template.bind(py).copy()?;
        if let Address::Tcp(remote) = &peer.remote {
            environ.set_item(&names.remote_addr, remote.ip().to_canonical().to_string())?;
            environ.set_item(&names.remote_port, remote.port().to_string())?;
        }
        if let Address::Tcp(local) = &peer.local {
            environ.set_item(&names.server_name, local.ip().to_canonical().to_string())?;
            environ.set_item(&names.server_port, local.port().to_string())?;
        }
        if peer.secure {
            environ.set_item(&names.wsgi_url_scheme, &names.https)?;
        }
        Ok(ConnectionTemplate {
            environ: environ.unbind(),
            names_server: matches!(peer.local, Address::Tcp(_)),
        })
    }

    fn put_server_from_host(
        &self,
        environ: &Bound<'_, PyDict>,
        head: &RequestHead,
        secure: bool,
    ) -> PyResult<()> {
        let (name, port) = server_from_host(head, secure);
        environ.set_item(&self.names.server_name, latin1(environ.py(), &name)?)?;
        environ.set_item(&self.names.server_port, latin1(environ.py(), &port)?)
    }

    fn put_headers(
        &self,
        environ: &Bound<'_, PyDict>,
        head: &RequestHead,
        length: Option<u64>,
    ) -> PyResult<()> {
        let (py, names) = (environ.py(), &self.names);
        for (name, value) in head.fields.iter() {
            self.keys.with(py, name, |key| match key {
                HeaderKey::Drop | HeaderKey::ContentLength => Ok(()),
                HeaderKey::ContentType => environ.set_item(&names.content_type, latin1(py, value)?),
                HeaderKey::TransferEncoding(_) if length.is_some() => Ok(()),
                HeaderKey::Host(key) => {
                    let host = authority(&head.target).unwrap_or(value);
                    environ.set_item(key, latin1(py, host)?)
                }
                HeaderKey::Cookie(key) => put_joined(environ, key, value, b"; "),
                HeaderKey::TransferEncoding(key) | HeaderKey::Other(key) => {
                    put_joined(environ, key, value, b", ")
                }
            })?;
        }
        if let Some(length) = length {
            environ.set_item(&names.content_length, length.to_string())?;
        }
        Ok(())
    }
}

impl ConnectionTemplate {
    fn of(maker: &EnvironMaker, py: Python<'_>, peer: &Peer) -> PyResult<Arc<Self>> {
        if let Some(kept) = peer.kept::<Self>() {
            return Ok(kept);
        }
        Ok(peer.keep(Arc::new(maker.connection_template(py, peer)?)))
    }
}

/// SERVER_NAME and SERVER_PORT where the listener has none: from Host, else as PEP 3333 allows them to be guessed.
fn server_from_host(head: &RequestHead, secure: bool) -> (Vec<u8>, Vec<u8>) {
    let default_port: &[u8] = if secure { b"443" } else { b"80" };
    let host = authority(&head.target).or_else(|| head.fields.get("host")).unwrap_or_default();
    let colon = host.iter().rposition(|&byte| byte == b':').filter(|&at| !host[at..].contains(&b']'));
    let (name, port) = match colon {
        Some(at) => (&host[..at], &host[at + 1..]),
        None => (host, default_port),
    };
    let name = if name.is_empty() { &b"localhost"[..] } else { name };
    (name.to_vec(), if port.is_empty() { default_port } else { port }.to_vec())
}

/// CONTENT_LENGTH: known from the head, or because the whole body is here.
fn known_length(body: &RequestBody, head: &RequestHead) -> Option<u64> {
    use ironbridge_exchange::BodyFraming::{Chunked, Length, None as Nothing};
    match (head.framing, body) {
        (Length(length), _) => Some(length),
        (Nothing, _) => None,
        (Chunked, RequestBody::Empty) => Some(0),
        (Chunked, RequestBody::Bytes(bytes)) => Some(bytes.len() as u64),
        (Chunked, RequestBody::Spooled { len, .. }) => Some(*len),
        (Chunked, RequestBody::Stream(_)) => None,
    }
}

fn put_joined(
    environ: &Bound<'_, PyDict>,
    key: &Py<PyString>,
    value: &[u8],
    separator: &[u8],
) -> PyResult<()> {
    let py = environ.py();
    let text = latin1(py, value)?;
    if let Some(before) = set_default(environ, key, &text)? {
        let joined = before.add(latin1(py, separator)?)?.add(text)?;
        environ.set_item(key, joined)?;
    }
    Ok(())
}

fn template<'py>(py: Python<'py>, names: &Names, mount: &Mount) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let set = |key: &Py<PyString>, value: Py<PyAny>| dict.set_item(key, value);
    set(&names.request_method, names.get.clone_ref(py).into_any())?;
    set(&names.script_name, latin1(py, mount.script_name())?.into_any().unbind())?;
    for blank in [&names.path_info, &names.query_string, &names.raw_uri, &names.request_uri] {
        set(blank, names.empty.clone_ref(py).into_any())?;
    }
    for blank in [&names.server_name, &names.server_port, &names.remote_addr, &names.remote_port] {
        set(blank, names.empty.clone_ref(py).into_any())?;
    }
    set(&names.server_protocol, names.http_11.clone_ref(py).into_any())?;
    set(&names.server_software, PyString::new(py, SERVER_SOFTWARE).into_any().unbind())?;
    set(&names.wsgi_version, (1, 0).into_pyobject(py)?.into_any().unbind())?;
    set(&names.wsgi_url_scheme, names.http.clone_ref(py).into_any())?;
    set(&names.wsgi_input, Bound::new(py, Input::empty())?.into_any().unbind())?;
    set(&names.wsgi_errors, Bound::new(py, ErrorStream)?.into_any().unbind())?;
    for (key, value) in [
        (&names.wsgi_multithread, true),
        (&names.wsgi_multiprocess, false),
        (&names.wsgi_run_once, false),
        (&names.wsgi_input_terminated, true),
    ] {
        dict.set_item(key, value)?;
    }
    dict.set_item(&names.wsgi_file_wrapper, py.get_type::<FileWrapper>())?;
    dict.set_item(&names.wsgi_early_hints, Bound::new(py, EarlyHintsCallable)?)?;
    Ok(dict)
}

/// SERVER_SOFTWARE.
const SERVER_SOFTWARE: &str = concat!("ironbridge/", env!("CARGO_PKG_VERSION"));
