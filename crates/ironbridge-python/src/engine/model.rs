//! The whole engine under a model checker: leadership, parking and hand-over, with every thread's steps in random order.
//!
//! Locks, threads, time and clocks are the checker's (see [`super::sync`]); a lost wake-up shows as a deadlock. Run with
//! `cargo test -p ironbridge-python --features model model::`.

use std::{sync::Arc, task::Waker, time::Duration};

use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler},
};

use super::{
    pool::Pool,
    scheduler::Policy,
    sync::{Mutex, thread},
    tests::{
        fake_reactor::FakeReactor,
        python::{Job, Model},
        slot::Slot,
    },
};

type TestPool = Pool<Model, FakeReactor>;

#[test]
fn every_answer_reaches_its_connection() {
    check(|| {
        with_pool(2, |pool| {
            let answers: Vec<_> = (0..3).map(|_| request(pool, Box::new(|_| {}))).collect();
            answers.iter().for_each(wait_for);
        });
    });
}

#[test]
fn a_thread_that_retires_while_it_is_summoned_does_its_job() {
    check(|| {
        with_pool(3, |pool| {
            for _ in 0..3 {
                let answers = [request(pool, Box::new(|_| {})), request(pool, Box::new(|_| {}))];
                answers.iter().for_each(wait_for);
            }
        });
    });
}

#[test]
fn a_leader_that_blocks_is_replaced() {
    check(|| {
        with_pool(2, |pool| {
            let gate = Slot::default();
            let blocked = request(pool, blocking(&gate));
            let opener = request(pool, Box::new(move |_| open(&gate)));
            wait_for(&blocked);
            wait_for(&opener);
        });
    });
}

#[test]
fn the_watchdog_leads_while_every_thread_blocks_and_gives_the_lead_back() {
    check(|| {
        with_pool(1, |pool| {
            for _ in 0..2 {
                let gate = Slot::default();
                let blocked = request(pool, blocking(&gate));
                pool.reactor.deliver(move || open(&gate));
                wait_for(&blocked);
            }
            wait_for(&request(pool, Box::new(|_| {})));
        });
    });
}

#[test]
fn with_every_other_thread_blocked_the_leader_works_too() {
    check(|| {
        with_pool(3, |pool| {
            let gates = [Slot::default(), Slot::default()];
            let blocked = gates.clone().map(|gate| request(pool, blocking(&gate)));
            let opener = request(pool, Box::new(move |_| gates.iter().for_each(open)));
            wait_for(&opener);
            blocked.iter().for_each(wait_for);
        });
    });
}

#[test]
fn a_thread_that_waits_for_its_client_has_a_driven_reactor() {
    check(|| {
        with_pool(2, |pool| {
            let clients = [Slot::default(), Slot::default()];
            let answers = clients.clone().map(|client| request(pool, waiting(pool, &client)));
            let other = request(pool, Box::new(|_| {}));
            for client in clients {
                pool.reactor.deliver(move || open(&client));
            }
            wait_for(&other);
            answers.iter().for_each(wait_for);
        });
    });
}

#[test]
fn a_wait_that_ends_in_a_block_is_seen_by_the_watchdog() {
    check(|| {
        with_pool(2, |pool| {
            let (client, gate) = (Slot::default(), Slot::default());
            let (first, then) = (waiting(pool, &client), blocking(&gate));
            let answer = request(
                pool,
                Box::new(move |python| {
                    first(python);
                    then(python);
                }),
            );
            pool.reactor.deliver(move || open(&client));
            pool.reactor.deliver(move || open(&gate));
            wait_for(&answer);
        });
    });
}

#[test]
fn without_a_gil_every_answer_reaches_its_connection() {
    check(|| {
        let policy = Policy { exclusive: false, ..policy(2) };
        with_policy(policy, |pool| {
            let answers: Vec<_> = (0..3).map(|_| request(pool, Box::new(|_| {}))).collect();
            answers.iter().for_each(wait_for);
        });
    });
}

#[test]
fn a_stop_at_any_time_loses_no_job_and_leaves_no_thread() {
    check(|| {
        let pool = pool(policy(2));
        let (gate, client) = (Slot::default(), Slot::default());
        let tally = Arc::new(Tally::default());
        let jobs: [Job; 4] = [Box::new(|_| {}), blocking(&gate), waiting(&pool, &client), Box::new(|_| {})];
        for job in jobs {
            submit_counted(&pool, &tally, job);
        }
        pool.reactor.deliver(move || open(&gate));
        pool.reactor.deliver(move || open(&client));
        let handed_back = pool.stop().len();
        join(&pool);
        let Counts { run, refused } = *tally.lock().unwrap();
        let unseen = pool.reactor.undelivered();
        assert!(run + refused + handed_back + unseen >= 4, "{run} {refused} {handed_back} {unseen}");
        assert!(run + refused + handed_back <= 4, "{run} {refused} {handed_back}");
    });
}

