//! Instant, blocking, computing and streaming jobs at once, on tokio: every request is answered once.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use super::{
    python::{Job, Model},
    slot::Slot,
    within::within,
};
use crate::engine::{pool::Pool, reactor::TokioReactor, scheduler::Policy, sys::own_cpu_time};

type TestPool = Pool<Model, TokioReactor>;

#[test]
fn one_thread_answers_every_request_once() {
    storm(1, 64, 30);
}

#[test]
fn two_threads_answer_every_request_once() {
    storm(2, 64, 30);
}

#[test]
fn eight_threads_answer_every_request_once() {
    storm(8, 128, 30);
}

#[test]
fn sixty_four_threads_answer_every_request_once() {
    storm(64, 256, 30);
}

#[test]
fn five_hundred_and_twelve_threads_answer_every_request_once() {
    storm(512, 1024, 10);
}

#[test]
fn a_small_queue_refuses_and_loses_nothing() {
    let policy = Policy { queue: 4, ..policy(4) };
    storm_with(policy, 64, 20);
}

#[test]
fn without_a_gil_every_request_is_answered_once() {
    let policy = Policy { exclusive: false, ..policy(16) };
    storm_with(policy, 64, 30);
}

fn storm(threads: usize, connections: usize, requests: usize) {
    storm_with(policy(threads), connections, requests);
}

fn policy(threads: usize) -> Policy {
    Policy { threads, queue: 100_000, exclusive: true, slice: Duration::from_millis(1) }
}

fn storm_with(policy: Policy, connections: usize, requests: usize) {
    within(Duration::from_secs(60), move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let pool = Pool::new(Model::default(), TokioReactor::new(runtime), policy, Duration::from_secs(10));
        let answers = Arc::new(AtomicUsize::new(0));
        let (done, all_done) = mpsc::channel();
        for connection in 0..connections {
            let (pool, answers, done) = (Arc::clone(&pool), Arc::clone(&answers), done.clone());
            let task = connect(Arc::clone(&pool), connection, requests, answers, done);
            pool.reactor.spawn(task);
        }
        drop(done);
        pool.start();
        for _ in 0..connections {
            all_done.recv().unwrap();
        }
        assert_eq!(answers.load(Ordering::SeqCst), connections * requests);
        assert!(pool.stop().is_empty());
        assert_eq!(pool.join(Duration::from_secs(10)), 0);
        let census = pool.interpreter.census();
        assert_eq!(census.alive, 0);
        assert!(census.born <= policy.threads, "{census:?}");
        if policy.exclusive {
            assert_eq!(census.most_attaching, 1, "at most one thread waits for the interpreter");
        }
    });
}

/// A connection that asks one question after another.
async fn connect(
    pool: Arc<TestPool>,
    connection: usize,
    requests: usize,
    answers: Arc<AtomicUsize>,
    done: mpsc::Sender<()>,
) {
    for request in 0..requests {
        let question = connection * requests + request;
        assert_eq!(ask(&pool, question).await, question);
        answers.fetch_add(1, Ordering::SeqCst);
    }
    let _ = done.send(());
}

async fn ask(pool: &Arc<TestPool>, question: usize) -> usize {
    let slot = Slot::default();
    let mut job = job_for(pool, question, slot.clone());
    while let Err(refused) = pool.submit(job) {
        job = refused;
        tokio::task::yield_now().await;
    }
    poll_fn(|cx| slot.poll(cx)).await
}

/// Eight in ten are instant, the others compute, block or stream.
fn job_for(pool: &Arc<TestPool>, question: usize, slot: Slot<usize>) -> Job {
    let work: Job = match question % 40 {
        0 => Box::new(|_| compute(Duration::from_millis(2))),
        1..=4 => Box::new(|python| python.detached(|| block(Duration::from_millis(3)))),
        5..=7 => stream(Arc::clone(pool)),
        _ => Box::new(|_| {}),
    };
    let pool = Arc::clone(pool);
    Box::new(move |python| {
        work(python);
        if let Some(waiter) = slot.put(question) {
            pool.wake(waiter);
        }
    })
}

fn compute(time: Duration) {
    let begin = own_cpu_time();
    while own_cpu_time() - begin < time {}
}

fn block(time: Duration) {
    let (_never, nothing) = mpsc::channel::<()>();
    let begin = Instant::now();
    assert!(nothing.recv_timeout(time).is_err());
    assert!(begin.elapsed() >= time);
}

/// Reads three chunks that come from the reactor.
fn stream(pool: Arc<TestPool>) -> Job {
    Box::new(move |python| {
        let (send, mut chunks) = tokio::sync::mpsc::channel(1);
        pool.reactor.spawn(async move {
            for chunk in 0..3 {
                tokio::task::yield_now().await;
                send.send(chunk).await.unwrap();
            }
        });
        for chunk in 0..3 {
            let got = python.detached(|| pool.wait(python.me, |cx, _| chunks.poll_recv(cx)));
            assert_eq!(got, Some(chunk));
        }
    })
}
