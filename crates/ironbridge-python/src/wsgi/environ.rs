//! environ (PEP 3333 "environ Variables"): a template that holds what never changes, copied and filled in.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use ironbridge_exchange::{
    BodyFraming, Peer, Request, RequestBody, RequestHead, Version,
    head::Target,
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
    ffi::{latin1, references, set_default},
    file_wrapper::FileWrapper,
    header_keys::{HeaderKey, HeaderKeys},
    input::Input,
    mount::{Mount, percent_decode},
    names::Names,
};
use crate::{here::Here, names::Methods};

/// Makes environs.
#[derive(Debug)]
pub struct EnvironMaker {
    names: Names,
    methods: Methods,
    keys: HeaderKeys,
    mount: Arc<Mount>,
    /// What every environ starts from.
    template: Py<PyDict>,
    /// The request line that the template has.
    blank: RequestLine,
}

/// What the environs of one connection start from; kept with it.
#[derive(Debug)]
struct ConnectionTemplate {
    environ: Py<PyDict>,
    /// Whether SERVER_NAME and SERVER_PORT are known: on unix sockets only Host can tell.
    names_server: bool,
    /// The input of requests without a body, as long as no application has kept one.
    input: Py<Input>,
    input_was_kept: AtomicBool,
    /// A request that has it is not over yet.
    input_is_used: AtomicBool,
}

/// A whole environ, made of a header block that its connection sends again and again; kept with that block.
#[derive(Debug)]
struct RepeatedTemplate {
    environ: Py<PyDict>,
    line: RequestLine,
}

/// The request line that a template has. (A whole head would hold the block with which its template is kept.)
#[derive(Debug)]
struct RequestLine {
    method: Bytes,
    target: Target,
    version: Version,
}

/// An environ, and what to do about its input when the request is over.
pub struct Environ<'py> {
    /// The dict.
    pub dict: Bound<'py, PyDict>,
    input: InputHandle<'py>,
}

