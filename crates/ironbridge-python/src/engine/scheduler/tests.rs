//! The design's rules about the engine, one by one, as far as the books decide them.

use std::time::Duration;

use super::*;

const SLICE: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_micros(500);

/// Books with `threads` threads, the first of which leads.
fn led(threads: usize) -> (Scheduler<u32>, Moment) {
    with_policy(Policy { threads, queue: 100, exclusive: true, slice: SLICE })
}

fn with_policy(policy: Policy) -> (Scheduler<u32>, Moment) {
    let now = Moment::now();
    let mut books = Scheduler::new(policy, now);
    assert_eq!(books.start(), Some(Summons::Spawn(0)));
    assert_eq!(books.report(0), Order::Lead);
    assert_eq!(books.turn(), (Turn::Stay, None));
    (books, now)
}

fn slow(threads: usize) -> (Scheduler<u32>, Moment) {
    let (mut books, now) = led(threads);
    for _ in 0..100 {
        books.regime.observe(JobTimes::blocked_so_far());
    }
    (books, now)
}

/// The leader takes a turn, is told to leave, leaves, attaches, and gets a job.
fn run_inline(books: &mut Scheduler<u32>, me: ThreadId, now: Moment) -> u32 {
    assert_eq!(books.turn(), (Turn::Leave, None));
    assert_eq!(books.leave(me, now), (Order::Attach, None));
    match books.attached(me) {
        (Order::Run(job), None) => job,
        other => panic!("{other:?}"),
    }
}

fn suspect(verdict: Verdict) -> Suspect {
    match verdict {
        Verdict::Suspect(suspect) => suspect,
        other => panic!("{other:?}"),
    }
}

#[test]
fn rule_1_there_is_one_leader_and_any_idle_thread_can_take_the_lead() {
    let (mut books, now) = led(2);
    books.push(1).unwrap();
    run_inline(&mut books, 0, now);
    assert!(!books.is_led());
    // The first thread blocks, so a second is started and leads.
    let blocked = suspect(books.inspect(now + PATIENCE, PATIENCE));
    assert_eq!(books.judge(blocked, Finding::Blocked), Verdict::Summon(Summons::Spawn(1)));
    assert!(books.is_led(), "no third may take the lead meanwhile");
    assert_eq!(books.report(1), Order::Lead);
    assert_eq!(books.finished(0, JobTimes::INSTANT, now), (Order::Park, None));
    // Now that one blocks, and the first leads again.
    books.push(2).unwrap();
    assert_eq!(books.turn(), (Turn::Stay, Some(Summons::Leader)));
    run_inline(&mut books, 1, now);
    let blocked = suspect(books.inspect(now + PATIENCE, PATIENCE));
    assert_eq!(books.judge(blocked, Finding::Blocked), Verdict::Summon(Summons::Wake(0)));
    assert_eq!(books.report(0), Order::Lead);
}

#[test]
fn rule_2_in_the_fast_regime_the_leader_leaves_the_reactor_and_runs_the_jobs_itself_attached_once() {
    let (mut books, now) = led(8);
    for job in 1..=3 {
        assert_eq!(books.push(job), Ok(job == 1), "one look is enough for a batch");
    }
    assert_eq!(run_inline(&mut books, 0, now), 1);
    assert_eq!(books.finished(0, JobTimes::INSTANT, now), (Order::Run(2), None));
    assert_eq!(books.finished(0, JobTimes::INSTANT, now), (Order::Run(3), None));
    assert_eq!(books.finished(0, JobTimes::INSTANT, now), (Order::Lead, None));
    assert_eq!(books.alive(), 1);
}

#[test]
fn rule_3_after_a_slice_the_leader_looks_at_io_however_many_jobs_are_left() {
    let (mut books, now) = led(8);
    (1..=3).for_each(|job| assert!(books.push(job).is_ok()));
    run_inline(&mut books, 0, now);
    assert_eq!(books.finished(0, JobTimes::INSTANT, now + SLICE), (Order::Lead, None));
    // The first turn makes it look at I/O, without sleeping there; the second lets it go on.
    assert_eq!(books.turn(), (Turn::Stay, Some(Summons::Leader)));
    assert_eq!(run_inline(&mut books, 0, now + SLICE), 2);
}

