//! What reading a request's head costs: every request pays it.

#![allow(missing_docs, reason = "criterion's macros make public functions without a doc comment")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ironbridge_http::gate::{
    head::{HeadReader, HeadStep},
    limits::HeadLimits,
    minimal::minimal_head,
};

const LIMITS: HeadLimits = HeadLimits { request_line: 8192, head: 65536, fields: 100 };

/// What wrk sends.
const HELLO: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";

/// What a browser sends through a proxy: 20 lines.
const TWENTY: &[u8] = b"GET /shop/items?page=2&sort=price HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
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
    Connection: keep-alive\r\n\r\n";

fn read_heads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head");
    for (name, bytes) in [("hello", HELLO), ("twenty lines", TWENTY)] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("read/{name}"), |bencher| {
            bencher.iter(|| HeadReader::default().read(black_box(bytes), &LIMITS));
        });
        group.bench_function(format!("read again/{name}"), |bencher| {
            let mut reader = HeadReader::default();
            bencher.iter(|| reader.read(black_box(bytes), &LIMITS));
        });
        group.bench_function(format!("read and write minimal/{name}"), |bencher| {
            bencher.iter(|| match HeadReader::default().read(black_box(bytes), &LIMITS) {
                Ok(HeadStep::Complete { head, .. }) => minimal_head(&head).len(),
                _ => 0,
            });
        });
    }
    group.finish();
}

criterion_group!(benches, read_heads);
criterion_main!(benches);
