//! What must hold for a connection whatever a client sends. The fuzz target calls this, and so does a property test.

#![allow(dead_code, unreachable_pub, reason = "the fuzz target uses a part of this")]

use std::time::Duration;

use ironbridge_exchange::BodyFraming;
use ironbridge_http::gate::{
    chunked::{ChunkedTracker, Piece},
    head::{HeadReader, HeadStep, Persistence},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    response::read_all,
    wall::{Seen, Site, Wire, body_for, config},
};

/// Sends `input`, in pieces that end at `cuts` and at its end, and nothing more. Panics unless every response is valid,
/// belongs to a request of `input`, in order, and the connection ends.
pub fn connection(input: &[u8], cuts: &[usize]) {
    let mut pieces = Vec::new();
    let mut from = 0;
    for &cut in cuts.iter().chain([&input.len()]) {
        pieces.push(input[from..cut].to_vec());
        from = cut;
    }
    let site = Site::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let bytes = runtime.expect("the system gives a runtime").block_on(talk(&site, pieces, false));
    let seen = site.seen();
    let (expected, turned_away) = requests(input);
    assert!(seen.len() <= expected.len(), "more requests than there are: {seen:?}");
    for (seen, expected) in seen.iter().zip(&expected) {
        assert_eq!((&seen.method, &seen.target), (&expected.method, &expected.target));
        if seen.whole {
            assert_eq!(seen.body.escape_ascii().to_string(), expected.body.escape_ascii().to_string());
        } else {
            assert!(expected.body.starts_with(&seen.body), "{seen:?}");
        }
    }
    // Also of a request that was turned away because of its body, and that the site never saw.
    let mut methods: Vec<&[u8]> = expected.iter().map(|request| &request.method[..]).collect();
    if turned_away.starts_with(b"HEAD ") {
        methods.push(b"HEAD");
    }
    let text = || bytes.escape_ascii().to_string();
    let (answers, rest) = read_all(&bytes, &methods).unwrap_or_else(|error| panic!("{error}: {}", text()));
    let breaks_off = |seen: &Seen| seen.target.starts_with(b"/short") || seen.target.starts_with(b"/broken");
    for (seen, answer) in seen.iter().zip(&answers).filter(|(seen, _)| seen.whole && !breaks_off(seen)) {
        let expected = if seen.method == "HEAD" { Vec::new() } else { body_for(seen) };
        assert_eq!(answer.body, expected, "not the answer to {seen:?}");
    }
    if !seen.last().is_some_and(breaks_off) {
        assert!(rest.is_empty(), "half a response: {}", text());
        assert!((seen.len()..=seen.len() + 1).contains(&answers.len()), "{answers:?} {seen:?}");
    }
}

/// Sends `pieces` and reads all that comes until the server closes. With `closes` the client ends its side afterwards;
/// without it waits, and time passes.
pub async fn talk(site: &Site, pieces: Vec<Vec<u8>>, closes: bool) -> Vec<u8> {
    let Wire { client, server, .. } = Wire::new(site.clone(), config());
    let (mut from, mut to) = tokio::io::split(client);
    let sending = tokio::spawn(async move {
        for piece in pieces {
            // The server may have had enough.
            if to.write_all(&piece).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if closes {
            // As long as a request is being answered, this would look as if the client had left.
            tokio::time::sleep(Duration::from_secs(60)).await;
            let _ = to.shutdown().await;
        }
        to
    });
    let mut bytes = Vec::new();
    let reading = from.read_to_end(&mut bytes);
    // Virtual seconds: longer than all deadlines together.
    tokio::time::timeout(Duration::from_secs(3600), reading)
        .await
        .expect("the connection ends")
        .expect("memory does not fail");
    drop(sending.await);
    tokio::time::timeout(Duration::from_secs(3600), server)
        .await
        .expect("the server's task ends")
        .expect("no panic");
    bytes
}

/// The requests in `input`, by the gate's pure half alone, and what follows them.
fn requests(mut input: &[u8]) -> (Vec<Seen>, &[u8]) {
    let mut requests = Vec::new();
    loop {
        let Ok(HeadStep::Complete { head: parsed, consumed }) =
            HeadReader::default().read(input, &config().limits.head)
        else {
            return (requests, input);
        };
        input = &input[consumed..];
        let mut seen = Seen {
            method: parsed.head.method.clone(),
            target: parsed.head.target.to_vec(),
            body: Vec::new(),
            whole: true,
        };
        let taken = match parsed.head.framing {
            BodyFraming::None => 0,
            BodyFraming::Length(length) => {
                let taken = input.len().min(usize::try_from(length).unwrap_or(usize::MAX));
                seen.body = input[..taken].to_vec();
                taken
            }
            BodyFraming::Chunked => dechunk(input, &mut seen.body),
        };
        input = &input[taken..];
        requests.push(seen);
        if parsed.connection == Persistence::Close {
            return (requests, b"");
        }
    }
}

fn dechunk(input: &[u8], body: &mut Vec<u8>) -> usize {
    let mut tracker = ChunkedTracker::new(config().limits.head.head);
    let mut at = 0;
    while let Ok(Some(piece)) = tracker.next(&input[at..]) {
        match piece {
            Piece::Framing { consumed } => at += consumed,
            Piece::Data { len } => {
                body.extend_from_slice(&input[at..at + len]);
                tracker.advance_data(len);
                at += len;
            }
            Piece::End { consumed } => return at + consumed,
        }
    }
    input.len()
}

/// Whole requests and what can go wrong with them, for mixtures.
pub const PARTS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /promised?x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /stream HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET /short HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
    b"POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 150\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n",
    b"Connection: close\r\n",
    b"GET / HTTP/1.1\r\n",
    b"Host: a\r\n",
    b"Content-Length: 4\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz",
    b"10\r\n0123456789abcdef\r\n",
    b"0\r\n\r\n",
    b"\r\n",
    b"\n",
];
