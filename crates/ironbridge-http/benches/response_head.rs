//! What putting the real head in the place of hyper's costs: every response pays it.

#![allow(missing_docs, reason = "criterion's macros make public functions without a doc comment")]

use std::{
    fs::File,
    hint::black_box,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ironbridge_exchange::{HeaderBlock, Peer, ResponseHead, kept::Kept, peer::Address};
use ironbridge_http::{
    gate::{
        lane::{Lane, Outgoing, OutgoingBody, TurnedAway},
        refusal::Refusal,
        transport::Transport,
        whole::Payload,
        writer::{Signature, Writer},
    },
    journal::{Entry, Journal},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What hyper makes of a response that it believes to be empty, and the response's body.
const MADE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const BODY: &[u8] = b"Hello, world!";

/// What a framework sends; the first two are what a small application sends.
const TEN: [(&[u8], &[u8]); 10] = [
    (b"Content-Type", b"text/html; charset=utf-8"),
    (b"X-Request-ID", b"01234567-89ab-cdef-0123-456789abcdef"),
    (b"Cache-Control", b"max-age=0, no-cache, no-store, must-revalidate, private"),
    (b"Expires", b"Tue, 01 Jul 2025 10:00:00 GMT"),
    (b"Vary", b"Cookie, Accept-Language, Accept-Encoding"),
    (b"Content-Language", b"en-gb"),
    (b"X-Frame-Options", b"DENY"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"same-origin"),
    (b"Set-Cookie", b"csrftoken=0123456789abcdef0123456789abcdef; Path=/; SameSite=Lax; Secure"),
];

fn write_heads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("response head");
    for (name, lines) in [("two lines", &TEN[..2]), ("ten lines", &TEN[..])] {
        let head = head(lines);
        let lane = Arc::new(Lane::default());
        let mut writer = Writer::new(Arc::clone(&lane), Signature { server: true, date: true });
        let mut cx = Context::from_waker(Waker::noop());
        let journal = Arc::new(Journal { counters: Arc::default(), access_log: None });
        group.bench_function(format!("write/{name}"), |bencher| {
            bencher.iter_batched(
                || outgoing(&lane, &head, journal.open_refused(Refusal::BadMethod, &peer())),
                |outgoing| {
                    lane.push_response(outgoing);
                    let written = writer.poll_write(&mut Sink, &mut cx, black_box(MADE));
                    assert!(matches!(written, Poll::Ready(Ok(n)) if n == MADE.len()));
                },
                BatchSize::SmallInput,
            );
        });
        assert!(lane.is_idle() && writer.is_empty());
    }
    group.finish();
}

fn head(lines: &[(&[u8], &[u8])]) -> ResponseHead {
    let mut block = HeaderBlock::default();
    for (name, value) in lines {
        block.push(name, value);
    }
    ResponseHead { lines: block, content_length: Some(BODY.len() as u64), ..ResponseHead::new(200) }
}

/// A response, and on the lane the request that it answers.
fn outgoing(lane: &Lane, head: &ResponseHead, entry: Entry) -> Outgoing {
    // The lane only counts what comes in; a refusal is the cheapest to make.
    lane.push_request(Err(TurnedAway { refusal: Refusal::BadMethod, head_only: false }));
    lane.take_request();
    let payload = Payload::Bytes(Bytes::from_static(BODY));
    Outgoing { head: head.clone(), body: OutgoingBody::Whole { payload, entry } }
}

fn peer() -> Arc<Peer> {
    Arc::new(Peer {
        connection: 1,
        remote: Address::Unix(None),
        local: Address::Unix(None),
        secure: false,
        kept: Kept::default(),
    })
}

/// A socket that takes everything at once.
struct Sink;

impl Transport for Sink {
    fn poll_send_file(
        &mut self,
        _: &mut Context<'_>,
        _: &File,
        _: u64,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(len))
    }

    fn unsent(&self) -> Option<u64> {
        None
    }

    fn reset_on_close(&self) {}
}

impl AsyncRead for Sink {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(bytes).len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

criterion_group!(benches, write_heads);
criterion_main!(benches);
