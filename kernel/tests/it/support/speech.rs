//! The words in which scripts, and the traces of failed random tests, speak of replies, events, tasks and rows.

use std::fmt::Display;

use raftwork_kernel::{
    Accepted, Bound, Change, Counters, Event, FailureKind, Grant, InParts, LeaseRef, LimitStanding, LogTime,
    MapId, Millis, Outcome, PayloadId, Phase, Record, Reply, Rows, Schedule, State, Status, Task, TaskId,
    Token, Unborn, WorkerId,
};

use super::group::Group;
use super::names::{Lease, Span, name_of, with_names};

pub(crate) fn reply(reply: &Reply) -> String {
    match reply {
        Ok(accepted) => self::accepted(accepted),
        Err(rejection) => format!("rejected: {}", with_names(&rejection.to_string())),
    }
}

fn accepted(accepted: &Accepted) -> String {
    match accepted {
        Accepted::Registered => "registered".to_owned(),
        Accepted::Submitted { created } => format!("submitted: {created} new"),
        Accepted::Granted(grants) if grants.is_empty() => "granted nothing".to_owned(),
        Accepted::Granted(grants) => format!("granted {}", list(grants.iter().map(grant))),
        Accepted::Extended { run_until } => format!("extended until {}", moment(*run_until)),
        Accepted::Completed => "completed".to_owned(),
        Accepted::WillRetry { due } => format!("will retry at {}", moment(*due)),
        Accepted::Finished { status } => format!("finished: {status}"),
        Accepted::Released => "released".to_owned(),
        Accepted::Cancelled => "cancelled".to_owned(),
        Accepted::Expired(count) => format!("expired {count}"),
        Accepted::Forgotten(count) => format!("forgot {count}"),
        Accepted::LimitSet => "limit set".to_owned(),
        Accepted::SchedulePut { created: true } => "schedule made".to_owned(),
        Accepted::SchedulePut { created: false } => "schedule is as wanted".to_owned(),
        Accepted::ScheduleChanged => "schedule changed".to_owned(),
        Accepted::Fired { submitted } => format!("fired: {submitted} submitted"),
        Accepted::Redriven { created: true } => "redriven".to_owned(),
        Accepted::Redriven { created: false } => "redriven before".to_owned(),
        Accepted::Stored => "stored".to_owned(),
        Accepted::Mapped { items, created: true } => format!("mapped: {items} items"),
        Accepted::Mapped { items, created: false } => format!("mapped before: {items} items"),
    }
}

fn grant(grant: &Grant) -> String {
    let bound = grant.run_max.map_or_else(String::new, |run_max| format!(" for {}", Span(run_max.0)));
    format!("{} (attempt {}{bound})", lease(grant.task, grant.token), grant.attempt)
}

pub(crate) fn event(event: &Event) -> String {
    match event {
        Event::Finished { task, status } => format!("{} has ended: {status}", name(*task)),
        Event::ScheduleChanged { name } => format!("schedule {name} has changed"),
        Event::Revoked { task, token, worker } => {
            format!("{} must stop {}", worker_name(*worker), lease(*task, *token))
        }
        Event::MapFinished { map } => format!("map {} has ended", name_of(map.as_uuid())),
    }
}

pub(crate) fn change(change: &Change) -> String {
    match change {
        Change::PutFunction { id, .. } => format!("put function {}", name_of(id.as_uuid())),
        Change::PutTask { id, .. } => format!("put task {}", name(*id)),
        Change::PutRules { id, .. } => format!("put rules {}", name(*id)),
        Change::PutLive { id, .. } => format!("put live {}", name(*id)),
        Change::DeleteLive { id } => format!("delete live {}", name(*id)),
        Change::PutRecord { id, .. } => format!("put record {}", name(*id)),
        Change::PutOutput { task, token, .. } => format!("put output {}", lease(*task, *token)),
        Change::Forget { id, .. } => format!("forget {}", name(*id)),
        Change::PutLimit { name, .. } => format!("put {name}"),
        Change::DeleteLimit { name } => format!("delete {name}"),
        Change::PutSchedule { name, .. } => format!("put schedule {name}"),
        Change::DeleteSchedule { name } => format!("delete schedule {name}"),
        Change::PutUpload { id, .. } => format!("put upload {}", name_of(id.as_uuid())),
        Change::DeleteUpload { id } => format!("delete upload {}", name_of(id.as_uuid())),
        Change::PutPiece { map, index, .. } => format!("put piece {index} of {}", name_of(map.as_uuid())),
        Change::DeletePieces { map, from, to } => {
            format!("delete pieces {from} to {to} of {}", name_of(map.as_uuid()))
        }
        Change::PutMap { id, .. } => format!("put map {}", name_of(id.as_uuid())),
        Change::PutMapStanding { id, .. } => format!("put map standing {}", name_of(id.as_uuid())),
        Change::PutPayloadUpload { of, .. } => format!("put upload {}", payload(*of)),
        Change::DeletePayloadUpload { of } => format!("delete upload {}", payload(*of)),
        Change::PutPart { of, index, .. } => format!("put part {index} of {}", payload(*of)),
        Change::DeleteParts { of, count } => format!("delete parts 0 to {count} of {}", payload(*of)),
        Change::ForgetMap { id, .. } => format!("forget map {}", name_of(id.as_uuid())),
    }
}

