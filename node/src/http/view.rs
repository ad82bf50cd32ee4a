//! Rows and live state as the API shows them.

use std::collections::BTreeMap;

use raftwork_api::ErrorCode;
use raftwork_api::Span;
use raftwork_api::functions::{CodeFormat, FunctionInfo};
use raftwork_api::kernel::{FunctionId, Language, Outcome, Status, TaskId};
use raftwork_api::tasks::{ErrorInfo, ResultInfo, TaskInfo};
use raftwork_api::workers::WorkerInfo;
use raftwork_kernel::{Function, Phase, PythonVersion, Record, Rows, Task, TaskRow};

use super::error::{ApiError, ApiResult};
use super::state::AppState;
use super::{pickle, read, rfc3339};
use crate::group::Leadership;
use crate::replica::Standing;

pub(super) const fn format_of(language: Language) -> CodeFormat {
    match language {
        Language::Pickle => CodeFormat::Pickle,
        Language::Source => CodeFormat::Source,
    }
}

pub(super) fn function(id: FunctionId, function: &Function) -> FunctionInfo {
    let spec = &function.spec;
    FunctionInfo {
        function_id: id.to_string(),
        name: spec.name.clone(),
        format: format_of(spec.language),
        code_hash: spec.code_hash.to_string(),
        python: spec.python.map(|python| python.to_string()),
        retry: spec.retry,
        timeout: spec.run_max.map(Span),
        retention: Span(spec.retention),
        registered_at: rfc3339::format(function.registered_wall),
    }
}

/// The workers that a task could wait for, by Python; nothing on a follower, which does not know them.
pub(super) struct Connected(Option<BTreeMap<String, usize>>);

impl Connected {
    pub(super) fn to(state: &AppState) -> Self {
        let leads = state.group.leadership() == Leadership::Leader;
        Self(leads.then(|| Self::by_python(&state.group.dispatcher().workers())))
    }

    fn by_python(workers: &[WorkerInfo]) -> BTreeMap<String, usize> {
        let mut by_python = BTreeMap::new();
        for worker in workers.iter().filter(|worker| !worker.draining) {
            *by_python.entry(worker.python.clone()).or_default() += 1;
        }
        by_python
    }

    /// Why a ready task does not start, if that is for want of a worker.
    fn lack(&self, needed: Option<PythonVersion>) -> Option<String> {
        let connected = self.0.as_ref()?;
        let Some(needed) = needed else {
            return connected.is_empty().then(|| "no worker is connected".to_owned());
        };
        if connected.contains_key(&needed.to_string()) {
            return None;
        }
        let list: Vec<String> =
            connected.iter().map(|(python, count)| format!("{python} x{count}")).collect();
        let list = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
        Some(format!("no worker with Python {needed} is connected (connected: {list})"))
    }
}

/// A task, live or finished. Reads its row; `unknown_task` if that was forgotten meanwhile.
pub(super) fn task(
    state: &AppState,
    connected: &Connected,
    id: TaskId,
    standing: &Standing,
) -> ApiResult<TaskInfo> {
    let row = state.group.replica().rows().task(&id).ok_or_else(|| read::unknown_task(id))?;
    Ok(match standing {
        Standing::Live { status, task } => live(connected, id, &row, *status, task),
        Standing::Finished(record) => finished(id, &row, record),
    })
}

fn live(connected: &Connected, id: TaskId, row: &TaskRow, status: Status, task: &Task) -> TaskInfo {
    let worker = match &task.phase {
        Phase::Leased(lease) => Some(lease.worker.to_string()),
        Phase::Waiting { .. } | Phase::Ready => None,
    };
    TaskInfo {
        task_id: id,
        function_id: row.function.to_string(),
        status,
        priority: task.priority,
        submitted_at: rfc3339::format(row.submitted_wall),
        finished_at: None,
        counters: task.counters,
        token: task.token,
        worker_id: worker,
        error: None,
        waiting_for: waiting_for(connected, task),
    }
}

fn finished(id: TaskId, row: &TaskRow, record: &Record) -> TaskInfo {
    TaskInfo {
        task_id: id,
        function_id: row.function.to_string(),
        status: record.outcome.status(),
        priority: row.options.priority,
        submitted_at: rfc3339::format(row.submitted_wall),
        finished_at: Some(rfc3339::format(record.finished_wall)),
        counters: record.counters,
        token: record.token,
        worker_id: record.worker.map(|worker| worker.to_string()),
        error: error_of(record),
        waiting_for: None,
    }
}

