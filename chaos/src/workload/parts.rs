//! Payloads in parts, though they are small: each part goes to some node, and their senders take their time, so that the leader is
//! another one now and then when the next part comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raftwork_api::kernel::{InParts, TaskId};
use raftwork_api::parts::{PartsInfo, join};
use raftwork_api::paths;
use rand::Rng;
use serde_json::{Value, json};
use uuid::Uuid;

use super::caller::Caller;
use super::functions::Functions;
use super::http::{Ask, Heard};
use super::shared::Stage;
use super::submit::{arguments, result};
use crate::history::{Call, Fingerprint, LogItem, Options, Outcome, Refusal, Reply, Whole};

/// Parts of arguments.
const PARTS: usize = 4;
/// Pause before each part.
const PAUSE: Duration = Duration::from_millis(15);
/// Pause before an unanswered part, or submit, is sent again, and how often it is.
const AGAIN: Duration = Duration::from_millis(200);
const TRIES: u32 = 30;
/// Nodes that are asked for a part before it is given up.
const READS: u32 = 5;
/// Live tasks above which nothing more is submitted. They are few that come from here, and the other callers, who stop earlier,
/// would leave them no turn.
const LIVE_MAX: u64 = 20_000;
/// Largest argument.
const NUMBER_MAX: u64 = 1_000_000;

/// What is said of a payload that is cut into so many parts, and the parts.
pub(super) fn cut(payload: &[u8], count: usize) -> (InParts, Vec<Bytes>) {
    let parts: Vec<Bytes> =
        payload.chunks(payload.len().div_ceil(count).max(1)).map(Bytes::copy_from_slice).collect();
    let said = InParts {
        count: u32::try_from(parts.len()).expect("a few"),
        bytes: payload.len() as u64,
        digest: *blake3::hash(payload).as_bytes(),
    };
    (said, parts)
}

/// Sends parts under these places until each is kept; false if one is refused, or never answered.
pub(super) async fn send(
    caller: &Caller,
    path: &str,
    places: impl IntoIterator<Item = u32>,
    parts: &[Bytes],
) -> bool {
    for (index, part) in places.into_iter().zip(parts) {
        tokio::time::sleep(PAUSE).await;
        if !send_one(caller, path.replace("{index}", &index.to_string()), part).await {
            return false;
        }
    }
    true
}

async fn send_one(caller: &Caller, path: String, part: &Bytes) -> bool {
    let ask = Ask::put(path, part.clone());
    for _ in 0..TRIES {
        match caller.shared.http.ask(caller.some_node(), &ask).await {
            Heard::Answer { status: 204, .. } => return true,
            Heard::Answer { status: 404 | 409, .. } => return false,
            Heard::Answer { status, body, .. } if status < 429 => {
                caller.shared.surprised(format!("a part was answered with {status}: {body}"));
                return false;
            }
            Heard::Answer { .. } | Heard::Refused(_) | Heard::Silence(_) => {}
        }
        if caller.shared.stage() == Stage::Over {
            return false;
        }
        tokio::time::sleep(AGAIN).await;
    }
    false
}

/// Reads all parts of a payload, each from some node; none if one cannot be had.
pub(super) async fn read(caller: &Caller, path: &str, said: &PartsInfo) -> Option<Bytes> {
    let whole = InParts::try_from(said).ok()?;
    let mut parts = Vec::new();
    for index in 0..whole.count {
        parts.push(read_one(caller, &path.replace("{index}", &index.to_string())).await?);
    }
    let joined = join(&whole, parts);
    if let Err(error) = &joined {
        caller.shared.surprised(format!("{path}: {error}"));
    }
    joined.ok()
}

async fn read_one(caller: &Caller, path: &str) -> Option<Bytes> {
    for _ in 0..READS {
        if let Some(part) = caller.shared.http.bytes(caller.some_node(), path).await {
            return Some(part);
        }
        tokio::time::sleep(AGAIN).await;
    }
    None
}

/// Submits tasks whose arguments are in parts until the load is over.
pub(super) async fn run(mut caller: Caller, functions: Arc<Functions>) {
    while caller.shared.stage() == Stage::Load {
        if !caller.shared.has_room(LIVE_MAX).await {
            continue;
        }
        let task = TaskId::from(Uuid::new_v4());
        let number = rand::rng().random_range(0..NUMBER_MAX);
        let (said, cut) = cut(arguments(number).as_bytes(), PARTS);
        let python = functions.python.filter(|_| rand::rng().random_ratio(1, 6));
        let function = python.unwrap_or(functions.raw);
        let whole = Whole { count: said.count, bytes: said.bytes, digest: Fingerprint::of(&said.digest) };
        let call = Call::Submit {
            function,
            key: None,
            options: Options { in_parts: Some(Box::new(whole)), ..Options::default() },
            items: vec![LogItem { task, args: Fingerprint::of(b"") }],
            results: vec![result(number)],
        };
        let mut sent = json!(PartsInfo::from(said));
        sent["task_id"] = json!(task);
        let ask = Ask::post(
            paths::TASKS,
            Some(json!({"function_id": function.to_string(), "arguments_parts": sent})),
        );
        let path = paths::TASK_ARGUMENTS_PART.replace("{task_id}", &task.to_string());
        // The last one first. Now and then the submit comes too early, and is refused.
        let (first, rest) = cut.split_first().expect("arguments are not empty");
        let mut rest = rest.to_vec();
        rest.reverse();
        let is_sent = send(&caller, &path, (1..said.count).rev(), &rest).await;
        if is_sent && rand::rng().random_ratio(1, 10) {
            let node = caller.some_node();
            caller.call(node, call.clone(), ask.clone(), submitted).await;
        }
        if is_sent && send(&caller, &path, 0..1, core::slice::from_ref(first)).await {
            submit(&mut caller, task, &call, &ask).await;
        }
    }
}

/// What was kept is there until a task takes it.
async fn submit(caller: &mut Caller, task: TaskId, call: &Call, ask: &Ask) {
    for _ in 0..TRIES {
        let node = caller.some_node();
        match caller.call(node, call.clone(), ask.clone(), submitted).await {
            Outcome::Ok(_) => return caller.shared.know(&[task]),
            Outcome::Refused { code, .. } => {
                if code == Refusal::PayloadIncomplete {
                    caller.shared.surprised(format!("parts of task {task} were kept, and are missing"));
                }
                return;
            }
            Outcome::Fail { .. } | Outcome::Info { .. } => tokio::time::sleep(AGAIN).await,
        }
        if caller.shared.stage() > Stage::Load {
            return;
        }
    }
}

fn submitted(body: &Value) -> Option<Reply> {
    Some(Reply::Submitted { tasks: vec![body["task_id"].as_str()?.parse().ok()?], created: None })
}
