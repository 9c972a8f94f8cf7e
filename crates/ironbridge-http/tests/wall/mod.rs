//! A connection without sockets: an in-memory client on one side, a handler in Rust on the other, and time that passes only
//! when everybody waits.

#![allow(dead_code, unreachable_pub, reason = "each test crate uses its own part of this")]

use std::{
    convert::Infallible,
    fs::File,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use ironbridge_exchange::{
    HeaderBlock, Peer, Request, RequestBody, Response, ResponseBody, ResponseHead, kept::Kept, peer::Address,
    pipe,
};
use ironbridge_http::{
    config::{Buffering, HttpConfig},
    connection::{self, Front},
    deadline::{Deadlines, Timeouts},
    gate::{limits::HeadLimits, reader::ReadLimits, transport::Transport, writer::Signature},
    journal::Journal,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    task::JoinHandle,
};

/// The client's end of a connection, and the server's task.
pub struct Wire {
    pub client: DuplexStream,
    pub server: JoinHandle<()>,
    pub front: Arc<Front>,
}

/// The server's end.
pub struct Memory(DuplexStream);

/// What the handler saw of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub method: Bytes,
    pub target: Vec<u8>,
    /// The body, as far as it could be read.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub whole: bool,
}

/// Answers by the request's path; see [`answer`]. Clones share what they have seen.
#[derive(Debug, Clone, Default)]
pub struct Site {
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Wire {
    /// A connection that `site` answers. To be made inside a runtime.
    pub fn new(site: Site, config: HttpConfig) -> Self {
        let deadlines = Deadlines::new(config.timeouts);
        tokio::spawn(Arc::clone(&deadlines).run());
        let journal = Arc::new(Journal { counters: Arc::default(), access_log: None });
        let front = Arc::new(Front { config, deadlines, journal });
        let (client, server) = duplex(PIPE);
        let peer = Peer {
            connection: 1,
            remote: Address::Unix(None),
            local: Address::Unix(None),
            secure: false,
            kept: Kept::default(),
        };
        let serving = connection::serve(Memory(server), peer, Arc::clone(&front), site);
        Self { client, server: tokio::spawn(serving), front }
    }
}

impl Site {
    /// The requests that it has answered, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no code panics under this lock").clone()
    }
}

impl tower::Service<Request> for Site {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let site = self.clone();
        Box::pin(async move {
            let Request { head, body, .. } = request;
            let (body, whole) = read(body).await;
            let seen = Seen { method: head.method.clone(), target: head.target.to_vec(), body, whole };
            let response = answer(&seen);
            site.seen.lock().expect("no code panics under this lock").push(seen);
            Ok(response)
        })
    }
}

async fn read(body: RequestBody) -> (Vec<u8>, bool) {
    match body {
        RequestBody::Empty => (Vec::new(), true),
        RequestBody::Bytes(bytes) => (bytes.to_vec(), true),
        RequestBody::Spooled { .. } => unreachable!("the tests do not spool"),
        RequestBody::Stream(mut receiver) => {
            let mut body = Vec::new();
            loop {
                let item = std::future::poll_fn(|cx| {
                    let (poll, waker) = receiver.poll_chunk(cx);
                    waker.into_iter().for_each(std::task::Waker::wake);
                    poll
                });
                match item.await {
                    Some(Ok(chunk)) => body.extend_from_slice(&chunk),
                    Some(Err(_)) => return (body, false),
                    None => return (body, true),
                }
            }
        }
    }
}

/// `/stream`: five bytes in two chunks; `/promised`: the same with Content-Length; `/large`: more than a pipe holds;
/// `/none`: 204; `/short`: less than promised; `/broken`: a stream that breaks off; else the request's body.
fn answer(seen: &Seen) -> Response {
    let path = seen.target.split(|&byte| byte == b'?').next().unwrap_or_default();
    let (status, length, body) = match path {
        b"/stream" => (200, None, stream(&[b"one", b"", b"23"], true)),
        b"/promised" => (200, Some(5), stream(&[b"one", b"23"], true)),
        b"/broken" => (200, None, stream(&[b"one"], false)),
        b"/large" => (200, None, ResponseBody::Bytes(Bytes::from_static(&LARGE))),
        b"/none" => (204, None, ResponseBody::Empty),
        b"/short" => (200, Some(10), ResponseBody::Bytes(Bytes::from_static(b"short"))),
        _ => (200, None, ResponseBody::Bytes(seen.body.clone().into())),
    };
    let mut lines = HeaderBlock::default();
    lines.push(b"x-Spelling", b"kept");
    Response { head: ResponseHead { lines, content_length: length, ..ResponseHead::new(status) }, body }
}

/// The body of the answer to a request that was read whole.
pub fn body_for(seen: &Seen) -> Vec<u8> {
    match seen.target.split(|&byte| byte == b'?').next().unwrap_or_default() {
        b"/stream" | b"/promised" => b"one23".to_vec(),
        b"/large" => LARGE.to_vec(),
        b"/none" => Vec::new(),
        _ => seen.body.clone(),
    }
}

fn stream(chunks: &[&'static [u8]], ends: bool) -> ResponseBody {
    let (sender, receiver) = pipe::pipe(1000);
    for chunk in chunks {
        sender.push(Bytes::from_static(chunk)).expect("the receiver is here");
    }
    if ends {
        sender.finish();
    }
    ResponseBody::Stream(receiver)
}

/// What the tests' servers are told: small limits, so that they are met.
pub fn config() -> HttpConfig {
    HttpConfig {
        limits: ReadLimits { head: HeadLimits { request_line: 200, head: 600, fields: 8 }, body: 10_000 },
        timeouts: Timeouts {
            head: Duration::from_secs(15),
            keep_alive: Duration::from_secs(75),
            body: Duration::from_secs(10),
            body_min_rate: 10,
            write: Duration::from_secs(30),
        },
        buffering: Buffering { memory: 100, spool: false, asks_early: true },
        signature: Signature { server: true, date: true },
        health_path: None,
        max_connections: 10,
        websocket: None,
    }
}

impl Transport for Memory {
    fn poll_send_file(&mut self, _: &mut Context<'_>, _: &File, _: u64, _: usize) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn unsent(&self) -> Option<u64> {
        None
    }

    fn reset_on_close(&self) {}
}

impl AsyncRead for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Memory {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Bytes that the wire holds in each direction: less than many a message.
const PIPE: usize = 64;
/// A body that is not copied behind its head.
pub static LARGE: [u8; 20_000] = [b'L'; 20_000];
