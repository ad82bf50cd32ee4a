//! Rows and live state as the API shows them.

use std::collections::BTreeMap;

use raftwork_api::explain::QueuePosition;
use raftwork_api::functions::{CodeFormat, FunctionInfo};
use raftwork_api::kernel::{FunctionId, Language, LeaseRef, Outcome, Status, TaskId};
use raftwork_api::limits::{Concurrency, LimitInfo, Rate};
use raftwork_api::schedules::Origin;
use raftwork_api::tasks::{ErrorInfo, Progress, ResultInfo, TaskInfo};
use raftwork_api::workers::WorkerInfo;
use raftwork_api::{ErrorCode, Span, rfc3339, task_of_redrive};
use raftwork_kernel::{
    Counters, Function, LimitKind, Need, Phase, Record, Rows, Rules, Tags, Task, TaskRow, Token,
};

use super::error::{ApiError, ApiResult};
use super::state::AppState;
use super::{limits, pickle, read};
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

/// The workers that a task could wait for; nothing on a follower, which does not know them.
pub(super) struct Connected(Option<Vec<Offer>>);

/// What a worker that takes tasks offers.
struct Offer {
    python: String,
    tags: Tags,
    slots: u32,
    busy: u32,
}

impl Connected {
    pub(super) fn to(state: &AppState) -> Self {
        let leads = state.group.leadership() == Leadership::Leader;
        Self(leads.then(|| Self::offers(&state.group.dispatcher().workers())))
    }

    fn offers(workers: &[WorkerInfo]) -> Vec<Offer> {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let offer = |worker: &WorkerInfo| Offer {
            python: worker.python.clone(),
            tags: worker.tags.iter().cloned().collect(),
            slots: worker.slots.into(),
            busy: count(worker.held).min(worker.slots.into()),
        };
        workers.iter().filter(|worker| !worker.draining).map(offer).collect()
    }

    /// Why a ready task does not start, if that is for want of a worker.
    pub(super) fn lack(&self, need: &Need) -> Option<Lack> {
        let offers = self.0.as_ref()?;
        if offers.is_empty() {
            return Some(Lack::NoWorker);
        }
        let python = |offer: &&Offer| need.python.is_none_or(|python| python.to_string() == offer.python);
        if !offers.iter().any(|offer| python(&offer)) {
            return Some(Lack::Python(format!(
                "no worker with Python {} is connected (connected: {})",
                need.python.map(|python| python.to_string()).unwrap_or_default(),
                in_groups(offers.iter().map(|offer| offer.python.clone()))
            )));
        }
        if offers.iter().filter(python).any(|offer| need.tags.are_in(&offer.tags)) {
            return None;
        }
        let offered = offers.iter().filter(python).map(|offer| list(&offer.tags));
        let with = need.python.map_or_else(String::new, |python| format!(" with Python {python}"));
        Some(Lack::Tags(format!(
            "no worker{with} offers {} (connected: {})",
            list(&need.tags),
            in_groups(offered)
        )))
    }

    /// Who could run a task, beside its place among the ready ones; nothing on a follower.
    pub(super) fn position(&self, need: &Need, ahead: usize) -> Option<QueuePosition> {
        let offers = self.0.as_ref()?;
        let suits = |offer: &&Offer| {
            need.python.is_none_or(|python| python.to_string() == offer.python)
                && need.tags.are_in(&offer.tags)
        };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Some(QueuePosition {
            workers: count(offers.len()),
            suitable_workers: count(offers.iter().filter(suits).count()),
            slots: offers.iter().filter(suits).map(|offer| offer.slots).sum(),
            slots_busy: offers.iter().filter(suits).map(|offer| offer.busy).sum(),
            ahead: count(ahead),
        })
    }
}

/// What is missing, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lack {
    /// Any worker.
    NoWorker,
    /// One with the right Python.
    Python(String),
    /// One with the right tags.
    Tags(String),
}

