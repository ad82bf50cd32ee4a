//! What a client does when nodes come, go, refuse and fall silent.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a fake node answers the rest alike"
)]

mod fake;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fake::{Act, FakeNode};
use raftwork_api::kernel::{
    Accepted, Counters, FunctionId, InParts, LogTime, Millis, Outcome, Pack, Record, Rejection, Rules,
    Status, Submit, TaskId, TaskOptions, Token, WallTime, limits,
};
use raftwork_api::maps::PIECE_BYTES;
use raftwork_api::stream::{FromClient, ToClient};
use raftwork_client::{
    CancelError, Client, NewFunction, NewMap, RedriveError, ResultError, Settings, StatusError, SubmitError,
    new_map_id, new_task_id,
};

fn impatient() -> Settings {
    Settings {
        patience: Duration::from_secs(10),
        dial_timeout: Duration::from_millis(500),
        silence_max: Duration::from_millis(400),
    }
}

fn client(nodes: &[&FakeNode]) -> Client {
    Client::with_settings(nodes.iter().map(|node| &node.url), impatient())
        .expect("the URL of a fake node is one")
}

fn submit(tasks: &[TaskId]) -> Submit {
    let function = NewFunction::source("f", "def f(): pass").to_register().function;
    let items = tasks.iter().map(|task| (*task, b"{}".as_slice().into())).collect();
    Submit { function, options: TaskOptions::default(), items }
}

fn created(number: u32) -> ToClient {
    ToClient::Reply(Ok(Accepted::Submitted { created: number }))
}

fn record(result: &'static [u8]) -> Record {
    Record {
        outcome: Outcome::Completed(result.into()),
        token: Token(7),
        worker: None,
        counters: Counters::default(),
        finished_wall: WallTime(1),
        expires: LogTime(2),
    }
}

fn not_leader(leader: Option<&str>) -> ToClient {
    ToClient::NotLeader { leader: leader.map(str::to_owned) }
}

#[tokio::test]
async fn a_follower_is_left_for_the_leader_that_it_names() {
    let leader = FakeNode::start(|_, _| Act::Answer(created(1))).await;
    let url = leader.url.clone();
    let follower = FakeNode::start(move |_, _| Act::Answer(not_leader(Some(&url)))).await;

    // The client knows the follower alone.
    let made = client(&[&follower]).submit(submit(&[new_task_id()]), None).await;

    assert_eq!(made, Ok(1));
    assert_eq!(leader.heard(), follower.heard());
}

#[tokio::test]
async fn a_client_goes_on_when_every_node_that_it_was_given_is_gone() {
    let heir = FakeNode::start(|_, _| Act::Answer(created(1))).await;
    let members = ToClient::Members(vec![heir.url.clone()]);
    let first = FakeNode::start(move |_, _| Act::PushThenAnswer(members.clone(), created(1))).await;
    let client = client(&[&first]);
    assert_eq!(client.submit(submit(&[new_task_id()]), None).await, Ok(1));
    assert_eq!(heir.heard(), []);
    drop(first);

    let wanted = submit(&[new_task_id()]);
    assert_eq!(client.submit(wanted.clone(), None).await, Ok(1));
    assert_eq!(heir.heard(), [FromClient::Submit { submit: wanted, watch: false }]);
}

#[tokio::test]
async fn a_submit_whose_connection_is_cut_is_repeated_with_the_same_ids() {
    let dying = FakeNode::start(|_, _| Act::Cut).await;
    let heir = FakeNode::start(|_, _| Act::Answer(created(0))).await;
    let wanted = submit(&[new_task_id(), new_task_id()]);

    let made = client(&[&dying, &heir]).submit(wanted.clone(), None).await;

    assert_eq!(made, Ok(0));
    assert_eq!(heir.heard(), [FromClient::Submit { submit: wanted, watch: false }]);
    assert_eq!(dying.heard(), heir.heard());
}

