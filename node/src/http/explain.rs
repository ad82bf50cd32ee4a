//! `/v1/tasks/{task_id}/explain`: why a task does not run.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use raftwork_api::explain::{Explanation, QueuePosition, Reason};
use raftwork_api::kernel::{LimitKind, LogTime, Millis, Status, TaskId};
use raftwork_api::limits::LimitInfo;
use raftwork_api::{Span, paths, rfc3339};
use raftwork_kernel::{Need, Phase, Record, Task};

use super::error::ApiResult;
use super::extract::{Id, json};
use super::limits;
use super::openapi::Problems;
use super::read;
use super::state::AppState;
use super::view::{self, Connected, Lack};
use crate::group::Unavailable;
use crate::replica::Standing;

/// Most tasks that are counted in front of one.
const AHEAD_MAX: usize = 10_000;

/// Why a task does not run, or what became of it.
#[utoipa::path(
    get, path = paths::TASK_EXPLAIN, tag = "tasks",
    params(("task_id" = uuid::Uuid, Path, description = "The task")),
    responses((status = 200, description = "The reason, for people and for programs", body = Explanation), Problems)
)]
pub(super) async fn get(State(state): State<AppState>, Id(id): Id<TaskId>) -> ApiResult<Response> {
    let replica = state.group.replica();
    let quorum = match replica.standing(&id) {
        Some(Standing::Finished(_)) => true,
        Some(Standing::Live { .. }) | None => match state.group.linearize().await {
            Ok(()) => true,
            Err(Unavailable::NoLeader) => false,
            Err(unavailable) => return Err(unavailable.into()),
        },
    };
    let standing = replica.standing(&id).ok_or_else(|| read::unknown_task(id))?;
    let explanation = match &standing {
        Standing::Finished(record) => ended(id, record, view::redriven_as(&state, &id, record)),
        Standing::Live { status, .. } if !quorum => no_quorum(id, *status),
        Standing::Live { status, task } => {
            let connected = Connected::to(&state);
            let need = Need { python: task.python, tags: view::rules_of(&state, &id).tags().clone() };
            let ahead = replica.ahead_of(&id, AHEAD_MAX).unwrap_or_default();
            let asked = Asked { id, status: *status, now: state.group.log_time() };
            let is_ready = task.phase == Phase::Ready;
            let left = replica.waits_for(&id);
            let turns = replica.turns_before(&id).filter(|_| is_ready);
            let limit = is_ready.then(|| view::limit_reached(&state, &id)).flatten();
            turns.map_or_else(
                || {
                    live(
                        &asked,
                        task,
                        &need,
                        (limit, connected.lack(&need), &left),
                        connected.position(&need, ahead),
                    )
                },
                |before| map_turn(&asked, before),
            )
        }
    };
    Ok(json(StatusCode::OK, &explanation))
}

/// Which task, and when.
struct Asked {
    id: TaskId,
    status: Status,
    now: LogTime,
}

impl Asked {
    fn because(&self, reason: Reason, detail: impl Into<String>, hint: Option<&str>) -> Explanation {
        Explanation {
            task_id: self.id,
            status: self.status,
            reason,
            detail: detail.into(),
            hint: hint.map(ToOwned::to_owned),
            ends_in: None,
            python: None,
            tags: Vec::new(),
            queue: None,
            limit: None,
            worker_id: None,
        }
    }
}

fn live(
    asked: &Asked,
    task: &Task,
    need: &Need,
    (limit, lack, left): (Option<LimitInfo>, Option<Lack>, &[TaskId]),
    queue: Option<QueuePosition>,
) -> Explanation {
    let explanation = match &task.phase {
        Phase::Waiting { due } => waiting(asked, task, *due),
        Phase::Scheduled { at } => {
            let detail = format!("it was submitted to run at {}", rfc3339::format(*at));
            asked.because(Reason::Scheduled, detail, None)
        }
        Phase::Blocked { .. } => {
            let detail = format!("it runs after others, and waits for {}", view::others(left));
            asked.because(Reason::Dependency, detail, Some("ask why they do not end: their explain says so"))
        }
        Phase::Leased(lease) => {
            let detail = format!("worker {} has it, under token {}", lease.worker, task.token);
            let running = asked.because(Reason::Running, detail, None);
            Explanation { worker_id: Some(lease.worker.to_string()), ..running }
        }
        Phase::Ready => match limit {
            Some(limit) => limited(asked, limit, queue),
            None => ready(asked, lack, queue),
        },
    };
    let detail = explanation.detail + &before_it_fails(asked, task);
    Explanation {
        detail,
        python: need.python.map(|python| python.to_string()),
        tags: view::names(&need.tags),
        ..explanation
    }
}

/// Which deadline comes next, in words to add.
fn before_it_fails(asked: &Asked, task: &Task) -> String {
    let deadlines = task.deadlines.as_deref().copied().unwrap_or_default();
    let before_start = task.phase.is_before_any_start(task.counters);
    let start_by = deadlines.start_by.filter(|_| before_start).map(|at| (at, "starts"));
    let end_by = deadlines.end_by.map(|at| (at, "ends"));
    let Some((at, what)) = start_by.into_iter().chain(end_by).min() else { return String::new() };
    let left = Span(Millis(at.0.saturating_sub(asked.now.0)));
    format!("; it fails unless it {what} within {left}")
}

