//! What the pool does with real threads, seen from outside.

use std::{
    sync::{Arc, mpsc},
    task::{Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use super::{
    fake_reactor::FakeReactor,
    python::{Job, Model},
    slot::Slot,
    within::within,
};
use crate::engine::{pool::Pool, scheduler::Policy, sys::own_cpu_time};

type TestPool = Pool<Model, FakeReactor>;

#[test]
fn one_visitor_at_a_time_needs_one_thread() {
    with_pool(64, |pool| {
        for _ in 0..50 {
            deliver(pool, Box::new(|_| {})).recv().unwrap();
        }
        assert_eq!(pool.interpreter.census().born, 1);
    });
}

#[test]
fn a_leader_looks_at_io_once_a_slice_however_many_jobs_wait() {
    with_pool(1, |pool| {
        let looks: Vec<_> = deliver_at_once(pool, 12, || {
            let reactor = pool.reactor.clone();
            Box::new(move |_| {
                compute(Duration::from_millis(1));
                // On a busy machine the watchdog may have taken over.
                (!reactor.is_driven()).then(|| reactor.looks())
            })
        });
        let looks: Vec<_> = looks.iter().map(|looks| looks.recv().unwrap()).collect();
        for three in looks.windows(3) {
            assert!(three[0].is_none() || three.iter().any(|other| *other != three[0]), "{looks:?}");
        }
    });
}

#[test]
fn answers_leave_once_a_slice_however_many_jobs_wait() {
    struct Answer(mpsc::Sender<usize>, Arc<std::sync::atomic::AtomicUsize>);
    impl Wake for Answer {
        fn wake(self: Arc<Self>) {
            // Called by the leader from inside; the task runs later.
            let _ = self.0.send(self.1.load(std::sync::atomic::Ordering::SeqCst));
        }
    }
    with_pool(1, |pool| {
        let run = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (send, sent) = mpsc::channel();
        let ends = deliver_at_once(pool, 12, || {
            let (pool, run, send) = (Arc::clone(pool), Arc::clone(&run), send.clone());
            Box::new(move |_| {
                compute(Duration::from_millis(1));
                run.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let (reactor, run, send) = (pool.reactor.clone(), Arc::clone(&run), send.clone());
                let task = Waker::from(Arc::new(Answer(send, run)));
                pool.wake(Waker::from(Arc::new(Ready(reactor, task))));
            })
        });
        ends.iter().for_each(|end| end.recv().unwrap());
        assert!(sent.recv().unwrap() < 4, "the first answer waits for the last job");
    });
}

/// A task of the reactor: what wakes it makes it ready, and it runs when the reactor comes to it.
struct Ready(FakeReactor, Waker);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        let task = self.1.clone();
        self.0.ready(move || task.wake());
    }
}

#[test]
fn a_leader_that_blocks_is_replaced_and_its_jobs_run_elsewhere() {
    with_pool(2, |pool| {
        let (release, released) = mpsc::channel();
        let blocked = deliver(pool, Box::new(move |python| python.detached(|| released.recv().unwrap())));
        let releasing = deliver(pool, Box::new(move |_| release.send(()).unwrap()));
        blocked.recv().unwrap();
        releasing.recv().unwrap();
        assert_eq!(pool.interpreter.census().born, 2);
    });
}

#[test]
fn io_goes_on_while_every_thread_blocks() {
    with_pool(2, |pool| {
        for _ in 0..3 {
            let (blocked, releases): (Vec<_>, Vec<_>) = (0..2)
                .map(|_| {
                    let (release, released) = mpsc::channel::<()>();
                    (
                        deliver(pool, Box::new(move |python| python.detached(|| released.recv().unwrap()))),
                        release,
                    )
                })
                .unzip();
            until(|| pool.books().running() == 2);
            let (seen, sight) = mpsc::channel();
            pool.reactor.deliver(move || seen.send(()).unwrap());
            sight.recv().unwrap();
            for release in releases {
                pool.reactor.deliver(move || release.send(()).unwrap());
            }
            blocked.iter().for_each(|end| end.recv().unwrap());
        }
    });
}

