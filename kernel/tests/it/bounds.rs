//! The largest numbers that an entry or a row can carry: every one has an answer, and none panics.

use std::collections::BTreeMap;

use bytes::Bytes;
use raftwork_kernel::{
    Accepted, Acquire, Command, Counters, Entry, Expire, Extend, Fail, FailureKind, Forget, FunctionSpec,
    Language, Lease, LeaseRef, LogTime, Millis, Output, Phase, PythonVersion, Register, Release, Reply,
    RetryPolicy, Rule, Scalars, Seq, State, Submit, SubmitUnder, Task, TaskError, TaskId, TaskOptions, Token,
    WallTime, limits,
};

use crate::support::group::Group;
use crate::support::names::Name;

const PYTHON: PythonVersion = PythonVersion { major: u8::MAX, minor: u8::MAX };

fn name(text: &str) -> Name {
    Name(text.to_owned())
}

fn apply(group: &mut Group, at: u64, command: Command) -> Reply {
    let entry = Entry { log_time: LogTime(at), wall_time: WallTime(at), commands: vec![command] };
    group.apply(&entry).replies.remove(0)
}

fn acquire(group: &mut Group, at: u64, request: &str) -> Vec<LeaseRef> {
    acquire_some(group, at, request, u16::MAX)
}

fn acquire_some(group: &mut Group, at: u64, request: &str, max: u16) -> Vec<LeaseRef> {
    let (worker, request) = (name("w").worker(), name(request).request());
    let command = Acquire { worker, request, max, python: PYTHON };
    match apply(group, at, Command::Acquire(command)) {
        Ok(Accepted::Granted(grants)) => {
            grants.iter().map(|grant| LeaseRef { task: grant.task, token: grant.token }).collect()
        }
        other => panic!("an acquire is always granted something or nothing, not {other:?}"),
    }
}

fn fail(lease: LeaseRef, kind: FailureKind) -> Command {
    let (type_name, message, traceback) = (String::new(), String::new(), String::new());
    let error = TaskError { kind, type_name, message, traceback, exception: None };
    Command::Fail(Fail { lease, error, bases: Vec::new(), retryable: true, output: Output::default() })
}

/// A function that asks for as much of everything as it can.
fn greedy() -> Register {
    Register {
        function: name("f").function(),
        spec: FunctionSpec {
            name: "x".repeat(limits::FUNCTION_NAME_BYTES_MAX),
            language: Language::Source,
            code_hash: raftwork_kernel::CodeHash([0xff; 32]),
            python: Some(PYTHON),
            retry: RetryPolicy { max_attempts: limits::ATTEMPTS_MAX, initial_ms: u32::MAX, max_ms: u32::MAX },
            run_max: Some(Millis(u64::MAX)),
            retention: Millis(u64::MAX),
        },
        code: Bytes::new(),
    }
}

fn submit(tasks: &[&str], delay: u64) -> Submit {
    let items = tasks.iter().map(|task| (name(task).task(), Bytes::new())).collect();
    let options =
        TaskOptions { priority: limits::PRIORITY_MAX, delay: Millis(delay), ..TaskOptions::default() };
    Submit { function: name("f").function(), options, items }
}

#[test]
fn a_greedy_function_lives_through_the_end_of_time() {
    let mut group = Group::default();
    apply(&mut group, 0, Command::Register(greedy())).unwrap();
    apply(&mut group, 1, Command::Submit(submit(&["a", "b", "c"], 0))).unwrap();
    apply(&mut group, 2, Command::Submit(submit(&["d"], u64::MAX))).unwrap();
    let leases = acquire(&mut group, u64::MAX - 1, "r1");
    assert_eq!(leases.len(), 3);
    let extend = Extend { lease: leases[0], run: Millis(u64::MAX) };
    let extended = apply(&mut group, u64::MAX - 1, Command::Extend(extend));
    assert_eq!(extended, Ok(Accepted::Extended { run_until: LogTime(u64::MAX) }));
    let failed = apply(&mut group, u64::MAX - 1, fail(leases[1], FailureKind::Exception));
    assert_eq!(failed, Ok(Accepted::WillRetry { due: LogTime(u64::MAX) }));
    // At the last moment that there is, everything comes due, over and over, and still each entry ends.
    for request in ["r2", "r3", "r4"] {
        for lease in acquire(&mut group, u64::MAX, request) {
            apply(&mut group, u64::MAX, fail(lease, FailureKind::Timeout)).unwrap();
        }
    }
    let forgotten = apply(&mut group, u64::MAX, Command::Forget(Forget { tasks: vec![name("a").task()] }));
    assert_eq!(forgotten, Ok(Accepted::Forgotten(0)));
}

