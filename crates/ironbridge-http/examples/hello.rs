//! The front end alone, without Python: `cargo run -p ironbridge-http --example hello -- --bind 127.0.0.1:8000`.
//!
//! It greets, and sends WebSocket messages back.

use std::{convert::Infallible, error::Error, future::poll_fn, sync::Arc};

use clap::Parser;
use ironbridge_exchange::{
    HeaderBlock, Request, Response, ResponseBody, ResponseHead,
    websocket::{Incoming, Socket},
};
use ironbridge_http::{
    access_log::AccessLog,
    config::HttpConfig,
    counters::Counters,
    journal::Journal,
    listener::{Listener, addresses},
    options::HttpOptions,
    server::{Drain, serve},
};

/// Answers every request with a greeting.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    http: HttpOptions,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Cli::parse().http;
    let mut listeners = Vec::new();
    for address in addresses(&options, None)? {
        let listener = Listener::bind(&address, &options)?;
        println!("{}", listener.url());
        listeners.push(listener.into_tokio()?);
    }
    let counters = Arc::new(Counters::default());
    let journal = Arc::new(Journal { counters, access_log: AccessLog::open(&options)? });
    serve(listeners, HttpConfig::from(&options), journal, tower::service_fn(hello), Drain::new()).await;
    Ok(())
}

async fn hello(request: Request) -> Result<Response, Infallible> {
    if let Some(offer) = request.websocket {
        let (socket, wire) = offer.accept();
        tokio::spawn(echo(socket));
        return Ok(Response { head: ResponseHead::new(101), body: ResponseBody::WebSocket(wire) });
    }
    let mut lines = HeaderBlock::default();
    lines.push(b"Content-Type", b"text/plain");
    let head = ResponseHead { lines, ..ResponseHead::new(200) };
    Ok(Response { head, body: ResponseBody::Bytes("Hello, world!\n".into()) })
}

async fn echo(socket: Socket) {
    let wake = |waker: Option<std::task::Waker>| waker.into_iter().for_each(std::task::Waker::wake);
    loop {
        let incoming = poll_fn(|cx| {
            let (incoming, waker) = socket.poll_receive(cx);
            wake(waker);
            incoming
        });
        let Incoming::Message(message) = incoming.await else { return };
        let Ok(waker) = socket.push(message) else { return };
        wake(waker);
        if poll_fn(|cx| socket.poll_room(cx)).await.is_err() {
            return;
        }
    }
}