#[tokio::test]
async fn nodes_that_name_each_other_are_asked_until_patience_ends() {
    let settings = Settings { patience: Duration::from_millis(700), ..impatient() };
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second_url = format!("http://{}", socket.local_addr().unwrap());
    let named = second_url.clone();
    let first = FakeNode::start(move |_, _| Act::Answer(not_leader(Some(&named)))).await;
    let named = first.url.clone();
    let second = FakeNode::serve(socket, move |_, _| Act::Answer(not_leader(Some(&named))));

    let client = Client::with_settings([&first.url, &second.url], settings).unwrap();
    let error = client.status(new_task_id()).await.unwrap_err();

    assert!(matches!(&error, StatusError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("does not lead"), "{error}");
    let asked = first.heard().len() + second.heard().len();
    assert!((3..40).contains(&asked), "asked {asked} times");
}

#[tokio::test]
async fn a_busy_leader_is_given_the_time_that_it_asks_for() {
    let busy = ToClient::Busy { retry_after: Millis(150) };
    let leader = FakeNode::start(move |heard, _| match heard {
        0 | 1 => Act::Answer(busy.clone()),
        _ => Act::Answer(created(1)),
    })
    .await;
    let start = Instant::now();

    let made = client(&[&leader]).submit(submit(&[new_task_id()]), None).await;

    assert_eq!(made, Ok(1));
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    assert_eq!(leader.heard().len(), 3);
}

#[tokio::test]
async fn an_unknown_fate_is_resolved_by_repeating() {
    let leader = FakeNode::start(|heard, _| match heard {
        0 => Act::Answer(ToClient::Unknown { reason: "the leader stepped down".into() }),
        _ => Act::Answer(created(0)),
    })
    .await;
    let made = client(&[&leader]).submit(submit(&[new_task_id()]), None).await;
    assert_eq!((made, leader.heard().len()), (Ok(0), 2));
}

#[tokio::test]
async fn a_watch_outlives_the_node_that_it_was_placed_with() {
    let task = new_task_id();
    let first = FakeNode::start(|_, message| match message {
        FromClient::Submit { .. } | FromClient::SubmitUnder { .. } => Act::Answer(created(1)),
        FromClient::Register(_)
        | FromClient::Cancel(_)
        | FromClient::Redrive(_)
        | FromClient::Status(_)
        | FromClient::Watch(_)
        | FromClient::Store(_)
        | FromClient::StorePart(_)
        | FromClient::Map(_)
        | FromClient::CancelMap(_) => Act::Cut,
    })
    .await;
    let heir = FakeNode::start(move |_, message| match message {
        FromClient::Watch(tasks) if tasks.contains(&task) => {
            Act::PushThenAnswer(ToClient::Finished(vec![(task, Some(record(b"42")))]), ToClient::Watching)
        }
        _ => Act::Answer(ToClient::Watching),
    })
    .await;
    let client = client(&[&first, &heir]);
    let (watcher, mut finished) = client.watcher();

    assert_eq!(client.submit(submit(&[task]), Some(&watcher)).await, Ok(1));
    // The first node cuts the connection at the ping that its silence brings on.
    let batch = tokio::time::timeout(Duration::from_secs(10), finished.next()).await.unwrap();

    assert_eq!(batch, Some(vec![(task, Some(record(b"42")))]));
    assert_eq!(heir.heard(), [FromClient::Watch(vec![task])]);
}

#[tokio::test]
async fn a_result_that_comes_before_the_answer_to_its_submit_is_delivered_once() {
    let task = new_task_id();
    let leader = FakeNode::start(move |heard, message| match (heard, message) {
        (0, _) => Act::PushThenAnswer(ToClient::Finished(vec![(task, Some(record(b"1")))]), created(1)),
        (_, FromClient::Submit { .. }) => Act::Answer(created(0)),
        _ => Act::Answer(ToClient::Status(None)),
    })
    .await;
    let client = client(&[&leader]);
    let (watcher, mut finished) = client.watcher();

    assert_eq!(client.submit(submit(&[task]), Some(&watcher)).await, Ok(1));
    assert_eq!(finished.next().await, Some(vec![(task, Some(record(b"1")))]));
    // Nothing is left that the session would watch again.
    assert_eq!(client.status(task).await, Err(StatusError::UnknownTask(task)));
    assert_eq!(leader.heard().len(), 2);
}

#[tokio::test]
async fn a_leader_that_falls_silent_is_left() {
    let frozen = FakeNode::start(|_, _| Act::Silence).await;
    let heir = FakeNode::start(|_, _| Act::Answer(ToClient::Status(Some((Status::Running, Token(3)))))).await;
    let start = Instant::now();

    let status = client(&[&frozen, &heir]).status(new_task_id()).await;

    assert_eq!(status, Ok((Status::Running, Token(3))));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_named_in_the_error() {
    let gone = FakeNode::start(|_, _| Act::Silence).await.url.clone();
    let settings = Settings { patience: Duration::from_millis(300), ..impatient() };
    let client = Client::with_settings([&gone], settings).unwrap();
    let error = client.submit(submit(&[new_task_id()]), None).await.unwrap_err();
    assert!(matches!(&error, SubmitError::Unavailable(_)) && error.to_string().contains(&gone), "{error}");
}

#[tokio::test]
async fn refusals_reach_the_caller_as_what_they_are() {
    let task = new_task_id();
    let leader = FakeNode::start(move |_, message| match message {
        FromClient::SubmitUnder { .. } => Act::Cut,
        FromClient::Submit { submit, .. } => {
            Act::Answer(ToClient::Reply(Err(Rejection::UnknownFunction(submit.function))))
        }
        FromClient::Cancel(cancel) => {
            let status = Status::Completed;
            Act::Answer(ToClient::Reply(Err(Rejection::AlreadyFinished { task: cancel.task, status })))
        }
        FromClient::Redrive(task) => {
            let status = Status::Running;
            Act::Answer(ToClient::Reply(Err(Rejection::NotRedrivable { task: *task, status })))
        }
        FromClient::Watch(tasks) => {
            let finished = tasks.iter().map(|task| (*task, None)).collect();
            Act::PushThenAnswer(ToClient::Finished(finished), ToClient::Watching)
        }
        FromClient::Register(_)
        | FromClient::Status(_)
        | FromClient::Store(_)
        | FromClient::StorePart(_)
        | FromClient::Map(_)
        | FromClient::CancelMap(_) => Act::Answer(ToClient::Status(None)),
    })
    .await;
    let client = client(&[&leader]);
    let (watcher, _finished) = client.watcher();

    let wanted = submit(&[task]);
    let unknown = Rejection::UnknownFunction(wanted.function);
    assert_eq!(client.submit(wanted, Some(&watcher)).await, Err(SubmitError::Rejected(unknown)));
    let ended = CancelError::AlreadyFinished { task, status: Status::Completed };
    assert_eq!(client.cancel(task).await, Err(ended));
    let runs = Rejection::NotRedrivable { task, status: Status::Running };
    assert_eq!(client.redrive(task).await, Err(RedriveError::Rejected(runs)));
    let patience = Duration::from_secs(5);
    assert_eq!(client.result(task, patience).await, Err(ResultError::UnknownTask(task)));
}

#[tokio::test]
async fn a_thousand_submits_at_once_are_all_answered_over_a_fail_over() {
    let dying =
        FakeNode::start(|heard, _| if heard < 300 { Act::Answer(created(1)) } else { Act::Cut }).await;
    let heir = FakeNode::start(|_, _| Act::Answer(created(1))).await;
    let client = client(&[&dying, &heir]);
    let submits = (0..2000).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.submit(submit(&[new_task_id()]), None).await })
    });
    let submits: Vec<_> = submits.collect();
    for answer in submits {
        assert_eq!(answer.await.unwrap(), Ok(1));
    }
}