enum InputHandle<'py> {
    /// This request's own.
    Own(Bound<'py, Input>),
    /// That of its connection; how many references there were to it before.
    Shared(Bound<'py, Input>, isize),
}

impl EnvironMaker {
    /// Prepares the template. `multithread`: the application may be called by several threads at once.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn new(py: Python<'_>, mount: Arc<Mount>, multithread: bool) -> PyResult<Self> {
        let names = Names::new(py);
        let template = template(py, &names, &mount)?;
        template.set_item(&names.wsgi_multithread, multithread)?;
        let methods = Methods::new(py);
        template.set_item(&names.request_method, &methods.get)?;
        let blank = RequestLine {
            method: Bytes::from_static(b"GET"),
            target: Target::new(),
            version: Version::Http11,
        };
        Ok(Self { names, methods, keys: HeaderKeys::default(), mount, template: template.unbind(), blank })
    }

    /// The names that the adapter looks up on Python objects.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The environ of one request. Takes the body out of `request`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn make<'py>(&self, py: Python<'py>, here: &Here, request: &mut Request) -> PyResult<Environ<'py>> {
        let connection = self.connection_template(py, &request.peer)?;
        let head = &request.head;
        let length = known_length(&request.body, head);
        let repeated = self.repeated_template(py, connection, request)?;
        let references = references(connection.input.bind(py));
        let dict = match repeated {
            Some(template) => {
                let dict = template.environ.bind(py).copy()?;
                if !template.line.is_of(head) {
                    self.put_request_line(&dict, &template.line, head)?;
                }
                dict
            }
            None => self.fill(py, connection, request)?,
        };
        if let Some(length) = length {
            dict.set_item(&self.names.content_length, length.to_string())?;
        }
        if !here.takes_hints() {
            dict.del_item(&self.names.wsgi_early_hints)?;
        }
        let body = std::mem::replace(&mut request.body, RequestBody::Empty);
        let has_body = !matches!(body, RequestBody::Empty);
        // A request that works on after its response may meet the next one of its connection: that one has its own.
        let input = if has_body
            || connection.input_was_kept.load(Ordering::Relaxed)
            || connection.input_is_used.swap(true, Ordering::Relaxed)
        {
            let input = Bound::new(py, Input::new(body, here.clone()))?;
            dict.set_item(&self.names.wsgi_input, &input)?;
            InputHandle::Own(input)
        } else {
            InputHandle::Shared(connection.input.bind(py).clone(), references)
        };
        Ok(Environ { dict, input })
    }

    /// What the environ of a request with this header block is copied from, if the block has come again.
    fn repeated_template<'a>(
        &self,
        py: Python<'_>,
        connection: &ConnectionTemplate,
        request: &'a Request,
    ) -> PyResult<Option<&'a RepeatedTemplate>> {
        let head = &request.head;
        // In other forms the target says more than a path, and the length of a chunked body is not in the block.
        let is_plain = head.target.starts_with(b"/") && head.framing != BodyFraming::Chunked;
        if !is_plain || !head.fields.is_repeated() {
            return Ok(None);
        }
        let kept = head.fields.kept();
        if kept.get::<RepeatedTemplate>().is_none() {
            let environ = self.fill(py, connection, request)?.unbind();
            kept.keep(RepeatedTemplate { environ, line: RequestLine::of(head) });
        }
        Ok(kept.get())
    }

    /// Everything that the head and the connection say.
    fn fill<'py>(
        &self,
        py: Python<'py>,
        connection: &ConnectionTemplate,
        request: &Request,
    ) -> PyResult<Bound<'py, PyDict>> {
        let head = &request.head;
        let dict = connection.environ.bind(py).copy()?;
        if !connection.names_server {
            self.put_server_from_host(&dict, head, request.peer.secure)?;
        }
        self.put_request_line(&dict, &self.blank, head)?;
        self.put_headers(&dict, head, known_length(&request.body, head).is_some())?;
        Ok(dict)
    }

    /// Puts the request line of `head` into a dict that has that of `before`.
    fn put_request_line(
        &self,
        dict: &Bound<'_, PyDict>,
        before: &RequestLine,
        head: &RequestHead,
    ) -> PyResult<()> {
        let (py, names) = (dict.py(), &self.names);
        if head.method != before.method {
            dict.set_item(&names.request_method, self.methods.string(py, &head.method)?)?;
        }
        let target = latin1(py, &head.target)?;
        dict.set_item(&names.raw_uri, &target)?;
        dict.set_item(&names.request_uri, &target)?;
        let (path, query) = path_and_query(&head.target);
        if query != path_and_query(&before.target).1 {
            dict.set_item(&names.query_string, latin1(py, query.unwrap_or_default())?)?;
        }
        let path = percent_decode(path);
        let below = self.mount.path_info(&path).unwrap_or(&path);
        // A bare path is the target itself, and the string for it is there already.
        let same = below == &head.target[..];
        dict.set_item(&names.path_info, if same { target } else { latin1(py, below)? })?;
        match head.version {
            version if version == before.version => {}
            Version::Http10 => dict.set_item(&names.server_protocol, &names.http_10)?,
            Version::Http11 => dict.set_item(&names.server_protocol, &names.http_11)?,
            Version::Http2 => dict.set_item(&names.server_protocol, &names.http_2)?,
        }
        Ok(())
    }

    fn connection_template<'a>(&self, py: Python<'_>, peer: &'a Peer) -> PyResult<&'a ConnectionTemplate> {
        if let Some(kept) = peer.kept.get() {
            return Ok(kept);
        }
        peer.kept.keep(self.make_connection_template(py, peer)?);
        Ok(peer.kept.get().expect("nobody else keeps something with a connection"))
    }

    fn make_connection_template(&self, py: Python<'_>, peer: &Peer) -> PyResult<ConnectionTemplate> {
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
        let input = Bound::new(py, Input::empty())?;
        environ.set_item(&names.wsgi_input, &input)?;
        Ok(ConnectionTemplate {
            environ: environ.unbind(),
            names_server: matches!(peer.local, Address::Tcp(_)),
            input: input.unbind(),
            input_was_kept: AtomicBool::new(false),
            input_is_used: AtomicBool::new(false),
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

    fn put_headers(&self, dict: &Bound<'_, PyDict>, head: &RequestHead, has_length: bool) -> PyResult<()> {
        let (py, names) = (dict.py(), &self.names);
        for (name, value) in head.fields.iter() {
            match self.keys.get(py, name) {
                HeaderKey::Drop | HeaderKey::ContentLength => {}
                HeaderKey::ContentType => dict.set_item(&names.content_type, latin1(py, value)?)?,
                HeaderKey::TransferEncoding(_) if has_length => {}
                HeaderKey::Host(key) => {
                    dict.set_item(key, latin1(py, authority(&head.target).unwrap_or(value))?)?;
                }
                HeaderKey::Cookie(key) => put_joined(dict, &key, value, b"; ")?,
                HeaderKey::TransferEncoding(key) | HeaderKey::Other(key) => {
                    put_joined(dict, &key, value, b", ")?;
                }
            }
        }
        Ok(())
    }
}

impl RequestLine {
    fn of(head: &RequestHead) -> Self {
        Self { method: head.method.clone(), target: head.target.clone(), version: head.version }
    }

    fn is_of(&self, head: &RequestHead) -> bool {
        self.target == head.target && self.method == head.method && self.version == head.version
    }
}

impl Environ<'_> {
    /// Whether the application was told that its client left before its request was complete.
    pub fn client_left(&self) -> bool {
        match &self.input {
            InputHandle::Own(input) => input.get().client_left(),
            InputHandle::Shared(..) => false,
        }
    }

    /// The request from `peer` is over: from now on its input raises. What the application has not kept serves the next
    /// request.
    pub fn end(self, peer: &Peer) {
        let Self { dict, input } = self;
        match input {
            InputHandle::Own(input) => input.get().close(),
            InputHandle::Shared(input, before) => {
                drop(dict);
                // One reference is ours.
                let was_kept = references(&input) - 1 > before;
                let Some(connection) = peer.kept.get::<ConnectionTemplate>() else { return };
                if was_kept {
                    connection.input_was_kept.store(true, Ordering::Relaxed);
                    input.get().close();
                }
                connection.input_is_used.store(false, Ordering::Relaxed);
            }
        }
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
    match (head.framing, body) {
        (BodyFraming::None, _) => None,
        (BodyFraming::Length(length), _) => Some(length),
        (BodyFraming::Chunked, RequestBody::Empty) => Some(0),
        (BodyFraming::Chunked, RequestBody::Bytes(bytes)) => Some(bytes.len() as u64),
        (BodyFraming::Chunked, RequestBody::Spooled { len, .. }) => Some(*len),
        (BodyFraming::Chunked, RequestBody::Stream(_)) => None,
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
    set(&names.wsgi_errors, Bound::new(py, ErrorStream)?.into_any().unbind())?;
    for (key, value) in [
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
