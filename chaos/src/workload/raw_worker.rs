//! Workers that speak plain HTTP and are not all well behaved: slow, forgetful, late, and repeating themselves.

use std::time::Duration;

use raftwork_api::kernel::{LeaseRef, RequestId, Status, TaskId, Token, WorkerId};
use raftwork_api::leases::{AcquiredLeases, HeartbeatAnswer, LeaseInfo};
use raftwork_api::parts::PartsInfo;
use raftwork_api::paths;
use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use uuid::Uuid;

use super::caller::Caller;
use super::functions::{RAW_PYTHON, result_of};
use super::http::Ask;
use super::parts;
use super::shared::Stage;
use super::submit::FINAL;
use crate::history::{Call, FailureKind, Fingerprint, Grant, Outcome, Reply};

/// Most tasks of one acquire.
const GRANTS_MAX: u16 = 6;
/// Most leases that a worker remembers to report on later.
const LATE_MAX: usize = 20;

/// Parts of a result that is reported in parts.
const PARTS: usize = 3;

/// One task in a worker's hands.
#[derive(Debug, Clone, Copy)]
struct Held {
    task: TaskId,
    token: Token,
    number: u64,
}

struct RawWorker {
    caller: Caller,
    id: WorkerId,
    /// Leases that it let slip or gave back, to be reported on when they may be somebody else's.
    late: Vec<Held>,
}

/// What a worker does with a task.
#[derive(Debug, Clone, Copy)]
enum Conduct {
    Complete,
    CompleteTwice,
    CompleteInParts,
    ExtendThenComplete,
    FailForNow,
    FailForGood,
    Release,
    LetSlip,
    Vanish,
}

impl Conduct {
    fn draw(stage: Stage) -> Self {
        // Once nothing new comes, leases that nobody reports on would only make the end wait for them to run out.
        if stage == Stage::Drain {
            return Self::Complete;
        }
        match rand::rng().random_range(0..100) {
            0..2 => Self::CompleteTwice,
            2..6 => Self::ExtendThenComplete,
            6..11 => Self::FailForNow,
            11..13 => Self::FailForGood,
            13..16 => Self::Release,
            16..18 => Self::LetSlip,
            18 => Self::Vanish,
            19..23 => Self::CompleteInParts,
            _ => Self::Complete,
        }
    }
}

/// Works until there is nothing left to do.
pub(super) async fn run(caller: Caller) {
    let mut worker = RawWorker { caller, id: new_id(), late: Vec::new() };
    while worker.caller.shared.stage() < Stage::Over {
        let held = worker.acquire().await;
        if held.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        worker.start(&held.iter().map(|(held, _)| *held).collect::<Vec<_>>()).await;
        for (lease, arguments) in held {
            if let Some(number) = worker.number(lease, arguments).await {
                worker.work(Held { number, ..lease }).await;
            }
        }
        if worker.late.len() > LATE_MAX || rand::rng().random_ratio(1, 40) {
            worker.report_late().await;
        }
    }
}

fn new_id() -> WorkerId {
    WorkerId::from(Uuid::new_v4())
}

fn lease(held: Held) -> Value {
    json!({"task": held.task, "token": held.token})
}