fn error_of(record: &Record) -> Option<ErrorInfo> {
    match &record.outcome {
        Outcome::Failed(error) | Outcome::Parked(error) => Some(error.into()),
        Outcome::Completed(_) | Outcome::Cancelled => None,
    }
}

/// Why a task does not run, as far as there is more to say than that it is not its turn.
fn waiting_for(connected: &Connected, task: &Task) -> Option<String> {
    match &task.phase {
        Phase::Leased(_) => None,
        Phase::Waiting { .. } if task.counters.next_attempt() == 1 => Some("its delay".to_owned()),
        Phase::Waiting { .. } => Some(format!("the pause before attempt {}", task.counters.next_attempt())),
        Phase::Ready => connected.lack(task.python),
    }
}

/// The tag of a task: `"..."` once it is finished, for then nothing changes any more.
pub(super) fn task_tag(standing: &Standing) -> String {
    match standing {
        Standing::Finished(record) => format!("\"end-{}\"", record.token),
        Standing::Live { status, task } => {
            // Weak: `waiting_for` may change without the task itself.
            let (c, status) = (task.counters, format!("{status:?}").to_lowercase());
            format!("W/\"{status}-{}-{}.{}.{}.{}\"", task.token, c.failures, c.crashes, c.losses, c.returns)
        }
    }
}

/// The result of a task, in the format of its function.
pub(super) fn result(state: &AppState, id: TaskId, standing: &Standing) -> ApiResult<ResultInfo> {
    let mut info = ResultInfo {
        task_id: id,
        status: Status::Queued,
        payload: None,
        value: None,
        error: None,
        exception: None,
    };
    let record = match standing {
        Standing::Live { status, .. } => {
            info.status = *status;
            return Ok(info);
        }
        Standing::Finished(record) => record,
    };
    info.status = record.outcome.status();
    info.error = error_of(record);
    if let Outcome::Completed(bytes) = &record.outcome {
        match language(state, id)? {
            Language::Pickle => info.payload = Some(raftwork_api::payload::to_base64(bytes)),
            Language::Source => info.value = Some(parse_value(id, bytes)?),
        }
    } else {
        info.exception = pickle::exception_of(record).map(|bytes| raftwork_api::payload::to_base64(&bytes));
    }
    Ok(info)
}

/// Workers write results of source functions as JSON, and reports over HTTP are JSON to begin with.
fn parse_value(id: TaskId, bytes: &[u8]) -> ApiResult<serde_json::Value> {
    serde_json::from_slice(bytes).map_err(|error| {
        ApiError::new(ErrorCode::Internal, format!("the worker's result of task {id} is not JSON: {error}"))
    })
}

/// How the arguments and the result of a task are written down.
pub(super) fn language(state: &AppState, id: TaskId) -> ApiResult<Language> {
    let rows = state.group.replica().rows();
    let row = rows.task(&id).ok_or_else(|| read::unknown_task(id))?;
    let function = rows.function(&row.function).ok_or_else(|| read::unknown_task(id))?;
    Ok(function.spec.language)
}

#[cfg(test)]
mod tests {
    use raftwork_api::workers::WorkerMode;
    use raftwork_kernel::WorkerId;

    use super::*;

    fn connected(pythons: &[(&str, bool)]) -> Connected {
        let worker = |(python, draining): &(&str, bool)| WorkerInfo {
            worker_id: WorkerId::from_u128(1),
            name: String::new(),
            mode: WorkerMode::Push,
            python: (*python).to_owned(),
            slots: 1,
            held: 0,
            draining: *draining,
            silent_ms: 0,
        };
        Connected(Some(Connected::by_python(&pythons.iter().map(worker).collect::<Vec<_>>())))
    }

    #[test]
    fn a_task_that_no_worker_can_run_says_so() {
        let needed = "3.12".parse().ok();
        let four = connected(&[("3.11", false), ("3.11", false), ("3.12", true), ("3.9", false)]);
        let text = "no worker with Python 3.12 is connected (connected: 3.11 x2, 3.9 x1)";
        assert_eq!(four.lack(needed).as_deref(), Some(text));
        assert_eq!(connected(&[("3.12", false)]).lack(needed), None);
        assert_eq!(connected(&[("3.9", false)]).lack(None), None);
        assert_eq!(connected(&[]).lack(None).as_deref(), Some("no worker is connected"));
        assert_eq!(Connected(None).lack(needed), None);
    }
}