/// A large payload: `a` for arguments, `a@1` for a result.
pub(crate) fn payload(of: PayloadId) -> String {
    of.lease().map_or_else(|| name(of.task), |lease| Lease(lease).to_string())
}

/// What is said of a large payload, as in `2/10`.
pub(crate) fn whole(parts: InParts) -> String {
    format!("{}/{}/{}", parts.count, parts.bytes, parts.digest[0])
}

/// The large payloads that are being sent, and all parts that are kept.
pub(crate) fn payloads(group: &Group) -> String {
    let sent = group.state.payload_uploads().map(|(of, upload)| {
        format!("{}: parts {:?}, kept until {}", payload(of), upload.pieces, moment(upload.expires))
    });
    let mut lines: Vec<String> = sent.collect();
    let kept = group.store.parts.keys().map(|(of, index)| format!("{}/{index}", payload(*of)));
    lines.push(format!("kept: {}", list(kept)));
    lines.join("\n")
}

/// How a schedule stands.
pub(crate) fn schedule(name: &str, schedule: &Schedule, live: u32) -> String {
    let paused = if schedule.paused { ", paused" } else { "" };
    format!(
        "{name}: dealt with up to {}{paused}, {} fired, {} skipped, {live} live",
        Span(schedule.last.0),
        schedule.fired,
        schedule.skipped
    )
}

/// What a limit says, and who is under it.
pub(crate) fn limit(limit: &LimitStanding) -> String {
    let said = |by: &str, bound: Option<Bound>| bound.map(|bound| format!("{} {by}", self::bound(bound)));
    let mut parts = vec![];
    parts.extend(said("by hand", limit.limit.by_hand));
    parts.extend(said("by a submit", limit.limit.declared));
    parts.push(format!("{} of {} tasks leased", limit.held, limit.tasks));
    if !limit.limit.starts.is_empty() {
        parts.push(format!("{} starts count", limit.limit.starts.count()));
    }
    parts.extend(limit.opens.map(|opens| format!("opens at {}", moment(opens))));
    format!("{}: {}", limit.name, parts.join(", "))
}

pub(crate) fn bound(bound: Bound) -> String {
    if bound.per == Millis(0) {
        bound.max.to_string()
    } else {
        format!("{}/{}", bound.max, Span(bound.per.0))
    }
}

/// Everything that is known of one task, one line each.
pub(crate) fn standing(group: &Group, id: TaskId) -> String {
    let mut lines = vec![match (group.state.task(&id), group.store.records.get(&id)) {
        (Some(task), _) => format!("{}: {}", name(id), live(&group.state, id, &task)),
        (None, Some(record)) => format!("{}: {}", name(id), ended(record)),
        (None, None) => format!("{}: {}", name(id), unborn(group, id)),
    }];
    for ((task, token), output) in group.store.outputs.range((id, Token(0))..=(id, Token(u64::MAX))) {
        lines.push(format!(
            "  {} printed {:?} and {:?}",
            lease(*task, *token),
            short(&String::from_utf8_lossy(&output.stdout)),
            short(&String::from_utf8_lossy(&output.stderr))
        ));
    }
    lines.join("\n")
}

fn unborn(group: &Group, id: TaskId) -> &'static str {
    let unborn = id.as_item().and_then(|(map, index)| {
        let (row, standing) = group.store.map(&map)?;
        standing.unborn(&row, index)
    });
    match unborn {
        Some(Unborn::Queued) => "an item whose turn comes",
        Some(Unborn::Cancelled(_)) => "an item that was cancelled before its turn",
        None => "unknown",
    }
}

