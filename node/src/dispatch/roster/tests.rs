//! The roster as stories: workers come, want, hold, fall silent.

use raftwork_kernel::{TaskId, Token};

use super::*;

const TIMINGS: Timings = Timings {
    ttl: Duration::from_secs(10),
    heartbeat: Duration::from_secs(2),
    start_deadline: Duration::from_secs(5),
};
const PYTHON: PythonVersion = PythonVersion { major: 3, minor: 11 };

/// A roster with a clock; streams and callers are names.
struct Story {
    roster: Roster<&'static str, &'static str>,
    now: Instant,
    requests: u128,
}

impl Story {
    fn new() -> Self {
        Self { roster: Roster::new(TIMINGS), now: Instant::now(), requests: 0 }
    }

    fn hello(
        &mut self,
        worker: u128,
        mode: WorkerMode,
        capacity: u16,
        to: &'static str,
    ) -> Vec<(LeaseRef, bool)> {
        self.hello_holding(worker, mode, capacity, to, &[])
    }

    fn hello_holding(
        &mut self,
        worker: u128,
        mode: WorkerMode,
        capacity: u16,
        to: &'static str,
        held: &[(LeaseRef, bool)],
    ) -> Vec<(LeaseRef, bool)> {
        let hello = Hello {
            worker: WorkerId::from_u128(worker),
            name: to.to_owned(),
            python: PYTHON,
            slots: capacity,
            capacity,
            mode,
            held: held.to_vec(),
        };
        self.roster.hello(self.now, &hello, held, 1, to)
    }

    /// The acquires that ride when `ready` tasks are there: worker and number.
    fn ride(&mut self, ready: usize) -> Vec<Acquire> {
        let requests = &mut self.requests;
        let acquires = self.roster.ride(
            |_, _| ready,
            || {
                *requests += 1;
                RequestId::from_u128(*requests)
            },
        );
        acquires.into_iter().map(|with| with.acquire).collect()
    }