impl Lack {
    pub(super) fn text(self) -> String {
        match self {
            Self::NoWorker => "no worker is connected".to_owned(),
            Self::Python(text) | Self::Tags(text) => text,
        }
    }
}

/// `gpu, zone=eu`, or `no tags`.
fn list(tags: &Tags) -> String {
    let text = tags.iter().collect::<Vec<_>>().join(", ");
    if text.is_empty() { "no tags".to_owned() } else { text }
}

/// Equal ones counted: `3.11 x2, 3.9 x1`.
fn in_groups(items: impl Iterator<Item = String>) -> String {
    let mut groups = BTreeMap::<String, usize>::new();
    for item in items {
        *groups.entry(item).or_default() += 1;
    }
    let groups: Vec<String> = groups.iter().map(|(item, count)| format!("{item} x{count}")).collect();
    groups.join(", ")
}

/// A task, live or finished. Reads its row; `unknown_task` if that was forgotten meanwhile.
pub(super) fn task(
    state: &AppState,
    connected: &Connected,
    id: TaskId,
    standing: &Standing,
) -> ApiResult<TaskInfo> {
    let row = state.group.replica().task_row(&id).ok_or_else(|| read::unknown_task(id))?;
    let rules = rules_of(state, &id);
    Ok(match standing {
        Standing::Live { status, task } => {
            let need = Need { python: task.python, tags: rules.tags().clone() };
            TaskInfo {
                worker_id: holder(task),
                waiting_for: matches!(task.phase, Phase::Blocked { .. })
                    .then(|| others(&state.group.replica().waits_for(&id)))
                    .or_else(|| waiting_for(connected, task, &need, || limit_reached(state, &id))),
                progress: progress_of(state, id, task),
                ..accepted(id, &row, &rules, (*status, task.counters, task.token))
            }
        }
        Standing::Finished(record) => TaskInfo {
            finished_at: Some(rfc3339::format(record.finished_wall)),
            worker_id: record.worker.map(|worker| worker.to_string()),
            error: error_of(record),
            result_bytes: result_bytes(record),
            redriven_as: redriven_as(state, &id, record),
            ..accepted(id, &row, &rules, (record.outcome.status(), record.counters, record.token))
        },
    })
}

/// How far a task says it is that is running now.
fn progress_of(state: &AppState, task: TaskId, standing: &Task) -> Option<Progress> {
    let Phase::Leased(lease) = &standing.phase else { return None };
    state.group.dispatcher().progress(lease.worker, &LeaseRef { task, token: standing.token })
}

/// The rules that a task was submitted under.
pub(super) fn rules_of(state: &AppState, id: &TaskId) -> Rules {
    state.group.replica().rules(id)
}

/// The first limit that a ready task waits for, with who holds it.
pub(super) fn limit_reached(state: &AppState, id: &TaskId) -> Option<LimitInfo> {
    let limits = state.group.replica().limits_of(id);
    let reached = limits.iter().find(|limit| limit.room == 0)?;
    limits::with_holders(state, &reached.name)
}

/// The task that runs a failed one again, if there is one.
pub(super) fn redriven_as(state: &AppState, id: &TaskId, record: &Record) -> Option<TaskId> {
    let redrivable = matches!(record.outcome, Outcome::Failed(_) | Outcome::Parked(_));
    let again = redrivable.then(|| task_of_redrive(*id))?;
    state.group.replica().rows().rules(&again).map(|_| again)
}

pub(super) fn names(tags: &Tags) -> Vec<String> {
    tags.iter().map(ToOwned::to_owned).collect()
}

fn no_retry(rules: &Rules) -> Vec<String> {
    rules.no_retry().map_or_else(Vec::new, |names| names.iter().map(ToOwned::to_owned).collect())
}

fn concurrency(rules: &Rules) -> Option<Concurrency> {
    let (name, bound) = rules.limits().find(|(name, _)| name.kind == LimitKind::Concurrency)?;
    Some(Concurrency { key: name.key, max: bound.max })
}