/// Where a map stands.
pub(crate) fn map(group: &Group, id: MapId) -> String {
    let name = name_of(id.as_uuid());
    let Some((row, standing)) = group.store.map(&id) else {
        let upload = group.state.uploads().find(|(upload, _)| *upload == id);
        return upload.map_or_else(
            || format!("map {name}: unknown"),
            |(_, upload)| {
                format!(
                    "map {name}: being sent, pieces {:?}, kept until {}",
                    upload.pieces,
                    moment(upload.expires)
                )
            },
        );
    };
    let ended = standing.ended;
    let live = group.state.maps().find(|(map, ..)| *map == id).is_some();
    let mut text = format!(
        "map {name}: {} of {} items had their turn; {} completed, {} failed, {} parked, {} cancelled",
        standing.next,
        row.items(),
        ended.completed,
        ended.failed,
        ended.parked,
        ended.cancelled
    );
    let kept = standing.finished.map(|finished| format!("; kept until {}", moment(finished.expires)));
    assert!(live || kept.is_some(), "a map that has not ended lives");
    text += &kept.unwrap_or_default();
    text
}

fn live(state: &State, id: TaskId, task: &Task) -> String {
    let mut parts = vec![state.status(&id).map_or("gone", Status::as_str).to_owned()];
    match &task.phase {
        Phase::Waiting { due } => parts.push(format!("until {}", moment(*due))),
        Phase::Scheduled { at } => parts.push(format!("for the calendar to say {}", Span(at.0))),
        Phase::Ready => {}
        Phase::Blocked { not_before } => {
            parts.push(format!("for {}", list(state.waits_for(&id).map(name))));
            if *not_before > LogTime(0) {
                parts.push(format!("and not before {}", moment(*not_before)));
            }
        }
        Phase::Leased(held) => {
            parts.push(format!("on {} for {}", worker_name(held.worker), name_of(held.request.as_uuid())));
            parts.extend(held.run_until.map(|until| format!("until {}", moment(until))));
        }
    }
    parts.push(newest(task.token));
    parts.extend(counters(task.counters));
    let deadlines = task.deadlines.as_deref().copied().unwrap_or_default();
    parts.extend(deadlines.start_by.map(|at| format!("to start by {}", moment(at))));
    parts.extend(deadlines.end_by.map(|at| format!("to end by {}", moment(at))));
    parts.join(", ")
}

fn ended(record: &Record) -> String {
    let mut parts = vec![outcome(&record.outcome), newest(record.token)];
    parts.extend(record.worker.map(|worker| format!("by {}", worker_name(worker))));
    parts.extend(counters(record.counters));
    parts.push(format!("kept until {}", moment(record.expires)));
    parts.join(", ")
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Completed(result) => format!("completed with {:?}", String::from_utf8_lossy(result)),
        Outcome::CompletedInParts(parts) => format!("completed with parts {}", whole(*parts)),
        Outcome::Failed(error) => {
            format!("failed: {} ({})", short(&with_names(&error.message)), kind(error.kind))
        }
        Outcome::Parked(error) => format!("parked: {} ({})", short(&error.message), kind(error.kind)),
        Outcome::Cancelled => "cancelled".to_owned(),
    }
}

/// Runs of the same letter that are too long to read, counted.
fn short(text: &str) -> String {
    let runs = text.as_bytes().chunk_by(|one, next| one == next);
    let words = runs.map(|run| match (run.len(), char::from(run[0])) {
        (len @ 100.., letter) => format!("[{len} times {letter}]"),
        (len, letter) => letter.to_string().repeat(len),
    });
    words.collect()
}

fn kind(kind: FailureKind) -> String {
    if let FailureKind::Dependency { task } = kind {
        return format!("dependency {}", name(task));
    }
    format!("{kind:?}").to_lowercase()
}

fn counters(counters: Counters) -> Option<String> {
    let all = [
        ("failures", counters.failures),
        ("crashes", counters.crashes),
        ("losses", counters.losses),
        ("returns", counters.returns),
    ];
    let charged = all.iter().filter(|(_, count)| *count > 0);
    let text = list(charged.map(|(what, count)| format!("{what} {count}")));
    (!text.is_empty()).then_some(text)
}

fn newest(token: Token) -> String {
    if token == Token(0) { "never granted".to_owned() } else { format!("newest token {token}") }
}

pub(crate) fn name(task: TaskId) -> String {
    name_of(task.as_uuid())
}

pub(crate) fn worker_name(worker: WorkerId) -> String {
    name_of(worker.as_uuid())
}

pub(crate) fn lease(task: TaskId, token: Token) -> Lease {
    Lease(LeaseRef { task, token })
}

pub(crate) fn moment(at: LogTime) -> Span {
    Span(at.0)
}

pub(crate) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
