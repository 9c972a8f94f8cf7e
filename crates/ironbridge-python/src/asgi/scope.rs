//! The scopes of HTTP requests and WebSockets (ASGI "HTTP & WebSocket": "HTTP Connection Scope", "WebSocket Connection Scope").

use std::{collections::HashMap, sync::RwLock};

use ironbridge_exchange::{
    Peer, Request, RequestHead, Version,
    peer::Address,
    target::{authority, path_and_query},
};
use pyo3::{
    Bound, Py, PyResult, Python,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyString, PyTuple},
};

use super::{names::Names, websocket::offered_subprotocols};
use crate::{names::Methods, wsgi::mount::percent_decode};

/// Makes scopes.
pub struct ScopeMaker {
    root_path: Vec<u8>,
    spec_version: Py<PyString>,
    version: Py<PyString>,
    /// What the application put into `state` while it started.
    state: Option<Py<PyDict>>,
    header_names: HeaderNames,
    methods: Methods,
}

/// What the scopes of all requests of one connection start from: a scope with every key that they have, so that a copy of it needs
/// no room for more, and with the values that stay the same.
struct Template(Py<PyDict>);

/// The header lines of a block that has come again.
struct RepeatedHeaders(Py<PyTuple>);

impl ScopeMaker {
    /// Scopes of an application that is told `spec_version`, at `root_path`, which is empty or starts with a slash and does not end with one.
    pub fn new(py: Python<'_>, root_path: &str, spec_version: &str, state: Option<Py<PyDict>>) -> Self {
        Self {
            root_path: root_path.as_bytes().to_vec(),
            spec_version: PyString::intern(py, spec_version).unbind(),
            version: PyString::intern(py, ASGI_VERSION).unbind(),
            state,
            header_names: HeaderNames::default(),
            methods: Methods::new(py),
        }
    }

    /// The scope of one HTTP request. Every dict in it is its own.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn http<'py>(
        &self,
        py: Python<'py>,
        names: &Names,
        request: &Request,
        takes_trailers: bool,
    ) -> PyResult<Bound<'py, PyDict>> {
        let peer = &request.peer;
        if peer.kept.get::<Template>().is_none() {
            peer.kept.keep(Template(self.template(py, names, peer)?.unbind()));
        }
        let scope = match peer.kept.get::<Template>() {
            Some(Template(template)) => template.bind(py).copy()?,
            // Somebody else keeps something with the connection.
            None => self.template(py, names, peer)?,
        };
        scope.set_item(&names.method, self.methods.string(py, &request.head.method)?)?;
        scope.set_item(&names.extensions, extensions(py, names, request, takes_trailers)?)?;
        self.put_request(&scope, names, &request.head)?;
        Ok(scope)
    }

    /// The scope of a WebSocket ("WebSocket Connection Scope"). Every dict in it is its own.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn websocket<'py>(
        &self,
        py: Python<'py>,
        names: &Names,
        request: &Request,
    ) -> PyResult<Bound<'py, PyDict>> {
        let scope = PyDict::new(py);
        scope.set_item(&names.type_, &names.websocket)?;
        scope.set_item(&names.scheme, if request.peer.secure { &names.wss } else { &names.ws })?;
        let subprotocols = PyList::empty(py);
        for offered in offered_subprotocols(&request.head) {
            subprotocols.append(String::from_utf8_lossy(offered))?;
        }
        scope.set_item(&names.subprotocols, subprotocols)?;
        let extensions = PyDict::new(py);
        extensions.set_item(&names.denial, PyDict::new(py))?;
        scope.set_item(&names.extensions, extensions)?;
        self.put_connection(&scope, names, &request.peer)?;
        self.put_request(&scope, names, &request.head)?;
        Ok(scope)
    }

    fn template<'py>(&self, py: Python<'py>, names: &Names, peer: &Peer) -> PyResult<Bound<'py, PyDict>> {
        let template = PyDict::new(py);
        template.set_item(&names.type_, &names.http)?;
        template.set_item(&names.scheme, if peer.secure { &names.https } else { &names.http })?;
        self.put_connection(&template, names, peer)?;
        let (target, rest) = (
            [&names.path, &names.raw_path, &names.query_string],
            [&names.method, &names.asgi, &names.headers, &names.extensions],
        );
        for name in target.into_iter().chain(rest) {
            template.set_item(name, py.None())?;
        }
        if self.state.is_some() {
            template.set_item(&names.state, py.None())?;
        }
        Ok(template)
    }

    /// What stays the same for all requests of a connection.
    fn put_connection(&self, scope: &Bound<'_, PyDict>, names: &Names, peer: &Peer) -> PyResult<()> {
        let py = scope.py();
        scope.set_item(&names.http_version, &names.v11)?;
        scope.set_item(&names.root_path, String::from_utf8_lossy(&self.root_path))?;
        scope.set_item(&names.client, client(py, &peer.remote)?)?;
        scope.set_item(&names.server, server(py, &peer.local)?)
    }

    fn put_request(&self, scope: &Bound<'_, PyDict>, names: &Names, head: &RequestHead) -> PyResult<()> {
        let py = scope.py();
        scope.set_item(&names.asgi, self.asgi(py, names)?)?;
        match head.version {
            Version::Http10 => scope.set_item(&names.http_version, &names.v10)?,
            Version::Http11 => {}
            Version::Http2 => scope.set_item(&names.http_version, &names.v2)?,
        }
        self.put_target(scope, names, head)?;
        scope.set_item(&names.headers, self.headers(py, head)?)?;
        if let Some(state) = &self.state {
            scope.set_item(&names.state, state.bind(py).copy()?)?;
        }
        Ok(())
    }

    /// The versions that the server speaks.
    fn asgi<'py>(&self, py: Python<'py>, names: &Names) -> PyResult<Bound<'py, PyDict>> {
        let asgi = PyDict::new(py);
        asgi.set_item(&names.version, &self.version)?;
        asgi.set_item(&names.spec_version, &self.spec_version)?;
        Ok(asgi)
    }

    fn put_target(&self, scope: &Bound<'_, PyDict>, names: &Names, head: &RequestHead) -> PyResult<()> {
        let py = scope.py();
        let (raw_path, query) = path_and_query(&head.target);
        let path = percent_decode(raw_path);
        scope.set_item(&names.query_string, PyBytes::new(py, query.unwrap_or_default()))?;
        if self.covers(&path) {
            scope.set_item(&names.path, String::from_utf8_lossy(&path))?;
            scope.set_item(&names.raw_path, PyBytes::new(py, raw_path))
        } else {
            // A proxy has taken the root off; the application is to see the whole path.
            let whole = [&self.root_path, &*path].concat();
            scope.set_item(&names.path, String::from_utf8_lossy(&whole))?;
            scope.set_item(&names.raw_path, PyBytes::new(py, &[&self.root_path, raw_path].concat()))
        }
    }

    fn covers(&self, path: &[u8]) -> bool {
        self.root_path.is_empty()
            || path == b"*"
            || path
                .strip_prefix(&*self.root_path)
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }

    /// Name and value of every line, in the order in which they came; names in lower case.
    fn headers<'py>(&self, py: Python<'py>, head: &RequestHead) -> PyResult<Bound<'py, PyList>> {
        if head.fields.is_repeated() && head.target.starts_with(b"/") {
            let kept = head.fields.kept();
            if kept.get::<RepeatedHeaders>().is_none() {
                kept.keep(RepeatedHeaders(self.make_headers(py, head)?.to_tuple().unbind()));
            }
            if let Some(RepeatedHeaders(lines)) = kept.get() {
                return Ok(lines.bind(py).to_list());
            }
        }
        self.make_headers(py, head)
    }

    fn make_headers<'py>(&self, py: Python<'py>, head: &RequestHead) -> PyResult<Bound<'py, PyList>> {
        let lines = PyList::empty(py);
        for (name, value) in head.fields.iter() {
            let name = self.header_names.get(py, name);
            // The authority of an absolute target overrides Host (RFC 9112 section 3.2.2).
            let value = match authority(&head.target) {
                Some(authority) if name.as_bytes(py) == b"host" => authority,
                _ => value,
            };
            lines.append((name, PyBytes::new(py, value)))?;
        }
        Ok(lines)
    }
}