#[test]
fn a_job_that_computes_for_long_does_not_hold_up_io() {
    with_pool(2, |pool| {
        let (seen, sight) = mpsc::channel();
        let (begun, begin) = mpsc::channel();
        let computed = deliver(
            pool,
            Box::new(move |_| {
                begun.send(()).unwrap();
                // Ends only when the reactor has been driven meanwhile.
                while sight.try_recv().is_err() {}
            }),
        );
        begin.recv().unwrap();
        pool.reactor.deliver(move || seen.send(()).unwrap());
        computed.recv().unwrap();
    });
}

#[test]
fn only_one_thread_waits_for_an_interpreter_that_somebody_else_holds() {
    with_pool(16, |pool| {
        let ends = pool.interpreter.hold(|| {
            let mut ends = Vec::new();
            for _ in 0..20 {
                ends.push(deliver(pool, Box::new(|_| {})));
                let (seen, sight) = mpsc::channel();
                pool.reactor.deliver(move || seen.send(()).unwrap());
                sight.recv().unwrap();
            }
            ends
        });
        ends.iter().for_each(|end| end.recv().unwrap());
        assert_eq!(pool.interpreter.census().most_attaching, 1);
    });
}

#[test]
fn a_client_that_keeps_a_thread_waiting_does_not_keep_others_from_running_inline() {
    with_pool(8, |pool| {
        let slot = Slot::default();
        let waits = deliver(pool, waiting(pool, &slot));
        until(|| pool.reactor.is_driven() && pool.books().running() == 1);
        for _ in 0..100 {
            deliver(pool, Box::new(|_| {})).recv().unwrap();
        }
        assert_eq!(pool.interpreter.census().born, 2, "one waits, one leads and runs");
        pool.reactor.deliver(move || slot.put(()).map_or((), Waker::wake));
        waits.recv().unwrap();
    });
}

#[test]
fn a_stop_hands_waiting_jobs_back_and_ends_every_thread() {
    within(LIMIT, || {
        let pool = pool(1, Duration::from_secs(10));
        let (release, released) = mpsc::channel();
        let running = deliver(&pool, Box::new(move |python| python.detached(|| released.recv().unwrap())));
        until(|| pool.books().running() == 1);
        let never = deliver(&pool, Box::new(|_| {}));
        until(|| !pool.books().jobs_mut().is_empty());
        let jobs = pool.stop();
        assert_eq!(jobs.len(), 1);
        drop(jobs);
        assert!(never.recv().is_err());
        assert!(pool.submit(Box::new(|_| {})).is_err());
        release.send(()).unwrap();
        running.recv().unwrap();
        assert_eq!(pool.join(Duration::from_secs(10)), 0);
    });
}

#[test]
fn a_job_that_waits_for_its_client_is_served_while_the_pool_stops() {
    for threads in [1, 2, 4] {
        within(LIMIT, move || {
            let pool = pool(threads, Duration::from_secs(10));
            let slots: Vec<_> = (0..threads).map(|_| Slot::default()).collect();
            let waits: Vec<_> = slots.iter().map(|slot| deliver(&pool, waiting(&pool, slot))).collect();
            until(|| pool.books().running() == threads);
            pool.stop();
            for slot in slots {
                pool.reactor.deliver(move || slot.put(()).map_or((), Waker::wake));
            }
            waits.iter().for_each(|wait| wait.recv().unwrap());
            assert_eq!(pool.join(Duration::from_secs(10)), 0);
        });
    }
}