#[tokio::test]
async fn a_result_that_does_not_come_says_so_and_the_task_goes_on() {
    let leader = FakeNode::start(|_, _| Act::Answer(ToClient::Watching)).await;
    let task = new_task_id();
    let waited = Duration::from_millis(50);
    let answer = client(&[&leader]).result(task, waited).await;
    assert_eq!(answer, Err(ResultError::NotYet { task, waited }));
}

/// Ten items of the largest size that leaves a piece alone: ten pieces.
fn map() -> NewMap {
    let packs = (0..10).map(|n| Pack::Each(vec![vec![n; PIECE_BYTES].into()])).collect();
    let function = FunctionId::from_u128(7);
    NewMap { id: new_map_id(), function, options: TaskOptions::default(), rules: Rules::default(), packs }
}

fn accept_map(message: &FromClient) -> ToClient {
    match message {
        FromClient::Store(_) => ToClient::Reply(Ok(Accepted::Stored)),
        FromClient::Map(_) => ToClient::Reply(Ok(Accepted::Mapped { items: 10, created: true })),
        _ => panic!("{message:?} is no part of a map"),
    }
}

/// Places of the pieces that a node has heard, in order, and whether the map came after them.
fn pieces(heard: &[FromClient]) -> (BTreeSet<u32>, bool) {
    let place = |message: &FromClient| match message {
        FromClient::Store(store) => Some(store.index),
        _ => None,
    };
    (heard.iter().filter_map(place).collect(), matches!(heard.last(), Some(FromClient::Map(_))))
}

#[tokio::test]
async fn a_map_goes_on_at_the_next_leader_from_where_the_answers_ended() {
    let dying = FakeNode::start(|heard, message| match heard {
        0..4 => Act::Answer(accept_map(message)),
        _ => Act::Cut,
    })
    .await;
    let heir = FakeNode::start(|_, message| Act::Answer(accept_map(message))).await;

    let made = client(&[&dying, &heir]).map(map()).await;

    assert_eq!(made, Ok((10, true)));
    let (after, mapped) = pieces(&heir.heard());
    let (before, _) = pieces(&dying.heard());
    assert!(mapped && after.len() <= 6, "{after:?}");
    assert_eq!(before.union(&after).count(), 10);
}