#[test]
fn rule_4_a_blocked_leader_is_replaced_at_once() {
    let (mut books, now) = led(2);
    books.push(1).unwrap();
    run_inline(&mut books, 0, now);
    assert_eq!(books.inspect(now + PATIENCE / 2, PATIENCE), Verdict::Fine);
    let blocked = suspect(books.inspect(now + PATIENCE, PATIENCE));
    assert_eq!((blocked.thread, blocked.job), (0, Some(0)));
    assert_eq!(books.judge(blocked, Finding::Blocked), Verdict::Summon(Summons::Spawn(1)));
    // The next leader runs jobs inline: the blocked one does not hold the interpreter.
    assert_eq!(books.report(1), Order::Lead);
    assert_eq!(books.turn(), (Turn::Stay, None));
    books.push(2).unwrap();
    assert_eq!(run_inline(&mut books, 1, now), 2);
}

#[test]
fn rule_4_a_computing_leader_is_left_alone_for_a_while_and_nobody_fights_it_for_the_interpreter() {
    let (mut books, now) = led(2);
    books.push(1).unwrap();
    run_inline(&mut books, 0, now);
    let computing = suspect(books.inspect(now + PATIENCE, PATIENCE));
    assert_eq!(books.judge(computing, Finding::Computing), Verdict::Fine);
    assert_eq!(books.judge(computing, Finding::ComputingLong), Verdict::Summon(Summons::Spawn(1)));
    assert_eq!(books.report(1), Order::Lead);
    assert!(books.regime.is_fast());
}

#[test]
fn rule_4_when_all_threads_are_busy_the_watchdog_leads_and_gives_the_lead_back() {
    let (mut books, now) = led(1);
    books.push(1).unwrap();
    run_inline(&mut books, 0, now);
    let blocked = suspect(books.inspect(now + PATIENCE, PATIENCE));
    assert_eq!(books.judge(blocked, Finding::Blocked), Verdict::Lead);
    assert_eq!(books.inspect(now, PATIENCE), Verdict::Lead);
    assert_eq!(books.turn(), (Turn::Stay, None));
    books.push(2).unwrap();
    assert_eq!(books.turn(), (Turn::Stay, None), "the watchdog runs no jobs");
    assert_eq!(books.finished(0, JobTimes::INSTANT, now), (Order::Run(2), None));
    assert_eq!(books.finished(0, JobTimes::INSTANT, now), (Order::Park, Some(Summons::Leader)));
    assert_eq!(books.turn(), (Turn::Leave, None));
    assert_eq!(books.watchdog_left(now), Some(Summons::Wake(0)));
}

#[test]
fn rule_4_a_judgement_that_comes_late_changes_nothing() {
    let (mut books, now) = led(2);
    (1..=2).for_each(|job| assert!(books.push(job).is_ok()));
    run_inline(&mut books, 0, now);
    let late = suspect(books.inspect(now + PATIENCE, PATIENCE));
    assert_eq!(books.finished(0, JobTimes::INSTANT, now), (Order::Run(2), None));
    assert_eq!(books.judge(late, Finding::Blocked), Verdict::Fine, "it is at another job");
    assert_eq!(books.finished(0, JobTimes::INSTANT, now), (Order::Lead, None));
    assert_eq!(books.judge(late, Finding::Blocked), Verdict::Fine, "it leads again");
}

#[test]
fn rule_5_in_the_slow_regime_the_leader_keeps_leading_and_passes_jobs_on() {
    let (mut books, _) = slow(3);
    books.push(1).unwrap();
    assert_eq!(books.turn(), (Turn::Stay, Some(Summons::Spawn(1))));
    assert_eq!(books.turn(), (Turn::Stay, None));
    assert_eq!(books.report(1), Order::Attach);
    assert_eq!(books.attached(1), (Order::Run(1), None));
    assert!(books.is_led());
}

#[test]
fn rule_5_one_thread_waits_for_the_interpreter_and_wakes_the_next_when_it_has_it() {
    let (mut books, _) = slow(4);
    (1..=3).for_each(|job| assert!(books.push(job).is_ok()));
    assert_eq!(books.turn(), (Turn::Stay, Some(Summons::Spawn(1))));
    assert_eq!(books.turn(), (Turn::Stay, None), "the second job waits for the first waiter");
    books.report(1);
    assert_eq!(books.attached(1), (Order::Run(1), Some(Summons::Spawn(2))));
    books.report(2);
    assert_eq!(books.attached(2), (Order::Run(2), Some(Summons::Spawn(3))));
}