fn rate(rules: &Rules) -> Option<Rate> {
    let (name, bound) = rules.limits().find(|(name, _)| name.kind == LimitKind::Rate)?;
    Some(Rate { key: name.key, max: bound.max, per: Span(bound.per) })
}

fn origin(rules: &Rules) -> Option<Origin> {
    let (name, _, nominal) = rules.origin()?;
    Some(Origin { name: name.to_owned(), nominal: rfc3339::format(nominal) })
}

fn holder(task: &Task) -> Option<String> {
    match &task.phase {
        Phase::Leased(lease) => Some(lease.worker.to_string()),
        Phase::Waiting { .. } | Phase::Scheduled { .. } | Phase::Blocked { .. } | Phase::Ready => None,
    }
}

/// What is told of every task, wherever it stands.
fn accepted(
    id: TaskId,
    row: &TaskRow,
    rules: &Rules,
    (status, counters, token): (Status, Counters, Token),
) -> TaskInfo {
    TaskInfo {
        task_id: id,
        function_id: row.function.to_string(),
        status,
        priority: row.options.priority,
        submitted_at: rfc3339::format(row.submitted_wall),
        finished_at: None,
        counters,
        token,
        worker_id: None,
        error: None,
        arguments_bytes: rules.in_parts().map(|parts| parts.bytes),
        result_bytes: None,
        waiting_for: None,
        progress: None,
        tags: names(rules.tags()),
        concurrency: concurrency(rules),
        rate: rate(rules),
        schedule: origin(rules),
        no_retry: no_retry(rules),
        start_by: rules.start_by().map(Span),
        total_timeout: rules.total().map(Span),
        run_at: rules.run_at().map(rfc3339::format),
        after: rules.after().map(|after| after.tasks.iter().copied().collect()).unwrap_or_default(),
        results_of: rules.after().map(|after| after.results.iter().copied().collect()).unwrap_or_default(),
        on_failure: rules.after().map(|after| after.on_failure),
        redrive_of: rules.redrive_of(),
        redriven_as: None,
    }
}

fn result_bytes(record: &Record) -> Option<u64> {
    match &record.outcome {
        Outcome::Completed(result) => Some(result.len() as u64),
        Outcome::CompletedInParts(parts) => Some(parts.bytes),
        Outcome::Failed(_) | Outcome::Parked(_) | Outcome::Cancelled => None,
    }
}

pub(super) fn error_of(record: &Record) -> Option<ErrorInfo> {
    match &record.outcome {
        Outcome::Failed(error) | Outcome::Parked(error) => Some(error.into()),
        Outcome::Completed(_) | Outcome::CompletedInParts(_) | Outcome::Cancelled => None,
    }
}

/// The tasks that one runs after, in words: the first few, and how many more.
pub(super) fn others(tasks: &[TaskId]) -> String {
    let names: Vec<String> = tasks.iter().take(3).map(ToString::to_string).collect();
    let more = tasks.len() - names.len();
    let what = if tasks.len() == 1 { "task" } else { "tasks" };
    let and = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("the end of {what} {}{and}", names.join(", "))
}