/// What may be sent beyond the core events, each with a dict of its own.
fn extensions<'py>(
    py: Python<'py>,
    names: &Names,
    request: &Request,
    takes_trailers: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let extensions = PyDict::new(py);
    extensions.set_item(&names.pathsend, PyDict::new(py))?;
    extensions.set_item(&names.zerocopysend, PyDict::new(py))?;
    if request.early_hints.is_some() {
        extensions.set_item(&names.early_hint, PyDict::new(py))?;
    }
    if takes_trailers {
        extensions.set_item(&names.response_trailers, PyDict::new(py))?;
    }
    Ok(extensions)
}

fn client(py: Python<'_>, address: &Address) -> PyResult<Option<Py<PyTuple>>> {
    match address {
        Address::Tcp(tcp) => {
            Ok(Some((tcp.ip().to_canonical().to_string(), tcp.port()).into_pyobject(py)?.unbind()))
        }
        Address::Unix(_) => Ok(None),
    }
}

/// A unix socket stands as its path, without a port.
fn server(py: Python<'_>, address: &Address) -> PyResult<Option<Py<PyTuple>>> {
    match address {
        Address::Unix(Some(path)) => {
            Ok(Some((path.to_string_lossy().into_owned(), py.None()).into_pyobject(py)?.unbind()))
        }
        tcp => client(py, tcp),
    }
}

/// Remembers the names of headers as ASGI spells them.
#[derive(Default)]
struct HeaderNames {
    known: RwLock<HashMap<Box<[u8]>, Py<PyBytes>, foldhash::fast::RandomState>>,
}

impl HeaderNames {
    fn get(&self, py: Python<'_>, name: &[u8]) -> Py<PyBytes> {
        let known = self.known.read().expect("no code panics under this lock");
        if let Some(found) = known.get(name) {
            return found.clone_ref(py);
        }
        // Clients choose the names: what they choose must not grow without bound.
        let keep = name.len() <= LONGEST && known.len() < MOST;
        drop(known);
        let made = PyBytes::new(py, &name.to_ascii_lowercase()).unbind();
        if keep {
            let mut known = self.known.write().expect("no code panics under this lock");
            known.insert(name.into(), made.clone_ref(py));
        }
        made
    }
}

/// The version of ASGI itself.
pub const ASGI_VERSION: &str = "3.0";
const MOST: usize = 1024;
const LONGEST: usize = 64;
