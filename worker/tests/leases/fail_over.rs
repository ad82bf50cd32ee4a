//! Leaders come and go; what runs goes on, what was reported is repeated, and who is cut off stops.

use raftwork_api::kernel::Release;
use raftwork_api::stream::{Ending, FromWorker, ToWorker};

use crate::leader::{Function, Leader, lease};
use crate::python;
use crate::worker::{Gate, Worker, config, eventually, is_running};

const TTL: u64 = 30_000;
const BEAT: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_outlives_its_leader_and_is_reported_to_the_next_until_judged() {
    let (first, second) = (Leader::start().await, Leader::start().await);
    let _worker = Worker::start(config([&first, &second], 1));
    let mut peer = first.welcome(TTL, BEAT).await;
    let gate = Gate::new();
    let function = Function::pickled(1, &gate.source());
    peer.knows(&function);
    peer.grant(vec![function.task(1, &python::arguments("((), {})"))]);
    assert_eq!(peer.next_started().await, [lease(1)]);
    gate.entered().await;
    drop((peer, first));

    let mut peer = second.welcome(TTL, BEAT).await;
    assert_eq!(peer.hello.held, [(lease(1), true)]);
    gate.open();
    let complete = peer.next_complete().await;
    assert_eq!(python::reprs(std::slice::from_ref(&complete.result)), ["'through'"]);
    // It dies before it has judged the report.
    drop(peer);

    let mut peer = second.welcome(TTL, BEAT).await;
    assert_eq!(peer.hello.held, [(lease(1), true)]);
    assert_eq!(peer.next_complete().await, complete);
    peer.accept_report(lease(1));
    peer.until_heartbeat(|heartbeat| heartbeat.held.is_empty()).await;
    drop(peer);

    let mut peer = second.welcome(TTL, BEAT).await;
    assert_eq!(peer.hello.held, []);
    peer.until_heartbeat(|_| true).await;
    peer.until_heartbeat(|_| true).await;
    assert_eq!(gate.runs().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_follows_to_the_leader_that_a_node_names() {
    let (node, leader) = (Leader::start().await, Leader::start().await);
    // It was told of the one node alone.
    let _worker = Worker::start(config([&node], 1));
    let mut lost = node.accept().await;
    lost.say(&ToWorker::NotLeader { leader: Some(format!("{}/", leader.url)) });
    lost.until_gone().await;
    let mut peer = leader.welcome(TTL, BEAT).await;
    assert_eq!(peer.hello.worker, lost.hello.worker);
    peer.until_heartbeat(|_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_speak_is_left_for_another() {
    let (mute, leader) = (Leader::start().await, Leader::start().await);
    let _worker = Worker::start(config([&mute, &leader], 1));
    let mut silent = mute.accept().await;
    leader.welcome(TTL, BEAT).await.until_heartbeat(|_| true).await;
    silent.until_gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_falls_silent_is_left_and_the_task_goes_on() {
    let (first, second) = (Leader::start().await, Leader::start().await);
    let _worker = Worker::start(config([&first, &second], 1));
    let mut frozen = first.welcome(TTL, BEAT).await;
    let gate = Gate::new();
    let function = Function::pickled(1, &gate.source());
    frozen.knows(&function);
    frozen.grant(vec![function.task(1, &python::arguments("((), {})"))]);
    frozen.next_started().await;
    frozen.fall_silent();
    let mut peer = second.welcome(TTL, BEAT).await;
    assert_eq!(peer.hello.held, [(lease(1), true)]);
    gate.open();
    peer.next_complete().await;
    assert_eq!(gate.runs().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_worker_kills_its_task_and_gives_it_back_later() {
    let leader = Leader::start().await;
    let _worker = Worker::start(config([&leader], 1));
    let mut peer = leader.welcome(4_000, BEAT).await;
    let gate = Gate::new();
    let function = Function::pickled(1, &gate.source());
    peer.knows(&function);
    peer.grant(vec![function.task(1, &python::arguments("((), {})"))]);
    peer.next_started().await;
    let pid = gate.entered().await;
    drop(peer);
    // The cluster has no leader: whoever is asked, nobody says welcome.
    let asked = async {
        loop {
            leader.accept().await.say(&ToWorker::NotLeader { leader: None });
        }
    };
    tokio::select! {
        () = asked => unreachable!("an endless loop"),
        () = eventually("the worker kills the task by itself", || !is_running(pid)) => {}
    }
    // What had to die is dead; now there is a leader again.
    let mut peer = leader.welcome(TTL, BEAT).await;
    let release = Ending::Release(Release { lease: lease(1) });
    assert_eq!(peer.next().await, FromWorker::Report { started: Vec::new(), ended: vec![release] });
    peer.accept_report(lease(1));
    let again = Function::pickled(2, "def f():\n    return 1");
    peer.knows(&again);
    peer.grant(vec![again.task(2, &python::arguments("((), {})"))]);
    assert_eq!(peer.next_complete().await.lease, lease(2));
}