/// Why a task does not run, as far as there is more to say than that it is not its turn.
fn waiting_for(
    connected: &Connected,
    task: &Task,
    need: &Need,
    limit_reached: impl FnOnce() -> Option<LimitInfo>,
) -> Option<String> {
    match &task.phase {
        Phase::Leased(_) | Phase::Blocked { .. } => None,
        Phase::Scheduled { at } => Some(format!("its date, {}", rfc3339::format(*at))),
        Phase::Waiting { .. } if task.counters.next_attempt() == 1 => Some("its delay".to_owned()),
        Phase::Waiting { .. } => Some(format!("the pause before attempt {}", task.counters.next_attempt())),
        Phase::Ready => {
            let limit = limit_reached().map(|limit| limits::reached(&limit));
            limit.or_else(|| connected.lack(need).map(Lack::text))
        }
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

/// The tag of all that is told of a task: of one that has ended, only whether it was redriven can change.
pub(super) fn info_tag(standing: &Standing, info: &TaskInfo) -> String {
    let tag = task_tag(standing);
    if let Some(progress) = &info.progress {
        let digest = crc32fast::hash(progress.message.as_bytes());
        return tag.replacen("W/\"", &format!("W/\"{}.{digest:x}-", progress.done), 1);
    }
    info.redriven_as.map_or_else(|| tag.clone(), |_| tag.replacen("\"end-", "\"redriven-", 1))
}

/// The result of a task, in the format of its function.
pub(super) fn result(state: &AppState, id: TaskId, standing: &Standing) -> ApiResult<ResultInfo> {
    let mut info = ResultInfo {
        task_id: id,
        status: Status::Queued,
        payload: None,
        value: None,
        result_parts: None,
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
    } else if let Outcome::CompletedInParts(parts) = record.outcome {
        info.result_parts = Some(parts.into());
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
    let row = state.group.replica().task_row(&id).ok_or_else(|| read::unknown_task(id))?;
    let function = rows.function(&row.function).ok_or_else(|| read::unknown_task(id))?;
    Ok(function.spec.language)
}

#[cfg(test)]
mod tests {
    use raftwork_api::workers::WorkerMode;
    use raftwork_kernel::WorkerId;

    use super::*;

    fn connected(workers: &[(&str, &[&str], bool)]) -> Connected {
        let worker = |(python, tags, draining): &(&str, &[&str], bool)| WorkerInfo {
            worker_id: WorkerId::from_u128(1),
            name: String::new(),
            mode: WorkerMode::Push,
            python: (*python).to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            slots: 2,
            held: 1,
            draining: *draining,
            silent_ms: 0,
        };
        Connected(Some(Connected::offers(&workers.iter().map(worker).collect::<Vec<_>>())))
    }

    fn need(python: Option<&str>, tags: &[&str]) -> Need {
        let python = python.map(|python| python.parse().unwrap());
        Need { python, tags: tags.iter().copied().collect() }
    }

    fn lack(connected: &Connected, need: &Need) -> Option<String> {
        connected.lack(need).map(Lack::text)
    }

    #[test]
    fn a_task_that_no_worker_can_run_says_so() {
        let needed = need(Some("3.12"), &[]);
        let four = connected(&[
            ("3.11", &[], false),
            ("3.11", &[], false),
            ("3.12", &[], true),
            ("3.9", &[], false),
        ]);
        let text = "no worker with Python 3.12 is connected (connected: 3.11 x2, 3.9 x1)";
        assert_eq!(lack(&four, &needed).as_deref(), Some(text));
        assert_eq!(lack(&connected(&[("3.12", &[], false)]), &needed), None);
        assert_eq!(lack(&connected(&[("3.9", &[], false)]), &need(None, &[])), None);
        assert_eq!(lack(&connected(&[]), &need(None, &[])).as_deref(), Some("no worker is connected"));
        assert_eq!(lack(&Connected(None), &needed), None);
    }

    #[test]
    fn a_task_whose_tags_nobody_offers_says_which() {
        let workers =
            connected(&[("3.11", &["big"], false), ("3.11", &[], false), ("3.12", &["gpu"], false)]);
        let text = "no worker with Python 3.11 offers gpu (connected: big x1, no tags x1)";
        assert_eq!(lack(&workers, &need(Some("3.11"), &["gpu"])).as_deref(), Some(text));
        assert_eq!(lack(&workers, &need(None, &["gpu"])), None);
        let position = workers.position(&need(Some("3.11"), &["big"]), 7).unwrap();
        assert_eq!((position.workers, position.suitable_workers), (3, 1));
        assert_eq!((position.slots, position.slots_busy, position.ahead), (2, 1, 7));
    }
}
