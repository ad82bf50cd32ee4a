//! Whatever comes in at the port that is not meant for it: one connection ends, the node lives on.

use raftwork_api::kernel::{PythonVersion, WorkerId, encode};
use raftwork_api::stream::{FromWorker, Hello, MESSAGE, ROLE_CLIENT, ROLE_PEER, ROLE_WORKER};
use raftwork_api::workers::WorkerMode;
use serde_json::json;
use uuid::Uuid;

use crate::api::{Call, submit};
use crate::cluster::{ALL, Cluster, QUICK};
use crate::raw::Raw;
use crate::worker::Connection;

/// Bytes that look like nothing, the same in every run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(state >> 56).unwrap()
    };
    (0..length).map(|_| next()).collect()
}

/// What is not HTTP, or hardly.
fn openings() -> Vec<(&'static str, Vec<u8>)> {
    let head = |middle: &str| format!("GET /healthz HTTP/1.1\r\nhost: a\r\n{middle}\r\n\r\n").into_bytes();
    vec![
        ("noise", noise(1, 4096)),
        ("a megabyte of noise", noise(2, 1 << 20)),
        ("TLS", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), noise(3, 500)].concat()),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec()),
        ("a huge header", head(&format!("x-large: {}", "x".repeat(1 << 20)))),
        ("many headers", head(&"x: y\r\n".repeat(5000))),
        ("no version", b"GET /\r\n\r\n".to_vec()),
        ("two lengths", head("content-length: 5\r\ncontent-length: 6")),
        ("an absurd length", head("content-length: 99999999999999999999999")),
        ("a chunk without an end", b"POST /v1/tasks HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nx".to_vec()),
        ("half a head", b"POST /v1/tasks HTTP/1.1\r\nhost: a\r\ncontent-le".to_vec()),
        ("half a body", b"POST /v1/tasks HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n{\"function_id\": ".to_vec()),
        ("a body that is no text", [b"POST /v1/tasks HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n".to_vec(), noise(4, 100)].concat()),
        ("nothing", Vec::new()),
    ]
}

/// What is no frame, or one without meaning, and whether the node must hang up before its peer does.
fn frames() -> Vec<(&'static str, Vec<u8>, bool)> {
    let frame = |kind: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len() + 9).unwrap();
        [&length.to_le_bytes()[..], &7_u64.to_le_bytes(), &[kind], payload].concat()
    };
    let mut frames = vec![
        ("the longest length", vec![0xff; 64], true),
        ("a length of nothing", vec![0; 64], true),
        ("half a frame", frame(MESSAGE, &noise(5, 100))[..50].to_vec(), false),
        (
            "a long frame that never comes",
            [&(60_u32 << 20).to_le_bytes()[..], &noise(6, 100)].concat(),
            false,
        ),
        ("a frame of noise", frame(MESSAGE, &noise(7, 300)), true),
        ("an empty message", frame(MESSAGE, &[]), true),
        ("an unknown kind", frame(0xee, &noise(8, 10)), true),
    ];
    frames.extend((0..24).map(|kind| ("noise of every kind", frame(kind, &noise(kind.into(), 64)), false)));
    frames
}

async fn upgraded(url: &str, role: &str, target: u64) -> Raw {
    let head = format!(
        "GET /internal/v1/stream HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: raftwork/1\r\nx-raftwork-role: {role}\r\n\
         x-raftwork-cluster: test\r\nx-raftwork-target: {target}\r\nx-raftwork-peer-version: 1\r\n\r\n"
    );
    Raw::send(url, head.as_bytes()).await
}

/// The same processes serve, and nobody had to elect anew.
async fn unharmed(cluster: &mut Cluster, function: &str, what: &str, term: u64) {
    for id in ALL {
        assert!(cluster.daemon(id).ended().is_none(), "node {id} ended after {what}");
        let answer = cluster.api.ask(id, &submit(function, &json!([what, id]))).await;
        assert_eq!(answer.status, 201, "after {what}: {}", answer.text);
        cluster.api.ask(id, &Call::get("/healthz")).await.expect(200);
    }
    let now = cluster.api.info(1).await.unwrap()["term"].as_u64().unwrap();
    assert!(now <= term + 1, "{what} unseated leaders: term {term} became {now}");
}

async fn term(cluster: &Cluster) -> u64 {
    cluster.api.info(cluster.leader().await).await.unwrap()["term"].as_u64().unwrap()
}

#[tokio::test]
async fn what_is_not_http_harms_nobody() {
    let mut cluster = Cluster::start(QUICK).await;
    let function = cluster.api.function(&ALL, "24h").await;
    // They stay open, half done, while others are served.
    let mut open = Vec::new();
    for (what, bytes) in openings() {
        let before = term(&cluster).await;
        for id in ALL {
            let mut raw = Raw::send(cluster.api.url(id), b"").await;
            raw.more(&bytes).await;
            open.push(raw);
        }
        unharmed(&mut cluster, &function, what, before).await;
    }
    for raw in &mut open {
        raw.end().await;
        raw.until_closed().await;
    }
    cluster.until_equal().await;
}

#[tokio::test]
async fn what_is_no_frame_ends_its_own_stream_alone() {
    let mut cluster = Cluster::start(QUICK).await;
    let function = cluster.api.function(&ALL, "24h").await;
    let leader = cluster.leader().await;
    for role in [ROLE_CLIENT, ROLE_WORKER, ROLE_PEER] {
        for (what, bytes, ends) in frames() {
            let before = term(&cluster).await;
            for id in [leader, Cluster::others(leader)[0]] {
                let mut raw = upgraded(cluster.api.url(id), role, id).await;
                raw.more(&bytes).await;
                if !ends {
                    raw.end().await;
                }
                let answer = raw.until_closed().await;
                assert!(answer.starts_with(b"HTTP/1.1 101 "), "{role}: {}", String::from_utf8_lossy(&answer));
            }
            unharmed(&mut cluster, &function, &format!("{what} as {role}"), before).await;
        }
    }
    cluster.until_equal().await;
}

/// A worker that says well-formed nonsense loses its stream, and nothing of anybody else's.
#[tokio::test]
async fn a_worker_that_talks_nonsense_is_hung_up_on() {
    let mut cluster = Cluster::start(QUICK).await;
    let function = cluster.api.function(&ALL, "24h").await;
    let leader = cluster.leader().await;
    let before = term(&cluster).await;
    let hello = FromWorker::Hello(Hello {
        worker: WorkerId::from(Uuid::now_v7()),
        name: "nonsense".repeat(1000),
        python: PythonVersion { major: 255, minor: 255 },
        slots: u16::MAX,
        capacity: u16::MAX,
        mode: WorkerMode::Push,
        held: Vec::new(),
    });
    for second in [hello.clone(), FromWorker::Report { started: Vec::new(), ended: Vec::new() }] {
        let mut connection = Connection::open(cluster.api.url(leader), ROLE_WORKER, &[]).await.unwrap();
        let first = if second == hello { &hello } else { &second };
        connection.say(MESSAGE, encode(first)).await;
        connection.say(MESSAGE, encode(&second)).await;
        connection.until_closed().await;
    }
    unharmed(&mut cluster, &function, "nonsense", before).await;
}