impl RawWorker {
    /// What is to be computed with; none if the arguments are in parts, and cannot be had.
    async fn number(&mut self, held: Held, arguments: Option<PartsInfo>) -> Option<u64> {
        let Some(said) = arguments else { return Some(held.number) };
        let path = paths::TASK_ARGUMENTS_PART.replace("{task_id}", &held.task.to_string());
        let read = parts::read(&self.caller, &path, &said).await;
        let number = read.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()?["args"][0].as_u64());
        if number.is_none() {
            self.release(held).await;
        }
        number
    }

    async fn acquire(&mut self) -> Vec<(Held, Option<PartsInfo>)> {
        let request = RequestId::from(Uuid::new_v4());
        let max = rand::rng().random_range(1..=GRANTS_MAX);
        let call = Call::Acquire { worker: self.id, request, max, python: RAW_PYTHON };
        let body = json!({
            "worker_id": self.id, "request_id": request, "max": max, "python": RAW_PYTHON.to_string(), "wait": "500ms",
        });
        // An answer that was lost is asked for again, under the same id: the grants must be the same.
        for _ in 0..3 {
            let mut held = Vec::new();
            let node = self.caller.some_node();
            let ask = Ask::post(paths::LEASES_ACQUIRE, Some(body.clone()));
            let outcome = self
                .caller
                .call(node, call.clone(), ask, |body| {
                    held = granted(body)?;
                    let grants = held.iter().map(|(held, attempt, _)| Grant {
                        task: held.task,
                        token: held.token,
                        attempt: *attempt,
                    });
                    Some(Reply::Granted { grants: grants.collect() })
                })
                .await;
            match outcome {
                Outcome::Info { .. } => {}
                Outcome::Ok(_) => {
                    return held.into_iter().map(|(held, _, arguments)| (held, arguments)).collect();
                }
                Outcome::Refused { .. } | Outcome::Fail { .. } => break,
            }
        }
        Vec::new()
    }

    async fn start(&mut self, held: &[Held]) {
        if held.is_empty() || rand::rng().random_ratio(2, 3) {
            return;
        }
        let leases: Vec<LeaseRef> =
            held.iter().map(|held| LeaseRef { task: held.task, token: held.token }).collect();
        let body =
            json!({"worker_id": self.id, "leases": held.iter().copied().map(lease).collect::<Vec<_>>()});
        let (path, call) = if rand::rng().random_bool(0.5) {
            (paths::LEASES_START, Call::Start { worker: self.id, leases })
        } else {
            (paths::LEASES_HEARTBEAT, Call::Heartbeat { worker: self.id, leases })
        };
        let node = self.caller.some_node();
        self.caller.call(node, call, Ask::post(path, Some(body)), beaten).await;
    }

    async fn work(&mut self, held: Held) {
        match Conduct::draw(self.caller.shared.stage()) {
            Conduct::Complete => self.complete(held).await,
            Conduct::CompleteTwice => {
                self.complete(held).await;
                self.complete(held).await;
            }
            Conduct::CompleteInParts => self.complete_in_parts(held).await,
            Conduct::ExtendThenComplete => {
                self.extend(held).await;
                self.complete(held).await;
            }
            Conduct::FailForNow => self.fail(held, true).await,
            Conduct::FailForGood => self.fail(held, false).await,
            Conduct::Release => {
                self.release(held).await;
                // Some forget that they gave it back. Leases do not run out where one leader follows the other.
                if rand::rng().random_bool(0.5) {
                    self.late.push(held);
                }
            }
            Conduct::LetSlip => {
                // Its leases end with the id that they were granted to.
                self.late.push(held);
                self.id = new_id();
            }
            Conduct::Vanish => self.id = new_id(),
        }
    }

    async fn report_late(&mut self) {
        let Some(held) = self.late.choose(&mut rand::rng()).copied() else { return };
        self.late.retain(|late| late.token != held.token);
        let way = rand::rng().random_range(0..4);
        match way {
            0 => self.fail(held, true).await,
            1 => self.release(held).await,
            2 => self.extend(held).await,
            _ => self.complete(held).await,
        }
    }

    async fn report(&mut self, path: &str, call: Call, body: Value, status: Option<Status>) {
        // A report without an answer is sent once more, as a worker does that does not give up its work.
        for _ in 0..2 {
            let ask = Ask::post(path, Some(body.clone()));
            let node = self.caller.some_node();
            let outcome = self.caller.call(node, call.clone(), ask, |_| Some(Reply::Done { status })).await;
            if !matches!(outcome, Outcome::Info { .. }) {
                return;
            }
        }
    }

    async fn complete(&mut self, Held { task, token, number }: Held) {
        let value = result_of(number);
        let result = Fingerprint::of_result(value.to_string().as_bytes());
        let body = json!({"task_id": task, "token": token, "value": value});
        let call = Call::Complete { task, token, result };
        self.report(paths::LEASES_COMPLETE, call, body, Some(Status::Completed)).await;
    }

    /// Its lease may end meanwhile, and then nobody takes the rest.
    async fn complete_in_parts(&mut self, held: Held) {
        let Held { task, token, number } = held;
        let value = result_of(number).to_string();
        let (said, cut) = parts::cut(value.as_bytes(), PARTS);
        let path = paths::LEASE_RESULT_PART
            .replace("{task_id}", &task.to_string())
            .replace("{token}", &token.0.to_string());
        if !parts::send(&self.caller, &path, 0.., &cut).await {
            return self.complete(held).await;
        }
        let body = json!({"task_id": task, "token": token, "result_parts": PartsInfo::from(said)});
        let call = Call::Complete { task, token, result: Fingerprint::of_result(value.as_bytes()) };
        self.report(paths::LEASES_COMPLETE, call, body, Some(Status::Completed)).await;
    }

    async fn fail(&mut self, Held { task, token, .. }: Held, retryable: bool) {
        let classes =
            if rand::rng().random_bool(0.5) { ["KeyError", FINAL] } else { ["ValueError", "Exception"] };
        let body = json!({
            "task_id": task, "token": token, "type": classes[0], "bases": [classes[1]], "message": "as planned",
            "retryable": retryable,
        });
        let classes = classes.map(str::to_owned).into();
        let call = Call::Fail { task, token, kind: FailureKind::Exception, classes, retryable };
        self.report(paths::LEASES_FAIL, call, body, None).await;
    }

    async fn release(&mut self, Held { task, token, .. }: Held) {
        let body = json!({"task_id": task, "token": token});
        self.report(paths::LEASES_RELEASE, Call::Release { task, token }, body, None).await;
    }

    async fn extend(&mut self, Held { task, token, .. }: Held) {
        let run_ms = rand::rng().random_range(1_000..10_000);
        let body = json!({"task_id": task, "token": token, "run": format!("{run_ms}ms")});
        self.report(paths::LEASES_EXTEND, Call::Extend { task, token, run_ms }, body, None).await;
    }
}

fn granted(body: &Value) -> Option<Vec<(Held, u16, Option<PartsInfo>)>> {
    let acquired: AcquiredLeases = serde_json::from_value(body.clone()).ok()?;
    let held = |lease: LeaseInfo| {
        // What is in parts has no number yet.
        let number = match &lease.arguments_parts {
            Some(_) => 0,
            None => lease.arguments?["args"][0].as_u64()?,
        };
        let held = Held { task: lease.task_id, token: lease.token, number };
        Some((held, lease.attempt, lease.arguments_parts))
    };
    acquired.leases.into_iter().map(held).collect()
}

fn beaten(body: &Value) -> Option<Reply> {
    let answer: HeartbeatAnswer = serde_json::from_value(body.clone()).ok()?;
    Some(Reply::Beat { lost: answer.lost })
}
