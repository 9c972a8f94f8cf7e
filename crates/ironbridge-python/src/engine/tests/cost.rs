//! What the engine itself costs: context switches and processor time a job. Not part of the suite; run with
//! `cargo test --release -p ironbridge-python --lib cost -- --ignored --nocapture --test-threads 1`.

use std::{
    fs,
    future::poll_fn,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use super::{
    python::{Job, Model},
    slot::Slot,
};
use crate::engine::{pool::Pool, reactor::TokioReactor, scheduler::Policy, sys::own_cpu_time};

type TestPool = Pool<Model, TokioReactor>;

#[test]
#[ignore = "a measurement"]
fn instant_jobs() {
    measure("instant", 64, 64, 5_000, || Box::new(|_| {}));
    measure("10 us", 64, 64, 1_000, || Box::new(|_| compute(Duration::from_micros(10))));
    measure("150 us", 64, 64, 200, || Box::new(|_| compute(Duration::from_micros(150))));
    measure("1 ms", 64, 64, 50, || Box::new(|_| compute(Duration::from_millis(1))));
}

#[test]
#[ignore = "a measurement"]
fn jobs_one_at_a_time() {
    measure("instant, one connection", 64, 1, 100_000, || Box::new(|_| {}));
}

#[test]
#[ignore = "a measurement"]
fn jobs_that_sleep() {
    measure("sleep 5 ms, 256 connections", 64, 256, 50, || Box::new(|python| python.detached(|| block(5))));
    measure("sleep 5 ms, 64 connections", 64, 64, 50, || Box::new(|python| python.detached(|| block(5))));
    let mut count = 0;
    measure("10 % sleep 50 ms", 64, 48, 200, move || {
        count += 1;
        if count % 10 == 0 { Box::new(|python| python.detached(|| block(50))) } else { Box::new(|_| {}) }
    });
    let mut count = 0;
    measure("1 % sleep 50 ms", 64, 48, 1000, move || {
        count += 1;
        if count % 100 == 0 { Box::new(|python| python.detached(|| block(50))) } else { Box::new(|_| {}) }
    });
}

fn measure(name: &str, threads: usize, connections: usize, requests: usize, mut job: impl FnMut() -> Job) {
    let policy = Policy { threads, queue: 100_000, exclusive: true, slice: Duration::from_millis(1) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pool = Pool::new(Model::default(), TokioReactor::new(runtime), policy, Duration::from_secs(10));
    let (done, all_done) = mpsc::channel();
    for _ in 0..connections {
        let jobs: Vec<Job> = (0..requests).map(|_| job()).collect();
        pool.reactor.spawn(connect(Arc::clone(&pool), jobs, done.clone()));
    }
    let (switches, cpu, begin) = (switches_now(), process_cpu(), Instant::now());
    pool.start();
    let mut times: Vec<Duration> = (0..connections).flat_map(|_| all_done.recv().unwrap()).collect();
    let count = (connections * requests) as f64;
    let (wall, switches, cpu) = (begin.elapsed(), switches_now() - switches, process_cpu() - cpu);
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!(
        "{name:28} {:9.0}/s {:7.2} us CPU {:6.3} switches a job, p50 {:?} p99 {:?}, {} threads",
        count / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / count,
        switches as f64 / count,
        at(0.5),
        at(0.99),
        pool.interpreter.census().born,
    );
    let idle = switches_now();
    let (_never, nothing) = mpsc::channel::<()>();
    let _ = nothing.recv_timeout(Duration::from_millis(500));
    println!("{:28} {} switches in half an idle second", "", switches_now() - idle);
    pool.stop();
    assert_eq!(pool.join(Duration::from_secs(10)), 0);
}

async fn connect(pool: Arc<TestPool>, jobs: Vec<Job>, done: mpsc::Sender<Vec<Duration>>) {
    let mut times = Vec::with_capacity(jobs.len());
    for job in jobs {
        let begin = Instant::now();
        let slot = Slot::default();
        let (answer, waker) = (slot.clone(), Arc::clone(&pool));
        let job: Job = Box::new(move |python| {
            job(python);
            if let Some(waiter) = answer.put(()) {
                waker.wake(waiter);
            }
        });
        assert!(pool.submit(job).is_ok());
        poll_fn(|cx| slot.poll(cx)).await;
        times.push(begin.elapsed());
        // A real connection goes back to the system for its next request.
        tokio::task::yield_now().await;
    }
    let _ = done.send(times);
}

fn compute(time: Duration) {
    let begin = own_cpu_time();
    while own_cpu_time() - begin < time {}
}

fn block(millis: u64) {
    let (_never, nothing) = mpsc::channel::<()>();
    let _ = nothing.recv_timeout(Duration::from_millis(millis));
}

/// Context switches of all threads that live.
fn switches_now() -> u64 {
    let count = |path: std::path::PathBuf| -> u64 {
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
        lines.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum()
    };
    fs::read_dir("/proc/self/task").unwrap().map(|entry| count(entry.unwrap().path())).sum()
}

fn process_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
