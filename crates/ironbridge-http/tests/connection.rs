//! Whole connections without sockets: what a client sends, cut anywhere, and what it gets.

#[path = "wall/checks.rs"]
mod checks;
#[path = "wall/response.rs"]
mod response;
#[path = "wall/mod.rs"]
mod wall;

use std::time::Duration;

use proptest::prelude::*;
use response::{Answer, read_all};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wall::{LARGE, Seen, Site, Wire, config};

/// The answers to `pieces`, sent one after another on one connection, and what the site saw.
async fn exchange(pieces: &[&[u8]]) -> (Vec<Answer>, Vec<u8>, Vec<Seen>) {
    let site = Site::default();
    let methods: Vec<&[u8]> = Vec::new();
    let bytes = checks::talk(&site, pieces.iter().map(|piece| piece.to_vec()).collect(), true).await;
    let (answers, rest) = read_all(&bytes, &methods).expect("a client understands it");
    (answers, rest, site.seen())
}

fn bodies(answers: &[Answer]) -> Vec<&[u8]> {
    answers.iter().map(|answer| &answer.body[..]).collect()
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_in_order_whatever_the_answer_is_made_of() {
    let (answers, rest, seen) = exchange(&[
        b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET /promised HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /none HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ])
    .await;
    assert_eq!(bodies(&answers), [b"one23", &b"abc"[..], &LARGE, b"one23", b"", b""]);
    assert_eq!(answers[0].header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(answers[3].header("Content-Length"), Some("5"));
    assert_eq!(answers[4].header("Content-Length"), None);
    assert_eq!(answers[5].header("Connection"), Some("close"));
    assert!(answers.iter().all(|answer| answer.header("x-Spelling") == Some("kept")));
    assert_eq!((rest.len(), seen.len()), (0, 6));
}

#[tokio::test(start_paused = true)]
async fn a_body_beyond_the_read_ahead_streams_with_backpressure() {
    let body = vec![b'x'; 5000];
    let head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n";
    let (answers, _, seen) = exchange(&[head, &body, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]).await;
    assert_eq!((answers.len(), answers[0].body == body), (2, true));
    assert!(seen[0].whole);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_breaks_off_ends_the_connection_without_looking_whole() {
    for target in ["/short", "/broken"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (answers, rest, seen) = exchange(&[request.as_bytes()]).await;
        assert_eq!((answers.len(), seen.len()), (0, 1), "{target}");
        assert!(rest.ends_with(b"short") || rest.ends_with(b"3\r\none\r\n"), "{:?}", rest.escape_ascii());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_midway_is_told_that_it_took_too_long() {
    for (sent, status) in [
        (&b"GET / HTT"[..], 408),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX", 408),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nabc", 408),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 408),
    ] {
        let site = Site::default();
        let bytes = checks::talk(&site, vec![sent.to_vec()], false).await;
        let (answers, rest) = read_all(&bytes, &[]).expect("a client understands it");
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [status]);
        assert!(rest.is_empty() && site.seen().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_left_and_counted() {
    let mut wire = Wire::new(Site::default(), config());
    wire.client.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("there is room");
    let begun = tokio::time::Instant::now();
    wire.server.await.expect("no panic");
    assert!((25..40).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(wire.front.journal.counters.snapshot().timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_the_client_takes_late_is_not_lost_meanwhile() {
    let mut wire = Wire::new(Site::default(), config());
    for _ in 0..2 {
        wire.client
            .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\ntaken")
            .await
            .expect("room");
        // Longer than idle connections stay awake, shorter than the write deadline.
        tokio::time::sleep(Duration::from_secs(20)).await;
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\ntaken") {
            let read = wire.client.read_buf(&mut response).await.expect("the server is there");
            assert!(read > 0, "{}", response.escape_ascii());
        }
        assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", response.escape_ascii());
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_sleeps_and_wakes_and_ends_when_its_time_is_over() {
    let mut wire = Wire::new(Site::default(), config());
    for _ in 0..3 {
        wire.client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the server is there");
        let mut head = [0; 1000];
        let read = wire.client.read(&mut head).await.expect("the server is there");
        assert!(head[..read].starts_with(b"HTTP/1.1 200 OK\r\n"));
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if tokio::time::timeout(Duration::from_secs(1), wire.client.read(&mut byte)).await.is_err() {
                break;
            }
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let begun = tokio::time::Instant::now();
    assert_eq!(wire.client.read(&mut [0]).await.expect("a clean end"), 0);
    assert!(begun.elapsed() <= Duration::from_secs(20), "{:?}", begun.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_bytes_are_answered_by_valid_responses_or_a_close(
        parts in prop::collection::vec(prop::sample::select(checks::PARTS), 0..30),
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut input = parts.concat();
        for (place, byte) in noise {
            let at = place.index(input.len() + 1);
            input.insert(at, byte);
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        cuts.sort_unstable();
        checks::connection(&input, &cuts);
    }
}