#[test]
fn rule_5_a_leader_that_waits_for_the_interpreter_is_the_only_one() {
    let (mut books, now) = led(4);
    books.push(1).unwrap();
    assert_eq!(books.turn(), (Turn::Leave, None));
    assert_eq!(books.leave(0, now), (Order::Attach, None));
    // Somebody else's thread holds the interpreter. I/O goes on, but nobody queues up behind the first.
    let waiting = suspect(books.inspect(now + PATIENCE, PATIENCE));
    assert_eq!(waiting.job, None);
    assert_eq!(books.judge(waiting, Finding::Blocked), Verdict::Summon(Summons::Spawn(1)));
    assert!(books.regime.is_fast());
    books.report(1);
    books.push(2).unwrap();
    assert_eq!(books.turn(), (Turn::Stay, Some(Summons::Leader)));
    assert_eq!(books.turn(), (Turn::Stay, None));
}

#[test]
fn rule_5_with_every_other_thread_blocked_the_leader_works_too() {
    let (mut books, now) = slow(2);
    (1..=2).for_each(|job| assert!(books.push(job).is_ok()));
    assert_eq!(books.turn(), (Turn::Stay, Some(Summons::Spawn(1))));
    books.report(1);
    // The queue has not been empty since, so no push will make the leader look: the helper has to.
    assert_eq!(books.attached(1), (Order::Run(1), Some(Summons::Leader)));
    assert_eq!(books.turn(), (Turn::Leave, None));
    assert_eq!(books.leave(0, now), (Order::Attach, Some(Summons::Watchdog)));
    assert_eq!(books.inspect(now, PATIENCE), Verdict::Lead);
    assert_eq!(books.attached(0), (Order::Run(2), None));
}

#[test]
fn rule_5_blocking_turns_the_regime_slow_and_waiting_for_clients_does_not() {
    let blocked = JobTimes { blocked: Duration::from_millis(5) };
    let run_one = |books: &mut Scheduler<u32>, now: Moment, wait: Duration| {
        books.push(1).unwrap();
        books.turn();
        run_inline(books, 0, now);
        assert_eq!(books.begin_wait(0, now), (WaitBy::Leading, None));
        assert!(books.end_wait(0, now + wait));
        books.finished(0, blocked, now + wait + SLICE);
        books.turn();
    };
    let (mut books, now) = led(2);
    (0..100).for_each(|_| run_one(&mut books, now, Duration::from_millis(5)));
    assert!(books.regime.is_fast());
    (0..2).for_each(|_| run_one(&mut books, now, Duration::ZERO));
    assert!(!books.regime.is_fast());
}

#[test]
fn rule_6_threads_start_lazily_up_to_the_limit_and_the_last_to_sleep_is_woken_first() {
    let (mut books, now) = slow(3);
    for (job, helper) in [(1, 1), (2, 2)] {
        books.push(job).unwrap();
        assert_eq!(books.turn(), (Turn::Stay, Some(Summons::Spawn(helper))));
        books.report(helper);
        assert_eq!(books.attached(helper), (Order::Run(job), None));
    }
    assert_eq!(books.alive(), 3);
    assert_eq!(books.finished(1, JobTimes::INSTANT, now).0, Order::Park);
    assert_eq!(books.finished(2, JobTimes::INSTANT, now).0, Order::Park);
    books.push(3).unwrap();
    assert_eq!(books.turn(), (Turn::Stay, Some(Summons::Wake(2))));
}

#[test]
fn rule_6_a_thread_that_idles_for_long_ends_unless_it_was_summoned_meanwhile() {
    let (mut books, now) = slow(2);
    books.push(1).unwrap();
    books.turn();
    books.report(1);
    books.attached(1);
    books.finished(1, JobTimes::INSTANT, now);
    books.push(2).unwrap();
    assert_eq!(books.turn(), (Turn::Stay, Some(Summons::Wake(1))));
    assert!(!books.retire(1));
    assert_eq!(books.report(1), Order::Attach);
    books.attached(1);
    books.finished(1, JobTimes::INSTANT, now);
    assert!(books.retire(1));
    assert_eq!(books.alive(), 1);
}

#[test]
fn rule_6_a_system_without_threads_to_give_leaves_the_jobs_to_those_that_there_are() {
    let (mut books, now) = slow(4);
    (1..=2).for_each(|job| assert!(books.push(job).is_ok()));
    assert_eq!(books.turn(), (Turn::Stay, Some(Summons::Spawn(1))));
    assert_eq!(books.spawn_failed(1), Some(Summons::Leader));
    assert_eq!(books.turn(), (Turn::Leave, None));
    assert_eq!(books.leave(0, now), (Order::Attach, Some(Summons::Watchdog)));
    assert_eq!(books.attached(0), (Order::Run(1), None));
    assert_eq!(books.finished(0, JobTimes::INSTANT, now), (Order::Run(2), None));
}