#[test]
fn threads_that_idle_for_long_end_and_come_back_when_needed() {
    within(LIMIT, || {
        let pool = pool(8, Duration::from_millis(20));
        for _ in 0..3 {
            let (releases, ends): (Vec<_>, Vec<_>) = (0..8)
                .map(|_| {
                    let (release, released) = mpsc::channel::<()>();
                    let job: Job = Box::new(move |python| python.detached(|| released.recv().unwrap()));
                    (release, deliver(&pool, job))
                })
                .unzip();
            until(|| pool.books().running() == 8);
            releases.iter().for_each(|release| release.send(()).unwrap());
            ends.iter().for_each(|end: &mpsc::Receiver<()>| end.recv().unwrap());
            until(|| pool.interpreter.census().alive <= 1);
        }
        pool.stop();
        assert_eq!(pool.join(Duration::from_secs(10)), 0);
    });
}

#[test]
fn a_job_swept_out_of_the_queue_is_not_run() {
    with_pool(1, |pool| {
        let (release, released) = mpsc::channel();
        let running = deliver(pool, Box::new(move |python| python.detached(|| released.recv().unwrap())));
        until(|| pool.books().running() == 1);
        let never = deliver(pool, Box::new(|_| {}));
        until(|| !pool.books().jobs_mut().is_empty());
        assert_eq!(pool.sweep(|_| true).len(), 1);
        assert!(never.recv().is_err());
        release.send(()).unwrap();
        running.recv().unwrap();
        deliver(pool, Box::new(|_| {})).recv().unwrap();
    });
}

fn with_pool(threads: usize, test: impl FnOnce(&Arc<TestPool>) + Send + 'static) {
    within(LIMIT, move || {
        let pool = pool(threads, Duration::from_secs(10));
        test(&pool);
        assert!(pool.stop().is_empty());
        assert_eq!(pool.join(Duration::from_secs(10)), 0, "threads are left");
        assert_eq!(pool.interpreter.census().alive, 0);
    });
}

fn pool(threads: usize, idle_timeout: Duration) -> Arc<TestPool> {
    let policy = Policy { threads, queue: 1000, exclusive: true, slice: Duration::from_millis(1) };
    let pool = Pool::new(Model::default(), FakeReactor::default(), policy, idle_timeout);
    pool.start();
    pool
}

/// A request arrives; what comes back is closed or sends when it has been answered.
fn deliver(pool: &Arc<TestPool>, job: Job) -> mpsc::Receiver<()> {
    let (ended, end) = mpsc::channel();
    let job: Job = Box::new(move |python| {
        job(python);
        let _ = ended.send(());
    });
    let submitter = Arc::clone(pool);
    pool.reactor.deliver(move || assert!(submitter.submit(job).is_ok()));
    end
}

/// Many requests arrive in one batch.
fn deliver_at_once<T: Send + 'static>(
    pool: &Arc<TestPool>,
    count: usize,
    mut job: impl FnMut() -> Box<dyn FnOnce(&super::python::Python<'_>) -> T + Send>,
) -> Vec<mpsc::Receiver<T>> {
    let mut ends = Vec::new();
    let mut jobs: Vec<Job> = Vec::new();
    for _ in 0..count {
        let (ended, end) = mpsc::channel();
        let job = job();
        jobs.push(Box::new(move |python| drop(ended.send(job(python)))));
        ends.push(end);
    }
    let submitter = Arc::clone(pool);
    pool.reactor.deliver(move || jobs.into_iter().for_each(|job| assert!(submitter.submit(job).is_ok())));
    ends
}

fn waiting(pool: &Arc<TestPool>, slot: &Slot<()>) -> Job {
    let (pool, slot) = (Arc::clone(pool), slot.clone());
    Box::new(move |python| {
        python.detached(|| pool.wait(python.me, |cx, _| slot.poll(cx)));
    })
}

fn compute(time: Duration) {
    let begin = own_cpu_time();
    while own_cpu_time() - begin < time {}
}

/// Waits until something is so; the test's own limit bounds it.
fn until(mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !so() {
        assert!(Instant::now() < deadline, "still not so");
        thread::yield_now();
    }
}

const LIMIT: Duration = Duration::from_secs(20);
