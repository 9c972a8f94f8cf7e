//! The thread that brings lines from the queue to the file.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    queue::{Orders, Queue},
    sink::Sink,
};

/// Runs until the queue says stop.
pub(super) fn run(queue: &Queue, mut sink: Sink) {
    let _farewell = Farewell(queue);
    let mut losses = Losses { reported: 0, last: None, error: None };
    let mut batch = Vec::new();
    loop {
        let orders = queue.take(&mut batch);
        let failed = match write(&mut sink, &batch, orders) {
            Ok(()) => 0,
            Err(error) => {
                losses.error = Some(error);
                orders.lines
            }
        };
        queue.settle(orders.lines, failed);
        losses.report(orders.lost + failed, orders.stop);
        if orders.stop {
            return;
        }
        batch.clear();
        // A burst must not hold its memory for ever.
        batch.shrink_to(KEEP);
    }
}

fn write(sink: &mut Sink, batch: &[u8], orders: Orders) -> io::Result<()> {
    let Some(cut) = orders.reopen_at else { return sink.write(batch) };
    let (before, after) = batch.split_at(cut);
    let result = sink.write(before);
    if let Err(error) = sink.reopen() {
        tracing::warn!(%error, "cannot open the access log anew: the old file stays in use");
    }
    result.and(sink.write(after))
}

/// Lines that were lost, and what has been said about it. A log that stays stuck is mentioned now and then only.
struct Losses {
    reported: u64,
    last: Option<Instant>,
    error: Option<io::Error>,
}

impl Losses {
    fn report(&mut self, lost: u64, last_chance: bool) {
        let recently = self.last.is_some_and(|time| time.elapsed() < PAUSE);
        if lost == self.reported || (recently && !last_chance) {
            return;
        }
        let lines = lost - self.reported;
        match self.error.take() {
            Some(error) => tracing::warn!(lines, %error, "the access log cannot be written: lines are lost"),
            None => tracing::warn!(lines, "the access log is too slow: lines are lost"),
        }
        self.reported = lost;
        self.last = Some(Instant::now());
    }
}

/// Nobody waits for a writer that has ended, however it ended.
struct Farewell<'a>(&'a Queue);

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Bytes of room that the batch keeps between bursts.
const KEEP: usize = 256 << 10;
/// Between two warnings.
const PAUSE: Duration = Duration::from_secs(10);
