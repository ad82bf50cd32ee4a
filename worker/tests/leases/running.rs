//! Tasks run, and what becomes of them is reported.

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::Bytes;
use raftwork_api::kernel::FailureKind;
use raftwork_api::stream::{FromWorker, ToWorker};
use raftwork_api::workers::WorkerMode;
use raftwork_worker::WorkerConfig;

use crate::leader::{Function, Leader, lease};
use crate::python;
use crate::worker::{Gate, Worker, config, eventually, is_running};

const TTL: u64 = 30_000;
const BEAT: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn results_failures_and_crashes_are_reported_as_what_they_are() {
    let leader = Leader::start().await;
    let worker = Worker::start(config([&leader], 1));
    let mut peer = leader.welcome(TTL, BEAT).await;
    assert_eq!((peer.hello.slots, peer.hello.capacity, peer.hello.mode), (1, 1, WorkerMode::Push));
    let functions = [
        Function::pickled(1, "def f(a, b):\n    print('hello')\n    return a * b"),
        Function::pickled(2, "def f(a, b):\n    raise ValueError('no')"),
        Function::pickled(3, "def f(a, b):\n    import os\n    os._exit(3)"),
        Function::source(4, "twice", "def twice(x):\n    return [x, x]\n"),
    ];
    for function in &functions {
        peer.knows(function);
    }
    let args = python::arguments("((6, 7), {})");

    peer.grant(vec![functions[0].task(1, &args)]);
    assert_eq!(peer.next_started().await, [lease(1)]);
    let complete = peer.next_complete().await;
    assert_eq!(complete.lease, lease(1));
    assert_eq!(python::reprs(&[complete.result]), ["42"]);
    assert_eq!(complete.output.stdout, "hello\n");
    peer.accept_report(lease(1));

    peer.grant(vec![functions[1].task(2, &args)]);
    let fail = peer.next_fail().await;
    assert_eq!((fail.lease, fail.error.kind, fail.retryable), (lease(2), FailureKind::Exception, true));
    assert_eq!(python::reprs(&[fail.error.exception.unwrap()]), ["ValueError('no')"]);
    assert!(fail.error.traceback.contains("ValueError: no"));
    peer.accept_report(lease(2));

    peer.grant(vec![functions[2].task(3, &args)]);
    let fail = peer.next_fail().await;
    assert_eq!(fail.error.kind, FailureKind::Crash { exit_code: Some(3), signal: None });
    peer.accept_report(lease(3));

    peer.grant(vec![functions[3].task(4, &Bytes::from_static(b"[5]"))]);
    assert_eq!(peer.next_complete().await.result, "[5, 5]".replace(' ', ""));
    peer.accept_report(lease(4));

    peer.until_heartbeat(|heartbeat| heartbeat.held.is_empty()).await;
    worker.shutdown.request();
    worker.left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_task_is_killed_and_its_slot_is_free_again() {
    let leader = Leader::start().await;
    let _worker = Worker::start(config([&leader], 1));
    let mut peer = leader.welcome(TTL, BEAT).await;
    let gate = Gate::new();
    let (waits, adds) =
        (Function::pickled(1, &gate.source()), Function::pickled(2, "def f():\n    return 1"));
    peer.knows(&waits);
    peer.knows(&adds);
    let args = python::arguments("((), {})");
    peer.grant(vec![waits.task(1, &args)]);
    assert_eq!(peer.next_started().await, [lease(1)]);
    let pid = gate.entered().await;
    peer.say(&ToWorker::Revoke(vec![lease(1)]));
    eventually("the process is killed", || !is_running(pid)).await;
    peer.grant(vec![adds.task(2, &args)]);
    assert_eq!(peer.next_complete().await.lease, lease(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_worker_repeats_its_ask_until_it_is_answered() {
    let leader = Leader::start().await;
    let _worker = Worker::start(WorkerConfig { mode: WorkerMode::Pull, ..config([&leader], 2) });
    let mut peer = leader.welcome(TTL, BEAT).await;
    let FromWorker::Ask { request, max: 2 } = peer.next().await else { panic!("no ask for two") };
    drop(peer);
    let mut peer = leader.welcome(TTL, BEAT).await;
    assert_eq!(peer.next().await, FromWorker::Ask { request, max: 2 });

    let function = Function::pickled(1, "def f():\n    return 1");
    peer.knows(&function);
    let work = vec![function.task(1, &python::arguments("((), {})"))];
    peer.say(&ToWorker::Grants { request, work });
    // One slot is still free, so a new ask comes before the result.
    let message = peer.next_report().await;
    let FromWorker::Ask { request: asked, max: 1 } = message else { panic!("no ask for one: {message:?}") };
    assert_ne!(asked, request);
    assert_eq!(peer.next_complete().await.lease, lease(1));
}

/// Also prints how fast it goes, as a leader sees it that answers at once.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "a figure for people, shown on demand")]
async fn a_flood_of_small_tasks_all_complete_once() {
    const TASKS: u64 = 4_000;
    const CAPACITY: u64 = 66;
    let leader = Leader::start().await;
    let _worker = Worker::start(WorkerConfig { prefetch: Some(64), ..config([&leader], 2) });
    let mut peer = leader.welcome(TTL, BEAT).await;
    let function = Function::pickled(1, "def f():\n    return None");
    peer.knows(&function);
    let args = python::arguments("((), {})");
    let start = Instant::now();
    peer.grant((1..=CAPACITY).map(|number| function.task(number, &args)).collect());
    let (mut granted, mut completed) = (CAPACITY, BTreeSet::new());
    while completed.len() < usize::try_from(TASKS).unwrap() {
        let complete = peer.next_complete().await;
        assert!(completed.insert(complete.lease), "{:?} came twice", complete.lease);
        peer.accept_report(complete.lease);
        if granted < TASKS {
            granted += 1;
            peer.grant(vec![function.task(granted, &args)]);
        }
    }
    let each = start.elapsed() / u32::try_from(TASKS).unwrap();
    eprintln!("{TASKS} no-op tasks on 2 slots, 66 held: {} us each", each.as_micros());
    assert_eq!(completed, (1..=TASKS).map(lease).collect());
}