#[test]
fn rule_7_a_leader_that_lost_its_driver_is_told_apart_from_one_that_can_be_nudged() {
    let (mut books, now) = led(1);
    assert!(books.is_led());
    books.push(1).unwrap();
    assert_eq!(books.turn(), (Turn::Leave, None));
    assert!(books.is_led(), "until it has left, another must not enter");
    assert_eq!(books.leave(0, now), (Order::Attach, None));
    assert!(!books.is_led(), "what is finished now waits for the next leader, and needs no system call");
}

#[test]
fn rule_8_a_thread_that_waits_for_its_client_leads_if_nobody_does() {
    let (mut books, now) = led(2);
    books.push(1).unwrap();
    run_inline(&mut books, 0, now);
    assert_eq!(books.begin_wait(0, now), (WaitBy::Leading, None));
    assert_eq!(books.turn(), (Turn::Stay, None));
    assert!(books.end_wait(0, now), "the watchdog has to be told");
    assert!(!books.is_led());
    assert_eq!(books.finished(0, JobTimes::INSTANT, now), (Order::Lead, None));
}

#[test]
fn rule_8_a_thread_that_waits_hands_the_lead_over_when_jobs_come() {
    let (mut books, now) = led(2);
    books.push(1).unwrap();
    run_inline(&mut books, 0, now);
    assert_eq!(books.begin_wait(0, now), (WaitBy::Leading, None));
    books.push(2).unwrap();
    assert_eq!(books.turn(), (Turn::Leave, None));
    assert_eq!(books.hand_over(0), (WaitBy::Parking, Some(Summons::Spawn(1))));
    assert_eq!(books.report(1), Order::Lead);
    assert_eq!(books.turn(), (Turn::Stay, Some(Summons::Leader)));
    assert_eq!(run_inline(&mut books, 1, now), 2);
    assert!(!books.end_wait(0, now));
}

#[test]
fn rule_9_without_a_gil_every_job_gets_its_thread_at_once() {
    let (mut books, _) = with_policy(Policy { threads: 4, queue: 100, exclusive: false, slice: SLICE });
    for job in 1..=3 {
        assert_eq!(books.push(job), Ok(true));
    }
    for helper in 1..=3 {
        assert_eq!(books.turn(), (Turn::Stay, Some(Summons::Spawn(helper))));
    }
    assert_eq!(books.turn(), (Turn::Stay, None));
}

#[test]
fn rule_10_a_finished_job_frees_its_thread_whatever_became_of_it() {
    let (mut books, now) = led(1);
    for job in 0..3 {
        books.push(job).unwrap();
        assert_eq!(run_inline(&mut books, 0, now), job);
        assert_eq!(books.running(), 1);
        assert_eq!(books.finished(0, JobTimes::INSTANT, now), (Order::Lead, None));
        assert_eq!(books.running(), 0);
        assert_eq!(books.turn(), (Turn::Stay, None));
    }
}

#[test]
fn a_full_queue_gives_jobs_back() {
    let (mut books, _) = with_policy(Policy { threads: 1, queue: 2, exclusive: true, slice: SLICE });
    assert_eq!(books.push(1), Ok(true));
    assert_eq!(books.push(2), Ok(false));
    assert_eq!(books.push(3), Err(3));
}

#[test]
fn a_stop_hands_jobs_back_and_io_goes_on_until_the_last_job_has_ended() {
    let (mut books, now) = slow(2);
    (1..=2).for_each(|job| assert!(books.push(job).is_ok()));
    books.turn();
    books.report(1);
    books.attached(1);
    let (jobs, summons) = books.stop();
    assert_eq!((jobs, summons), (vec![2], vec![Summons::Leader, Summons::Watchdog]));
    assert_eq!(books.push(3), Err(3));
    assert_eq!(books.turn(), (Turn::Stay, None), "thread 1 still runs");
    assert_eq!(books.finished(1, JobTimes::INSTANT, now), (Order::Exit, Some(Summons::Leader)));
    assert_eq!(books.turn(), (Turn::Stay, Some(Summons::Leader)), "its answer leaves first");
    assert_eq!(books.turn(), (Turn::Leave, None));
    assert_eq!(books.leave(0, now), (Order::Exit, Some(Summons::Watchdog)));
    assert_eq!(books.inspect(now, PATIENCE), Verdict::Over);
    assert_eq!(books.alive(), 0);
}
