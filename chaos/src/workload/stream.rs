//! Submits and results through the Rust client, over its framed connection to whichever node leads.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raftwork_api::kernel::{Outcome as Ended, Rejection, Submit, TaskId, TaskOptions};
use raftwork_client::{Client, ResultError, Settings, StatusError, SubmitError, new_task_ids};
use rand::Rng;

use super::caller::Caller;
use super::functions::Functions;
use super::shared::{LIVE_MAX, Stage};
use super::submit::{arguments, result as result_due};
use crate::history::{Call, Fingerprint, LogItem, Options, Outcome, Refusal, Reply};

/// How long the client repeats itself, and how long a result is waited for.
const PATIENCE: Duration = Duration::from_secs(8);
/// Largest number of tasks in one submit.
const TASKS_MAX: usize = 4;
/// One submit in so many is followed by a look at its result. Whoever waits for one submits nothing meanwhile, and what is
/// to be seen here is a client that repeats its submits.
const LOOKS_ONE_IN: u32 = 8;
/// Largest argument.
const NUMBER_MAX: u64 = 1_000_000;

/// Submits and waits until the load is over.
pub(super) async fn run(mut caller: Caller, functions: Arc<Functions>) {
    let settings = Settings { patience: PATIENCE, ..Settings::default() };
    let client = match Client::with_settings(caller.shared.http.urls(), settings) {
        Ok(client) => client,
        Err(error) => return caller.shared.surprised(error.to_string()),
    };
    while caller.shared.stage() == Stage::Load {
        if !caller.shared.has_room(LIVE_MAX).await {
            continue;
        }
        let tasks = submit(&mut caller, &client, &functions).await;
        if let Some(task) = tasks.first().filter(|_| rand::rng().random_ratio(1, LOOKS_ONE_IN)) {
            status(&mut caller, &client, *task).await;
            result(&mut caller, &client, *task).await;
        }
    }
}

async fn submit(caller: &mut Caller, client: &Client, functions: &Functions) -> Vec<TaskId> {
    let count = rand::rng().random_range(1..=TASKS_MAX);
    let function = functions.python.filter(|_| rand::rng().random_ratio(1, 8)).unwrap_or(functions.raw);
    let numbers: Vec<u64> = (0..count).map(|_| rand::rng().random_range(0..NUMBER_MAX)).collect();
    let args = numbers.iter().map(|number| Bytes::from(arguments(*number)));
    let items: Vec<(TaskId, Bytes)> = new_task_ids(count).into_iter().zip(args).collect();
    let tasks: Vec<TaskId> = items.iter().map(|(task, _)| *task).collect();
    let noted =
        items.iter().map(|(task, args)| LogItem { task: *task, args: Fingerprint::of(args) }).collect();
    let results = numbers.into_iter().map(result_due).collect();
    let call = Call::Submit { function, key: None, options: Options::default(), items: noted, results };
    let op = caller.begin(None, call);
    let done = client.submit(Submit { function, options: TaskOptions::default(), items }, None).await;
    let outcome = match done {
        // A repeat of the client's own hears of the first try, so what was created is not noted.
        Ok(_) => Outcome::Ok(Reply::Submitted { tasks: tasks.clone(), created: None }),
        Err(SubmitError::Rejected(rejection)) => refused(&rejection),
        Err(
            error @ (SubmitError::TooLarge { .. }
            | SubmitError::ArgumentsTooLarge { .. }
            | SubmitError::Unavailable(_)),
        ) => Outcome::Info { why: error.to_string() },
    };
    let accepted = matches!(outcome, Outcome::Ok(_));
    caller.end(op, None, outcome);
    if !accepted {
        return Vec::new();
    }
    caller.shared.know(&tasks);
    tasks
}

async fn status(caller: &mut Caller, client: &Client, task: TaskId) {
    let op = caller.begin(None, Call::Status { task, stale: false });
    let outcome = match client.status(task).await {
        Ok((status, token)) => {
            Outcome::Ok(Reply::Seen { status, token: Some(token), attempts: None, result: None })
        }
        Err(StatusError::UnknownTask(_)) => Outcome::Refused { code: Refusal::UnknownTask, current: None },
        Err(StatusError::Rejected(rejection)) => refused(&rejection),
        Err(error @ StatusError::Unavailable(_)) => Outcome::Fail { why: error.to_string() },
    };
    caller.end(op, None, outcome);
}

async fn result(caller: &mut Caller, client: &Client, task: TaskId) {
    let op = caller.begin(None, Call::Result { task, stale: false });
    let outcome = match client.result(task, PATIENCE).await {
        Ok(record) => {
            let result = match &record.outcome {
                Ended::Completed(result) => Some(Fingerprint::of_result(result)),
                // As the log has it.
                Ended::CompletedInParts(parts) => Some(Fingerprint::of(&parts.digest)),
                Ended::Failed(_) | Ended::Parked(_) | Ended::Cancelled => None,
            };
            let status = record.outcome.status();
            Outcome::Ok(Reply::Seen { status, token: None, attempts: None, result })
        }
        Err(ResultError::UnknownTask(_)) => Outcome::Refused { code: Refusal::UnknownTask, current: None },
        Err(error @ ResultError::NotYet { .. }) => Outcome::Fail { why: error.to_string() },
    };
    caller.end(op, None, outcome);
}

fn refused(rejection: &Rejection) -> Outcome {
    let (code, current) = match rejection {
        Rejection::UnknownFunction(_) => (Refusal::UnknownFunction, None),
        Rejection::UnknownTask(_) | Rejection::UnknownDependency(_) => (Refusal::UnknownTask, None),
        Rejection::FunctionConflict(_) => (Refusal::FunctionConflict, None),
        Rejection::TaskConflict(_) => (Refusal::TaskConflict, None),
        Rejection::StaleLease { current, .. } => (Refusal::StaleLease, Some(*current)),
        Rejection::AlreadyFinished { .. } => (Refusal::AlreadyFinished, None),
        Rejection::OverLimit { .. } => (Refusal::TooLarge, None),
        Rejection::PartMissing { .. } => (Refusal::PayloadIncomplete, None),
        // No words of the history: the load asks for nothing that could make no sense, and redrives nothing.
        Rejection::Invalid(_)
        | Rejection::NotRedrivable { .. }
        | Rejection::UnknownMap(_)
        | Rejection::MapConflict(_)
        | Rejection::MapIncomplete { .. }
        | Rejection::MapFinished(_)
        | Rejection::PartConflict { .. }
        | Rejection::NotRedrivableInParts(_)
        | Rejection::UnknownSchedule(_) => return Outcome::Fail { why: rejection.to_string() },
    };
    Outcome::Refused { code, current }
}
