//! Closed-loop HTTP/1.1 load client on one thread: N connections, each with one request under way.
//!
//! The walk: [`plan`] reads the arguments, [`driver`] runs connections on one epoll, [`connection`] is one of
//! them, [`response`] finds where a response ends and [`websocket`] where a message does, [`record`] keeps latencies and writes the result.
//!
//! It speaks with the harness over stdin and stdout, so that counters start and stop around exactly the
//! measured requests: after the warm-up it prints `ready` and waits for a line; after the run it prints one
//! line of JSON and keeps its connections open until stdin says another line or ends.

mod connection;
mod driver;
mod plan;
mod record;
mod response;
mod websocket;

use std::io::{self, Write};
use std::process::ExitCode;

use driver::Driver;
use plan::{Limit, Plan};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("ironbridge-load: {message}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let plan = Plan::from_args(std::env::args().skip(1))?;
    let mut driver = Driver::new(&plan).map_err(|error| format!("epoll: {error}"))?;
    driver.run(Limit::Time(plan.warmup)).map_err(|error| format!("warm-up: {error}"))?;
    say("ready").and_then(|()| hear()).map_err(|error| format!("harness: {error}"))?;
    let record = driver.run(plan.limit).map_err(|error| format!("run: {error}"))?;
    say(&record.to_json(&plan)).and_then(|()| hear()).map_err(|error| format!("harness: {error}"))
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn hear() -> io::Result<()> {
    io::stdin().read_line(&mut String::new()).map(drop)
}