#[tokio::test]
async fn a_map_whose_pieces_were_forgotten_is_sent_again_from_its_beginning() {
    let wanted = map();
    let forgotten = Rejection::MapIncomplete { map: wanted.id, piece: 0 };
    let leader = FakeNode::start(move |heard, message| match heard {
        10 => Act::Answer(ToClient::Reply(Err(forgotten.clone()))),
        _ => Act::Answer(accept_map(message)),
    })
    .await;

    let made = client(&[&leader]).map(wanted).await;

    assert_eq!(made, Ok((10, true)));
    assert_eq!(leader.heard().len(), 22);
}

#[tokio::test]
async fn a_map_that_is_refused_says_why() {
    let wanted = map();
    let taken = Rejection::MapConflict(wanted.id);
    let refusal = taken.clone();
    let leader = FakeNode::start(move |_, _| Act::Answer(ToClient::Reply(Err(refusal.clone())))).await;

    let made = client(&[&leader]).map(wanted).await;

    assert_eq!(made, Err(SubmitError::Rejected(taken)));
}

/// A task whose arguments need five parts.
fn large() -> Submit {
    let args = Bytes::from(vec![7; 4 * limits::PART_BYTES_MAX + 5]);
    let items = vec![(new_task_id(), args)];
    Submit { function: FunctionId::from_u128(7), options: TaskOptions::default(), items }
}

fn accept_large(message: &FromClient) -> ToClient {
    match message {
        FromClient::StorePart(_) => ToClient::Reply(Ok(Accepted::Stored)),
        FromClient::SubmitUnder { submit, .. } if submit.rules.in_parts().is_some() => {
            ToClient::Reply(Ok(Accepted::Submitted { created: 1 }))
        }
        _ => panic!("{message:?} is no part of a large submit"),
    }
}

/// Places of the parts that a node has heard, and what was said of the whole after them.
fn parts(heard: &[FromClient]) -> (BTreeSet<u32>, Option<InParts>) {
    let place = |message: &FromClient| match message {
        FromClient::StorePart(part) => Some(part.index),
        _ => None,
    };
    let said = match heard.last() {
        Some(FromClient::SubmitUnder { submit, .. }) => submit.rules.in_parts(),
        _ => None,
    };
    (heard.iter().filter_map(place).collect(), said)
}

#[tokio::test]
async fn large_arguments_go_on_in_parts_at_the_next_leader() {
    let dying = FakeNode::start(|heard, message| match heard {
        0..3 => Act::Answer(accept_large(message)),
        _ => Act::Cut,
    })
    .await;
    let heir = FakeNode::start(|_, message| Act::Answer(accept_large(message))).await;

    let made = client(&[&dying, &heir]).submit(large(), None).await;

    assert_eq!(made, Ok(1));
    let (after, said) = parts(&heir.heard());
    let (before, _) = parts(&dying.heard());
    assert_eq!(said.map(|said| (said.count, said.bytes)), Some((5, (4 << 20) + 5)));
    assert!(after.len() < 5, "{after:?}");
    assert_eq!(before.union(&after).count(), 5);
}

#[tokio::test]
async fn large_arguments_whose_parts_were_dropped_are_sent_again() {
    let wanted = large();
    let dropped = Rejection::PartMissing { task: wanted.items[0].0, token: Token(0), part: 0 };
    let leader = FakeNode::start(move |heard, message| match heard {
        5 => Act::Answer(ToClient::Reply(Err(dropped.clone()))),
        _ => Act::Answer(accept_large(message)),
    })
    .await;

    let made = client(&[&leader]).submit(wanted, None).await;

    assert_eq!(made, Ok(1));
    assert_eq!(leader.heard().len(), 12);
}

#[tokio::test]
async fn arguments_that_are_too_large_for_parts_say_what_to_do() {
    let leader = FakeNode::start(|_, message| Act::Answer(accept_large(message))).await;
    let mut submit = large();
    submit.items[0].1 = vec![7; limits::PAYLOAD_BYTES_MAX + 1].into();

    let error = client(&[&leader]).submit(submit, None).await.unwrap_err();

    assert!(error.to_string().contains("256 MiB"), "{error}");
    assert!(leader.heard().is_empty());
}
