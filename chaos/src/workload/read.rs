//! Reads of status and result on every node, linearizable and stale.

use std::time::Duration;

use raftwork_api::kernel::{InParts, Status, TaskId};
use raftwork_api::paths;
use raftwork_api::tasks::{ResultInfo, TaskInfo};
use rand::Rng;
use serde_json::Value;

use super::caller::Caller;
use super::http::Ask;
use super::parts;
use super::shared::Stage;
use crate::history::{Call, Fingerprint, Outcome, Reply};

/// Pause between two reads of one reader: enough load on its own, and not all of the machine.
const PAUSE: Duration = Duration::from_millis(4);
/// Pause between two looks at a task that is waited for.
const POLL: Duration = Duration::from_millis(150);
const PAUSE_WITHOUT_TASKS: Duration = Duration::from_millis(50);

/// Reads until the load is over.
pub(super) async fn run(mut caller: Caller) {
    while caller.shared.stage() == Stage::Load {
        let Some(task) = caller.shared.some_task() else {
            tokio::time::sleep(PAUSE_WITHOUT_TASKS).await;
            continue;
        };
        let (stale, result) = (rand::rng().random_ratio(1, 4), rand::rng().random_ratio(1, 3));
        let node = caller.some_node();
        if result {
            read_result(&mut caller, node, task, stale).await;
        } else {
            read_status(&mut caller, node, task, stale).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads a task's result, on any node, until it has one or nothing is expected any more.
pub(super) async fn until_ended(caller: &mut Caller, task: TaskId) {
    while caller.shared.stage() < Stage::Over {
        let node = caller.some_node();
        let ask = Ask::get(path(paths::TASK_RESULT, task, false));
        let call = Call::Result { task, stale: false };
        let outcome = caller.call(node, call, ask, seen_result).await;
        if matches!(outcome, Outcome::Ok(Reply::Seen { status, .. }) if status.is_terminal()) {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Reads status and result of each task on one node.
pub(super) async fn each(mut caller: Caller, node: u64, tasks: Vec<TaskId>) {
    for task in tasks {
        read_status(&mut caller, node, task, true).await;
        read_result(&mut caller, node, task, false).await;
    }
}

fn path(path: &str, task: TaskId, stale: bool) -> String {
    format!("{}{}", path.replace("{task_id}", &task.to_string()), if stale { "?read=stale" } else { "" })
}

async fn read_status(caller: &mut Caller, node: u64, task: TaskId, stale: bool) {
    caller.call(node, Call::Status { task, stale }, Ask::get(path(paths::TASK, task, stale)), seen).await;
}

async fn read_result(caller: &mut Caller, node: u64, task: TaskId, stale: bool) {
    let ask = Ask::get(path(paths::TASK_RESULT, task, stale));
    let mut in_parts = None;
    let read = |body: &Value| {
        in_parts = serde_json::from_value::<ResultInfo>(body.clone()).ok()?.result_parts;
        seen_result(body)
    };
    caller.call(node, Call::Result { task, stale }, ask, read).await;
    if let Some(said) = in_parts {
        // Whether all of it is what was sent.
        parts::read(caller, &path(paths::TASK_RESULT_PART, task, false), &said).await;
    }
}

/// What a task document says.
pub(super) fn seen(body: &Value) -> Option<Reply> {
    let info: TaskInfo = serde_json::from_value(body.clone()).ok()?;
    let counters = info.counters;
    let attempts = [counters.failures, counters.crashes, counters.losses].map(u32::from).iter().sum();
    Some(Reply::Seen { status: info.status, token: Some(info.token), attempts: Some(attempts), result: None })
}

fn seen_result(body: &Value) -> Option<Reply> {
    let info: ResultInfo = serde_json::from_value(body.clone()).ok()?;
    let result = match info.result_parts {
        Some(said) => Some(Fingerprint::of(&InParts::try_from(&said).ok()?.digest)),
        None if info.status == Status::Completed => {
            Some(Fingerprint::of_result(info.value.unwrap_or_default().to_string().as_bytes()))
        }
        None => None,
    };
    Some(Reply::Seen { status: info.status, token: None, attempts: None, result })
}
