//! A worker that is told to leave.

use raftwork_api::kernel::{LeaseRef, Release};
use raftwork_api::stream::{Ending, FromWorker, ToWorker};
use raftwork_worker::{ExitReason, WorkerConfig, WorkerError};

use crate::leader::{Function, Leader, Peer, lease};
use crate::python;
use crate::worker::{Gate, Worker, config, eventually, is_running};

const TTL: u64 = 30_000;
const BEAT: u64 = 1_000;

/// A worker with one slot that runs task 1 and holds task 2, both of `gate`.
async fn busy_worker(leader: &Leader, gate: &Gate) -> (Worker, Peer) {
    let worker = Worker::start(WorkerConfig { prefetch: Some(1), ..config([leader], 1) });
    let mut peer = leader.welcome(TTL, BEAT).await;
    let function = Function::pickled(1, &gate.source());
    peer.knows(&function);
    let args = python::arguments("((), {})");
    peer.grant(vec![function.task(1, &args), function.task(2, &args)]);
    assert_eq!(peer.next_started().await, [lease(1)]);
    gate.entered().await;
    (worker, peer)
}

fn release(lease: LeaseRef) -> FromWorker {
    FromWorker::Report { started: Vec::new(), ended: vec![Ending::Release(Release { lease })] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_gives_back_what_waits_and_finishes_what_runs() {
    let (leader, gate) = (Leader::start().await, Gate::new());
    let (worker, mut peer) = busy_worker(&leader, &gate).await;
    worker.shutdown.request();
    assert_eq!(peer.next().await, release(lease(2)));
    assert!(peer.last_heartbeat().draining, "the leader was not told first");
    peer.accept_report(lease(2));
    gate.open();
    assert_eq!(peer.next_complete().await.lease, lease(1));
    peer.accept_report(lease(1));
    assert_eq!(worker.left().await, ExitReason::Drained);
    peer.until_gone().await;
    let pid = gate.runs()[0];
    eventually("the child has ended", || !is_running(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_request_kills_what_runs_and_gives_it_back() {
    let (leader, gate) = (Leader::start().await, Gate::new());
    let (worker, mut peer) = busy_worker(&leader, &gate).await;
    worker.shutdown.request();
    assert_eq!(peer.next().await, release(lease(2)));
    worker.shutdown.request();
    assert_eq!(peer.next().await, release(lease(1)));
    peer.accept_report(lease(2));
    peer.accept_report(lease(1));
    assert_eq!(worker.left().await, ExitReason::Stopped);
    let pid = gate.runs()[0];
    eventually("the child has ended", || !is_running(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_can_dismiss_a_worker() {
    let leader = Leader::start().await;
    let worker = Worker::start(config([&leader], 1));
    let mut peer = leader.welcome(TTL, BEAT).await;
    peer.until_heartbeat(|_| true).await;
    peer.say(&ToWorker::Drain);
    assert_eq!(worker.left().await, ExitReason::Dismissed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_found_no_leader_leaves_at_once() {
    let leader = Leader::start().await;
    let worker = Worker::start(config([&leader], 1));
    worker.shutdown.request();
    assert!(matches!(worker.left().await, ExitReason::Drained | ExitReason::Stopped));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_python_does_not_start() {
    let config = WorkerConfig::new(["http://127.0.0.1:1"], "/nonexistent/python", python::package_dir());
    let (_shutdown, requests) = raftwork_worker::Shutdown::manual();
    let error = raftwork_worker::run(config, requests).await.unwrap_err();
    assert!(matches!(error, WorkerError::Python(_)), "{error}");
    assert!(error.to_string().contains("/nonexistent/python"), "{error}");
}
