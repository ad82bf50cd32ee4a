//! Cancels of tasks that wait, run, or have ended.

use std::time::Duration;

use raftwork_api::kernel::Status;
use raftwork_api::paths;

use super::caller::Caller;
use super::http::Ask;
use super::shared::Stage;
use crate::history::{Call, Reply};

/// Pause between two cancels: some of the tasks, not all.
const PAUSE: Duration = Duration::from_millis(80);

/// Cancels until the load is over.
pub(super) async fn run(mut caller: Caller) {
    while caller.shared.stage() == Stage::Load {
        tokio::time::sleep(PAUSE).await;
        let Some(task) = caller.shared.some_task() else { continue };
        let ask = Ask::post(paths::TASK_CANCEL.replace("{task_id}", &task.to_string()), None);
        let done = |_: &_| Some(Reply::Done { status: Some(Status::Cancelled) });
        caller.call(caller.some_node(), Call::Cancel { task }, ask, done).await;
    }
}