    fn settle(&mut self, acquire: &Acquire, tokens: &[u64]) -> Delivery<&'static str, &'static str> {
        let grants: Vec<Grant> = tokens.iter().map(|token| grant(*token)).collect();
        self.roster.settle(self.now, acquire.worker, acquire.request, Some(&grants))
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn beat(&mut self, worker: u128, held: &[(LeaseRef, bool)]) {
        self.roster.beat(self.now, WorkerId::from_u128(worker), held, None);
    }
}

fn grant(token: u64) -> Grant {
    Grant { task: TaskId::from_u128(token.into()), token: Token(token), attempt: 1, run_max: None }
}

fn lease(token: u64) -> LeaseRef {
    LeaseRef { task: TaskId::from_u128(token.into()), token: Token(token) }
}

fn numbers(acquires: &[Acquire]) -> Vec<(u128, u16)> {
    acquires.iter().map(|acquire| (acquire.worker.as_uuid().as_u128(), acquire.max)).collect()
}

#[test]
fn a_pushed_worker_gets_what_its_slots_hold_and_no_more() {
    let mut story = Story::new();
    story.hello(1, WorkerMode::Push, 2, "one");
    let acquires = story.ride(10);
    assert_eq!(numbers(&acquires), [(1, 2)]);
    assert_eq!(story.ride(10), [], "what is under way counts as held");
    assert_eq!(story.settle(&acquires[0], &[1, 2]), Delivery::Stream("one"));
    assert_eq!(story.ride(10), [], "both slots are full");
    story.roster.let_go(WorkerId::from_u128(1), &lease(1));
    assert_eq!(numbers(&story.ride(10)), [(1, 1)]);
}

#[test]
fn tasks_are_spread_over_the_workers_that_want_some() {
    let mut story = Story::new();
    for worker in 1..=3 {
        story.hello(worker, WorkerMode::Push, 4, "any");
    }
    assert_eq!(numbers(&story.ride(4)), [(1, 2), (2, 1), (3, 1)]);
}

#[test]
fn free_slots_come_first_and_only_what_is_left_waits_at_workers() {
    let mut story = Story::new();
    for worker in 1..=2 {
        story.hello(worker, WorkerMode::Push, 2, "any");
        assert!(story.roster.capacity(story.now, WorkerId::from_u128(worker), 100));
    }
    let acquires = story.ride(2);
    assert_eq!(numbers(&acquires), [(1, 1), (2, 1)]);
    story.settle(&acquires[0], &[1]);
    story.settle(&acquires[1], &[2]);
    // One has a free slot, the other does not.
    let acquires = story.ride(1);
    assert_eq!(numbers(&acquires), [(1, 1)]);
    story.settle(&acquires[0], &[3]);
    assert_eq!(numbers(&story.ride(1)), [(2, 1)], "not to the one whose slots are full");
}

#[test]
fn a_long_burst_is_not_swallowed_by_one_worker() {
    let mut story = Story::new();
    story.hello(1, WorkerMode::Push, 2, "one");
    story.hello(2, WorkerMode::Push, 2, "two");
    // A flood of short tasks is over: both would hold many, and the first still has some.
    for worker in 1..=2 {
        story.roster.capacity(story.now, WorkerId::from_u128(worker), 200);
    }
    let acquires = story.ride(20);
    assert_eq!(numbers(&acquires), [(1, 10), (2, 10)]);
    story.settle(&acquires[0], &(1..=10).collect::<Vec<_>>());
    story.settle(&acquires[1], &(11..=20).collect::<Vec<_>>());
    // The new tasks are long: each worker takes its word back, then gives back what it cannot start.
    for (worker, given_back) in [(1, 3..=10), (2, 13..=20)] {
        let leases: Vec<LeaseRef> = given_back.map(lease).collect();
        assert!(!story.roster.capacity(story.now, WorkerId::from_u128(worker), 2));
        story.roster.report(story.now, WorkerId::from_u128(worker), &[], &leases);
    }
    assert_eq!(story.ride(16), [], "all slots are full");
    story.roster.report(story.now, WorkerId::from_u128(2), &[], &[lease(11)]);
    assert_eq!(numbers(&story.ride(16)), [(2, 1)], "whoever has a free slot gets the next one");
}

#[test]
fn an_ask_for_nothing_withdraws() {
    let mut story = Story::new();
    story.hello(1, WorkerMode::Pull, 2, "one");
    let (worker, request) = (WorkerId::from_u128(1), RequestId::from_u128(77));
    story.roster.ask(story.now, worker, request, 300);
    story.roster.ask(story.now, worker, request, 3);
    assert_eq!(numbers(&story.ride(10)), [(1, 3)], "the same ask, for less");
    story.roster.ask(story.now, worker, request, 0);
    assert_eq!(story.ride(10), []);
}

#[test]
fn a_report_tells_of_starts_and_frees_slots() {
    let mut story = Story::new();
    story.hello(1, WorkerMode::Push, 2, "one");
    let acquires = story.ride(2);
    story.settle(&acquires[0], &[1, 2]);
    story.roster.report(story.now, WorkerId::from_u128(1), &[lease(2)], &[lease(1)]);
    assert_eq!(numbers(&story.ride(5)), [(1, 1)]);
    story.pass(6);
    story.beat(1, &[(lease(2), true)]);
    assert_eq!(story.roster.overdue(story.now), [], "it was confirmed as started");
}

#[test]
fn the_next_round_begins_after_the_worker_that_was_served_last() {
    let mut story = Story::new();
    for worker in 1..=3 {
        story.hello(worker, WorkerMode::Push, 4, "any");
    }
    let served = |acquires: Vec<Acquire>| acquires.first().map(|acquire| acquire.worker.as_uuid().as_u128());
    let rounds: Vec<_> = (0..4)
        .map(|_| {
            let acquires = story.ride(1);
            story.settle(&acquires[0], &[]);
            served(acquires)
        })
        .collect();
    assert_eq!(rounds, [Some(1), Some(2), Some(3), Some(1)]);
}

#[test]
fn a_pull_ask_waits_until_there_is_something_and_is_answered_once() {
    let mut story = Story::new();
    story.hello(1, WorkerMode::Pull, 4, "one");
    assert_eq!(story.ride(10), [], "it did not ask");
    story.roster.ask(story.now, WorkerId::from_u128(1), RequestId::from_u128(77), 3);
    assert_eq!(story.ride(0), [], "there is nothing");
    let first = story.ride(10);
    assert_eq!((numbers(&first), first[0].request), (vec![(1, 3)], RequestId::from_u128(77)));
    assert_eq!(story.settle(&first[0], &[]), Delivery::Nobody, "others were faster");
    let again = story.ride(10);
    assert_eq!(again[0].request, RequestId::from_u128(77), "the same ask rides again");
    assert_eq!(story.settle(&again[0], &[5]), Delivery::Stream("one"));
    assert_eq!(story.ride(10), [], "the ask was answered");
}

#[test]
fn a_caller_without_a_stream_gets_its_own_answer() {
    let mut story = Story::new();
    story.roster.ask_once(
        story.now,
        WorkerId::from_u128(9),
        (PYTHON, Tags::default()),
        (RequestId::from_u128(1), 1),
        "caller",
    );
    let acquires = story.ride(1);
    assert_eq!(story.settle(&acquires[0], &[1]), Delivery::Caller("caller"));
    let infos = story.roster.infos(story.now);
    assert_eq!((infos.len(), infos[0].held), (1, 1), "it is a worker like any other");
}

#[test]
fn a_silent_worker_loses_everything_after_its_time_to_live() {
    let mut story = Story::new();
    story.hello(1, WorkerMode::Push, 2, "one");
    let acquires = story.ride(2);
    story.settle(&acquires[0], &[1, 2]);
    story.beat(1, &[(lease(1), true), (lease(2), true)]);
    story.pass(10);
    assert_eq!(story.roster.overdue(story.now), [], "exactly the time to live is not over it");
    story.pass(1);
    assert_eq!(story.roster.overdue(story.now), [(lease(1), true), (lease(2), true)]);
    assert_eq!(story.ride(2), [], "it is gone");
}

/// A process that was paused for long comes back on the connection that it has.
#[test]
fn a_connected_worker_that_fell_silent_is_given_nothing_until_it_is_heard_from() {
    let mut story = Story::new();
    story.hello(1, WorkerMode::Push, 2, "one");
    let acquires = story.ride(1);
    story.settle(&acquires[0], &[1]);
    story.pass(11);
    assert_eq!(story.roster.overdue(story.now), [(lease(1), false)]);
    assert_eq!(story.roster.overdue(story.now), [], "it is said once");
    assert_eq!((story.ride(2), story.roster.infos(story.now).len()), (vec![], 0));
    assert!(story.roster.beat(story.now, WorkerId::from_u128(1), &[], None), "it is back");
    assert_eq!((numbers(&story.ride(2)), story.roster.infos(story.now).len()), (vec![(1, 2)], 1));
    story.roster.disconnect(WorkerId::from_u128(1), 1);
    story.pass(11);
    story.roster.overdue(story.now);
    assert!(!story.roster.beat(story.now, WorkerId::from_u128(1), &[], None), "it was forgotten");
}

#[test]
fn a_caller_may_wait_longer_than_a_time_to_live() {
    let mut story = Story::new();
    let (worker, request) = (WorkerId::from_u128(9), RequestId::from_u128(1));
    story.roster.ask_once(story.now, worker, (PYTHON, Tags::default()), (request, 1), "caller");
    story.pass(11);
    assert_eq!(story.roster.overdue(story.now), []);
    let acquires = story.ride(1);
    assert_eq!(story.settle(&acquires[0], &[1]), Delivery::Caller("caller"));
    assert_eq!(story.roster.overdue(story.now), [], "its time to live begins with the answer");
}

#[test]
fn an_ask_goes_with_its_caller_and_stays_with_a_newer_one() {
    let mut story = Story::new();
    let (worker, request) = (WorkerId::from_u128(9), RequestId::from_u128(1));
    story.roster.ask_once(story.now, worker, (PYTHON, Tags::default()), (request, 1), "first");
    story.roster.ask_once(story.now, worker, (PYTHON, Tags::default()), (request, 1), "second");
    story.roster.withdraw(worker, request, |waiter| *waiter == "first");
    assert_eq!(numbers(&story.ride(1)), [(9, 1)]);
    let mut story = Story::new();
    story.roster.ask_once(story.now, worker, (PYTHON, Tags::default()), (request, 1), "first");
    story.roster.withdraw(worker, request, |waiter| *waiter == "first");
    assert_eq!(story.ride(1), []);
}

#[test]
fn a_grant_that_is_not_started_in_time_goes_back_uncharged() {
    let mut story = Story::new();
    story.hello(1, WorkerMode::Push, 2, "one");
    let acquires = story.ride(2);
    story.settle(&acquires[0], &[1, 2]);
    story.roster.started(story.now, WorkerId::from_u128(1), &[lease(1)]);
    story.pass(6);
    story.beat(1, &[(lease(1), true)]);
    assert_eq!(story.roster.overdue(story.now), [(lease(2), false)]);
    assert_eq!(story.roster.overdue(story.now), [], "it is said once");
}

#[test]
fn a_lease_that_its_worker_keeps_silent_about_ends_although_the_worker_lives() {
    let mut story = Story::new();
    story.hello(1, WorkerMode::Push, 2, "one");
    let acquires = story.ride(2);
    story.settle(&acquires[0], &[1, 2]);
    for _ in 0..6 {
        story.roster.started(story.now, WorkerId::from_u128(1), &[lease(2)]);
        story.beat(1, &[(lease(2), true)]);
        story.pass(1);
    }
    assert_eq!(story.roster.overdue(story.now), [(lease(1), false)]);
    for _ in 0..9 {
        story.pass(1);
        story.beat(1, &[]);
    }
    assert_eq!(story.roster.overdue(story.now), [], "exactly a time to live");
    story.pass(1);
    story.beat(1, &[]);
    assert_eq!(story.roster.overdue(story.now), [(lease(2), true)]);
}

#[test]
fn a_new_leader_counts_every_lease_as_heard_of_and_ends_none_that_lives() {
    let mut story = Story::new();
    story.roster.reset(story.now, [(WorkerId::from_u128(1), lease(1)), (WorkerId::from_u128(2), lease(2))]);
    story.pass(9);
    assert_eq!(
        story.roster.overdue(story.now),
        [],
        "neither the start deadline nor silence before its reign counts"
    );
    let lost = story.hello_holding(1, WorkerMode::Push, 2, "one", &[(lease(1), true)]);
    assert_eq!(lost, []);
    story.pass(6);
    story.beat(1, &[(lease(1), true)]);
    assert_eq!(story.roster.overdue(story.now), [(lease(2), false)], "the other one never came");
}

#[test]
fn a_worker_that_comes_back_without_a_lease_never_got_it() {
    let mut story = Story::new();
    story.hello(1, WorkerMode::Push, 2, "one");
    let acquires = story.ride(2);
    story.settle(&acquires[0], &[1, 2]);
    let lost = story.hello_holding(1, WorkerMode::Push, 2, "one again", &[(lease(1), true)]);
    assert_eq!(lost, [(lease(2), false)]);
}

#[test]
fn an_old_connection_that_ends_late_does_not_take_the_new_one_with_it() {
    let mut story = Story::new();
    story.hello(1, WorkerMode::Push, 1, "one");
    story.roster.disconnect(WorkerId::from_u128(1), 99);
    assert_eq!(numbers(&story.ride(1)), [(1, 1)]);
    story.roster.disconnect(WorkerId::from_u128(1), 1);
    assert_eq!(story.ride(1), []);
}

#[test]
fn a_draining_worker_takes_nothing_more() {
    let mut story = Story::new();
    story.hello(1, WorkerMode::Push, 1, "one");
    assert_eq!(story.roster.drain(WorkerId::from_u128(1)), (true, Some("one")));
    assert_eq!(story.roster.drain(WorkerId::from_u128(2)), (false, None));
    assert_eq!(story.ride(1), []);
}

#[test]
fn a_lease_that_nobody_knew_of_at_two_looks_is_taken_up_and_goes_back() {
    let mut story = Story::new();
    story.hello(1, WorkerMode::Push, 2, "one");
    let applied = [(WorkerId::from_u128(1), lease(7))];
    for _ in 0..2 {
        story.roster.reconcile(story.now, &applied);
        story.pass(1);
        assert_eq!(story.roster.overdue(story.now), []);
    }
    story.pass(5);
    story.beat(1, &[]);
    assert_eq!(story.roster.overdue(story.now), [(lease(7), false)]);
}

#[test]
fn workers_whose_python_finds_nothing_ask_for_nothing() {
    let mut story = Story::new();
    story.hello(1, WorkerMode::Push, 1, "one");
    let other = |python: PythonVersion, _: &Tags| usize::from(python.minor == 12);
    assert_eq!(story.roster.ride(other, || RequestId::from_u128(1)), []);
}

#[test]
fn a_worker_is_asked_after_what_it_offers_also_when_it_comes_back() {
    let mut story = Story::new();
    let gpu = Tags::from_iter(["gpu"]);
    for worker in 1..=2 {
        story.hello(worker, WorkerMode::Push, 1, "any");
    }
    story.roster.offer(story.now, WorkerId::from_u128(2), gpu.clone());
    story.hello(2, WorkerMode::Push, 1, "again");
    let acquires = story.roster.ride(|_, tags| usize::from(*tags == gpu), || RequestId::from_u128(1));
    let [AcquireWith { acquire, tags }] = &acquires[..] else { panic!("one of them has tags: {acquires:?}") };
    assert_eq!((acquire.worker, tags), (WorkerId::from_u128(2), &gpu));
}

#[test]
fn a_leader_that_stood_still_counts_that_time_for_nobody() {
    let mut story = Story::new();
    story.hello_holding(1, WorkerMode::Push, 1, "alive", &[(lease(1), true)]);
    story.hello_holding(2, WorkerMode::Push, 1, "dead", &[(lease(2), true)]);
    story.pass(1);
    story.beat(1, &[(lease(1), true)]);
    story.pass(60);
    story.roster.slept(story.now, Duration::from_mins(1));
    assert_eq!(story.roster.overdue(story.now), [], "what they said meanwhile was not yet heard");
    story.beat(1, &[(lease(1), true)]);
    story.pass(9);
    assert_eq!(story.roster.overdue(story.now), [], "ten seconds, of which nobody slept");
    story.pass(1);
    assert_eq!(story.roster.overdue(story.now), [(lease(2), true)]);
    // Whoever speaks before the gap is noticed is not heard of in the future.
    story.beat(1, &[(lease(1), true)]);
    story.roster.slept(story.now, Duration::from_mins(1));
    story.pass(11);
    assert_eq!(story.roster.overdue(story.now), [(lease(1), true)]);
}

#[test]
fn a_grant_is_not_late_because_the_leader_stood_still() {
    let mut story = Story::new();
    story.hello(1, WorkerMode::Push, 1, "one");
    let acquires = story.ride(1);
    story.settle(&acquires[0], &[1]);
    story.pass(30);
    story.roster.slept(story.now, Duration::from_secs(29));
    assert_eq!(story.roster.overdue(story.now), []);
    story.pass(5);
    assert_eq!(story.roster.overdue(story.now), [(lease(1), false)]);
}

#[test]
fn progress_is_kept_for_what_is_held_and_goes_with_the_leader() {
    let mut story = Story::new();
    story.hello(1, WorkerMode::Push, 2, "one");
    let acquires = story.ride(10);
    story.settle(&acquires[0], &[1, 2]);
    let worker = WorkerId::from_u128(1);
    let at = |done| Progress { done, total: None, message: "ü".repeat(600) };
    let news = vec![(lease(1), at(1)), (lease(2), at(2)), (lease(3), at(3))];
    story.roster.progress(story.now, worker, news);
    let told = |story: &Story, token| story.roster.progress_of(worker, &lease(token));
    assert_eq!(told(&story, 1).map(|progress| (progress.done, progress.message.len())), Some((1, 1000)));
    assert_eq!(told(&story, 3), None, "it holds no such lease");
    story.roster.let_go(worker, &lease(1));
    story.roster.progress(story.now, worker, vec![(lease(2), at(4))]);
    assert_eq!((told(&story, 1), told(&story, 2).map(|progress| progress.done)), (None, Some(4)));
    let held = [(worker, lease(2))];
    story.roster.reset(story.now, held);
    assert_eq!(told(&story, 2), None);
}