type Tally = Mutex<Counts>;

#[derive(Default)]
struct Counts {
    run: usize,
    refused: usize,
}

fn submit_counted(pool: &Arc<TestPool>, tally: &Arc<Tally>, job: Job) {
    let (submitter, tally) = (Arc::clone(pool), Arc::clone(tally));
    let count = Arc::clone(&tally);
    let job: Job = Box::new(move |python| {
        job(python);
        count.lock().unwrap().run += 1;
    });
    pool.reactor.deliver(move || {
        if submitter.submit(job).is_err() {
            tally.lock().unwrap().refused += 1;
        }
    });
}

/// A request arrives; the slot gets its answer inside the reactor, as a connection's task would.
fn request(pool: &Arc<TestPool>, job: Job) -> Slot<()> {
    let (answer, connection) = (Slot::default(), Slot::default());
    let (submitter, waker) = (Arc::clone(pool), Arc::clone(pool));
    let job: Job = Box::new({
        let connection = connection.clone();
        move |python| {
            job(python);
            if let Some(waiter) = connection.put(()) {
                waker.wake(waiter);
            }
        }
    });
    let task = Task { reactor: pool.reactor.clone(), connection, answer: answer.clone() };
    pool.reactor.deliver(move || {
        assert!(submitter.submit(job).is_ok());
        Arc::new(task).poll();
    });
    answer
}

/// A connection's task: waits in the reactor for what the job leaves.
struct Task {
    reactor: FakeReactor,
    connection: Slot<()>,
    answer: Slot<()>,
}

impl Task {
    fn poll(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        if self.connection.poll(&mut std::task::Context::from_waker(&waker)).is_ready() {
            open(&self.answer);
        }
    }
}

impl std::task::Wake for Task {
    fn wake(self: Arc<Self>) {
        let reactor = self.reactor.clone();
        reactor.ready(move || self.poll());
    }
}

fn blocking(gate: &Slot<()>) -> Job {
    let gate = gate.clone();
    Box::new(move |python| python.detached(|| wait_for(&gate)))
}

fn waiting(pool: &Arc<TestPool>, client: &Slot<()>) -> Job {
    let (pool, client) = (Arc::clone(pool), client.clone());
    Box::new(move |python| python.detached(|| pool.wait(python.me, |cx, _| client.poll(cx))))
}

fn open(gate: &Slot<()>) {
    if let Some(waiter) = gate.put(()) {
        waiter.wake();
    }
}

fn wait_for(answer: &Slot<()>) {
    TestPool::park_until(|cx, _| answer.poll(cx));
}

fn with_pool(threads: usize, test: impl FnOnce(&Arc<TestPool>)) {
    with_policy(policy(threads), test);
}

fn with_policy(policy: Policy, test: impl FnOnce(&Arc<TestPool>)) {
    let pool = pool(policy);
    test(&pool);
    assert!(pool.stop().is_empty());
    join(&pool);
    let census = pool.interpreter.census();
    assert!(census.born <= 64 && (!policy.exclusive || census.most_attaching <= 1), "{census:?}");
}

fn join(pool: &Arc<TestPool>) {
    while pool.join(Duration::from_millis(1)) > 0 {
        thread::yield_now();
    }
}

fn policy(threads: usize) -> Policy {
    Policy { threads, queue: 100, exclusive: true, slice: Duration::from_millis(1) }
}

fn pool(policy: Policy) -> Arc<TestPool> {
    let pool = Pool::new(Model::default(), FakeReactor::default(), policy, Duration::from_secs(1));
    pool.start();
    pool
}

/// Half of the runs choose the next step at random, half preempt at few but nasty points.
fn check(test: impl Fn() + Send + Sync + 'static) {
    let test = Arc::new(test);
    let config = || {
        let mut config = Config::new();
        config.stack_size = 0x1_0000;
        config.max_time = Some(MOST_TIME);
        config
    };
    let random = Arc::clone(&test);
    Runner::new(RandomScheduler::new(ITERATIONS), config()).run(move || random());
    Runner::new(PctScheduler::new(3, ITERATIONS), config()).run(move || test());
}

/// For each of the two ways; an unoptimised checker gets through some hundred in [`MOST_TIME`].
const ITERATIONS: usize = 2_000;
/// A run that ends by it prints a "failing seed" that means nothing.
const MOST_TIME: Duration = Duration::from_secs(3);
