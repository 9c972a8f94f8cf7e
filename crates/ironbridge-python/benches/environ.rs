//! What making a WSGI environ costs, and dropping it: every request of a WSGI application pays it.

#![allow(missing_docs, reason = "criterion's macros make public functions without a doc comment")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, mpsc},
    time::Duration,
};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use ironbridge_exchange::{
    BodyFraming, Fields, Peer, Request, RequestBody, RequestHead, Version, fields::FieldLine, head::Target,
    hints::HintQueue, peer::Address,
};
use ironbridge_python::{
    here::Here,
    interface::{Interface, InterfaceChoice},
    options::{LifespanMode, PythonOptions},
    worker::Engine,
    wsgi::{environ::EnvironMaker, mount::Mount},
};
use pyo3::{Python, types::PyCFunction};
use tower::Service;

/// What wrk sends.
const HELLO: (&str, &str) = ("/", "Host: 127.0.0.1:8000\r\n");

/// What a browser sends through a proxy: 20 lines.
const TWENTY: (&str, &str) = (
    "/shop/items?page=2&sort=price",
    "Host: shop.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://shop.example.com/shop/items?page=1&sort=price\r\n\
    Cookie: sessionid=0123456789abcdef0123456789abcdef; csrftoken=0123456789abcdef0123456789abcdef\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-User: ?1\r\n\
    DNT: 1\r\n\
    Priority: u=0, i\r\n\
    If-Modified-Since: Tue, 01 Jul 2025 10:00:00 GMT\r\n\
    If-None-Match: \"0123456789abcdef\"\r\n\
    X-Forwarded-For: 203.0.113.7\r\n\
    X-Forwarded-Proto: https\r\n\
    X-Request-ID: 01234567-89ab-cdef-0123-456789abcdef\r\n\
    Connection: keep-alive\r\n",
);

fn make_environs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("environ");
    let here = here();
    Python::attach(|py| {
        let maker = EnvironMaker::new(py, Arc::new(Mount::new("")), true).expect("there is memory");
        for (name, (target, lines)) in [("hello", HELLO), ("twenty lines", TWENTY)] {
            // Nothing is taken out of a request without a body, so one serves for all.
            let mut request = request(target, lines);
            group.bench_function(format!("make/{name}"), |bencher| {
                bencher.iter(|| maker.make(py, &here, &mut request).expect("there is memory"));
            });
        }
    });
    group.finish();
}

/// The place of a request, taken from inside an application. The engine has ended before anything is measured.
fn here() -> Here {
    let (send, receive) = mpsc::channel();
    let engine = Python::attach(|py| {
        let application =
            PyCFunction::new_closure(py, None, None, move |_, _| drop(send.send(Here::current())))
                .expect("there is memory");
        Engine::new(py, application.into_any().unbind(), Interface::Wsgi, &OPTIONS, &Arc::default())
            .expect("the system gives a reactor")
    });
    let mut service = engine.service();
    engine.spawn(async move { drop(service.call(request(HELLO.0, HELLO.1)).await) });
    engine.start();
    let here = receive.recv_timeout(PATIENCE).expect("the application is called");
    assert_eq!(engine.stop(PATIENCE), 0, "threads still run");
    here.expect("an application is called in a place")
}

fn request(target: &'static str, lines: &'static str) -> Request {
    let head = RequestHead {
        method: Bytes::from_static(b"GET"),
        target: Target::from_slice(target.as_bytes()),
        version: Version::Http11,
        fields: fields(lines),
        framing: BodyFraming::None,
    };
    Request {
        head: Arc::new(head),
        body: RequestBody::Empty,
        peer: Arc::new(Peer {
            connection: 1,
            remote: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 50000))),
            local: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8000))),
            secure: false,
            kept: Default::default(),
        }),
        websocket: None,
        early_hints: Some(HintQueue::default().for_request(0)),
    }
}

fn fields(lines: &'static str) -> Fields {
    let mut start = 0;
    let lay = |line: &str| {
        let name = line.find(": ").expect("every line has a colon");
        let field = FieldLine {
            name_start: start,
            name_len: name as u32,
            value_start: start + name as u32 + 2,
            value_len: (line.trim_end().len() - name - 2) as u32,
        };
        start += line.len() as u32;
        field
    };
    let laid = lines.split_inclusive('\n').map(lay).collect();
    Fields::new(lines.as_bytes(), laid)
}

const OPTIONS: PythonOptions = PythonOptions {
    interface: InterfaceChoice::Wsgi,
    r#loop: String::new(),
    lifespan: LifespanMode::Off,
    lifespan_timeout: 0.0,
    request_timeout: 0.0,
    request_timeout_for: Vec::new(),
    request_warning: 0.0,
    asgi_spec_version: String::new(),
    cancel_on_disconnect: false,
    stall_warning: 0.0,
    threads: 1,
    thread_idle_timeout: 60.0,
    queue_size: 1,
    queue_timeout: 0.0,
    root_path: String::new(),
};

/// How long the engine may take to call the application, and to end.
const PATIENCE: Duration = Duration::from_secs(10);

criterion_group!(benches, make_environs);
criterion_main!(benches);