fn waiting(asked: &Asked, task: &Task, due: LogTime) -> Explanation {
    let left = Span(Millis(due.0.saturating_sub(asked.now.0)));
    let attempt = task.counters.next_attempt();
    let explanation = if attempt == 1 {
        asked.because(
            Reason::Delayed,
            format!("it was submitted with a delay, of which {left} are left"),
            None,
        )
    } else {
        let detail = format!("attempt {} failed; the pause before the next one has {left} left", attempt - 1);
        asked.because(Reason::RetryBackoff, detail, None)
    };
    Explanation { ends_in: Some(left), ..explanation }
}

fn ready(asked: &Asked, lack: Option<Lack>, queue: Option<QueuePosition>) -> Explanation {
    let explanation = match (lack, queue) {
        (Some(lack), _) => lacking(asked, lack),
        (None, Some(queue)) if queue.slots_busy >= queue.slots => {
            let detail = format!(
                "all {} slots of the {} workers that could run it are taken; {} tasks with the same needs are before it",
                queue.slots, queue.suitable_workers, queue.ahead
            );
            asked.because(
                Reason::SlotsBusy,
                detail,
                Some("add workers or slots, or give it a higher priority"),
            )
        }
        (None, _) => asked.because(Reason::NextInTurn, "it is about to be granted to a worker", None),
    };
    Explanation { queue, ..explanation }
}

fn limited(asked: &Asked, limit: LimitInfo, queue: Option<QueuePosition>) -> Explanation {
    let mut detail = limits::reached(&limit);
    let (reason, hint) = match limit.kind {
        LimitKind::Concurrency => {
            let names: Vec<String> =
                limit.holders.iter().take(3).map(|one| one.task_id.to_string()).collect();
            let more = limit.holders.len().saturating_sub(names.len());
            if !names.is_empty() {
                detail = format!("{detail}; they are {}", names.join(", "));
            }
            if more > 0 {
                detail = format!("{detail} and {more} more");
            }
            (Reason::ConcurrencyLimit, "it starts when one of them ends; raftwork limits set allows more")
        }
        LimitKind::Rate => (Reason::RateLimit, "it starts by itself; raftwork limits set allows more"),
    };
    let explanation = asked.because(reason, detail, Some(hint));
    Explanation { ends_in: limit.opens_in, limit: Some(limit), queue, ..explanation }
}

fn map_turn(asked: &Asked, before: u32) -> Explanation {
    let detail = format!(
        "it is an item of a map, whose items become tasks as others end; {before} of the map's items have their turn before it"
    );
    asked.because(Reason::MapTurn, detail, Some("its map goes on as workers take tasks: see /v1/maps"))
}

fn lacking(asked: &Asked, lack: Lack) -> Explanation {
    let (reason, hint) = match &lack {
        Lack::NoWorker => (Reason::NoWorker, "start one: raftwork worker"),
        Lack::Python(_) => (
            Reason::NoSuitableWorker,
            "start a worker with that Python, or register the function with another one",
        ),
        Lack::Tags(_) => {
            (Reason::NoSuitableWorker, "start a worker that offers them: raftwork worker --tags")
        }
    };
    asked.because(reason, lack.text(), Some(hint))
}

fn no_quorum(id: TaskId, status: Status) -> Explanation {
    let asked = Asked { id, status, now: LogTime(0) };
    let detail = "this node knows no leader that a majority confirms: an election is under way, or too few nodes are up";
    asked.because(
        Reason::NoQuorum,
        detail,
        Some("bring a majority of the nodes up; nothing is lost meanwhile"),
    )
}

fn ended(id: TaskId, record: &Record, again: Option<TaskId>) -> Explanation {
    let status = record.outcome.status();
    let asked = Asked { id, status, now: LogTime(0) };
    let error = view::error_of(record).map_or_else(String::new, |error| format!(": {}", error.message));
    let again = again.map(|again| format!("; redriven as task {again}"));
    let explanation = if status == Status::Parked {
        let counters = record.counters;
        let detail = format!(
            "it was parked after {} crashes and {} lost workers{error}{}",
            counters.crashes,
            counters.losses,
            again.as_deref().unwrap_or_default()
        );
        let hint = again.is_none().then_some("once the cause is gone, run it again: raftwork tasks redrive");
        asked.because(Reason::Parked, detail, hint)
    } else {
        let again = again.unwrap_or_default();
        asked.because(Reason::Ended, format!("it ended: {status}{error}{again}"), None)
    };
    Explanation { worker_id: record.worker.map(|worker| worker.to_string()), ..explanation }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked {
        Asked { id: TaskId::from_u128(1), status: Status::Queued, now: LogTime(1_000) }
    }

    const fn queue(slots_busy: u32) -> QueuePosition {
        QueuePosition { workers: 3, suitable_workers: 2, slots: 4, slots_busy, ahead: 17 }
    }

    #[test]
    fn a_ready_task_waits_for_a_worker_or_for_a_slot() {
        let busy = ready(&asked(), None, Some(queue(4)));
        assert_eq!(busy.reason, Reason::SlotsBusy);
        assert!(busy.detail.contains("all 4 slots of the 2 workers") && busy.detail.contains("17 tasks"));
        assert_eq!(ready(&asked(), None, Some(queue(3))).reason, Reason::NextInTurn);
        assert_eq!(ready(&asked(), Some(Lack::NoWorker), Some(queue(4))).reason, Reason::NoWorker);
        let lack = Lack::Tags("no worker offers gpu".to_owned());
        assert_eq!(ready(&asked(), Some(lack), Some(queue(4))).reason, Reason::NoSuitableWorker);
    }
}