#[test]
fn priorities_and_tokens_beyond_their_range_are_refused() {
    let mut group = Group::default();
    apply(&mut group, 0, Command::Register(greedy())).unwrap();
    let mut command = submit(&["a"], 0);
    command.options.priority = u8::MAX;
    assert!(apply(&mut group, 0, Command::Submit(command)).is_err());
    apply(&mut group, 0, Command::Submit(submit(&["a"], 0))).unwrap();
    let lease = LeaseRef { task: name("a").task(), token: Token(u64::MAX) };
    assert!(apply(&mut group, 0, Command::Release(Release { lease })).is_err());
    assert!(apply(&mut group, 0, fail(lease, FailureKind::WorkerLost)).is_err());
    let expired = apply(&mut group, 0, Command::Expire(Expire { leases: vec![(lease, true); 1_000] }));
    assert_eq!(expired, Ok(Accepted::Expired(0)));
}

/// A group whose one task has been through more than counters can count.
fn worn_out() -> (Group, LeaseRef) {
    let mut group = Group::default();
    apply(&mut group, 0, Command::Register(greedy())).expect("it is within bounds");
    apply(&mut group, 0, Command::Submit(submit(&["a"], 0))).expect("it is within bounds");
    let id = name("a").task();
    let mut task = group.state.task(&id).expect("it was just accepted");
    task.counters = Counters { failures: u16::MAX, crashes: u16::MAX, losses: u16::MAX, returns: u16::MAX };
    task.token = Token(u64::MAX - 1);
    let held = Lease { worker: name("w").worker(), request: name("r").request(), run_until: None };
    task.phase = Phase::Leased(Box::new(held));
    let scalars = Scalars { last_token: Token(u64::MAX - 1), ..group.state.scalars() };
    let lease = LeaseRef { task: id, token: task.token };
    group.store.live = BTreeMap::from([(id, task)]);
    group.state = State::restore(scalars, group.store.live.clone(), &group.store);
    (group, lease)
}

#[test]
fn counters_stop_at_their_end() {
    let (mut group, lease) = worn_out();
    apply(&mut group, 0, Command::Release(Release { lease })).unwrap();
    let task = group.state.task(&lease.task).unwrap();
    assert_eq!((task.counters.returns, task.counters.next_attempt()), (u16::MAX, u16::MAX));
    assert_eq!(acquire(&mut group, 0, "last"), [LeaseRef { token: Token(u64::MAX), ..lease }]);
}

#[test]
fn every_kind_of_end_can_be_charged_to_a_full_counter() {
    for kind in [
        FailureKind::Exception,
        FailureKind::Crash { exit_code: None, signal: None },
        FailureKind::WorkerLost,
    ] {
        let (mut group, lease) = worn_out();
        let ended = apply(&mut group, 0, fail(lease, kind));
        assert!(matches!(ended, Ok(Accepted::Finished { .. })), "{kind:?}: {ended:?}");
    }
}

#[test]
fn of_more_missed_starts_than_one_entry_ends_none_is_granted() {
    let mut group = Group::default();
    apply(&mut group, 0, Command::Register(greedy())).unwrap();
    let names: Vec<String> = (0..1_500).map(|n| format!("t{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rules = [Rule::StartBy(Millis(1_000))].into_iter().collect();
    let late = SubmitUnder { submit: submit(&names, 0), rules };
    apply(&mut group, 0, Command::SubmitUnder(late)).unwrap();
    apply(&mut group, 0, Command::Submit(submit(&["fresh"], 0))).unwrap();
    // The entry ends as many as it may, and its acquire as many more as it was to be granted.
    assert_eq!(acquire_some(&mut group, 1_000, "r1", 3), []);
    assert_eq!(group.state.live_len(), 1_501 - limits::DUE_PER_ENTRY_MAX - 3);
    let fresh = LeaseRef { task: name("fresh").task(), token: Token(1) };
    assert_eq!(acquire_some(&mut group, 1_000, "r2", 1), [fresh]);
    assert_eq!((group.state.live_len(), group.store.records.len()), (1, 1_500));
}

#[test]
fn rows_of_any_priority_have_their_place() {
    let tasks = [u8::MAX, 0, limits::PRIORITY_MAX].into_iter().zip(1_u64..).map(|(priority, n)| {
        let task = Task {
            seq: Seq(n),
            token: Token(0),
            phase: Phase::Ready,
            counters: Counters::default(),
            priority,
            python: None,
            retry: RetryPolicy::default(),
            run_max: None,
            retention: Millis(0),
            deadlines: None,
        };
        (TaskId::from_u128(n.into()), task)
    });
    let scalars = Scalars { last_seq: Seq(3), ..Scalars::default() };
    let mut state = State::restore(scalars, tasks, &raftwork_kernel::NoRows);
    state.check_invariants().unwrap();
    let (worker, request) = (name("w").worker(), name("r").request());
    let command = Command::Acquire(Acquire { worker, request, max: 3, python: PYTHON });
    let entry = Entry { log_time: LogTime(0), wall_time: WallTime(0), commands: vec![command] };
    let Ok(Accepted::Granted(grants)) = &state.apply(&entry, &raftwork_kernel::NoRows).replies[0] else {
        panic!("an acquire is always granted something or nothing")
    };
    let order: Vec<_> = grants.iter().map(|grant| grant.task).collect();
    assert_eq!(order, [1, 3, 2].map(TaskId::from_u128));
}
