//! Attempts in the replay: what their workers, and those who end them, say of them, and what follows.

use raftwork_api::kernel::{Status, TaskId};

use super::job::{At, pause_ms};
use super::model::{Answer, CRASHES_MAX, LOSSES_MAX, Model, RUN_GRACE_MS};
use crate::history::{FailureKind, Fingerprint, Refusal};

impl Model {
    /// Where the task stands, if the token is the newest of a task that has not ended; or the refusal.
    pub(super) fn newest(&self, task: TaskId, token: u64) -> Result<At, (Refusal, Option<u64>)> {
        let job = self.jobs.get(&task).ok_or((Refusal::UnknownTask, None))?;
        match job.at {
            At::Ended(..) if job.token == token => Err((Refusal::AlreadyFinished, None)),
            at if job.token == token && token != 0 => Ok(at),
            At::Unborn(_) => Err((Refusal::UnknownTask, None)),
            At::Pause(_) | At::Dated(_) | At::Blocked | At::Ready | At::Held(..) | At::Ended(..) => {
                Err((Refusal::StaleLease, Some(job.token)))
            }
        }
    }

    /// How the task ended under this very token.
    pub(super) fn ended_under(&self, task: TaskId, token: u64) -> Option<Status> {
        let job = self.jobs.get(&task).filter(|job| job.token == token)?;
        match job.at {
            At::Ended(status, ..) => Some(status),
            At::Unborn(_) | At::Pause(_) | At::Dated(_) | At::Blocked | At::Ready | At::Held(..) => None,
        }
    }

    pub(super) fn end(&mut self, task: TaskId, status: Status, result: Option<Fingerprint>) {
        let before = self.jobs[&task].at;
        // What was cancelled before its turn is kept at least until then.
        let expires = match before {
            At::Unborn(_) => u64::MAX,
            At::Pause(_) | At::Dated(_) | At::Blocked | At::Ready | At::Held(..) | At::Ended(..) => {
                self.now.saturating_add(self.jobs[&task].retention_ms)
            }
        };
        self.put(task, At::Ended(status, result, expires));
        self.count_item(task, before);
    }

    pub(super) fn complete(&mut self, task: TaskId, token: u64, result: Fingerprint) -> Answer {
        if self.ended_under(task, token) == Some(Status::Completed) {
            return Ok(Some(Status::Completed));
        }
        self.newest(task, token)?;
        self.end(task, Status::Completed, Some(result));
        Ok(Some(Status::Completed))
    }

    pub(super) fn fail(
        &mut self,
        task: TaskId,
        token: u64,
        kind: FailureKind,
        classes: &[String],
        retryable: bool,
    ) -> Answer {
        if let Some(status @ (Status::Failed | Status::Parked)) = self.ended_under(task, token) {
            return Ok(Some(status));
        }
        if matches!(self.newest(task, token)?, At::Held(..)) {
            let again = retryable && !self.jobs[&task].is_final(kind, classes);
            self.charge(task, kind, again);
        }
        Ok(Some(match self.jobs[&task].at {
            At::Ended(status, ..) => status,
            At::Unborn(_) | At::Pause(_) | At::Dated(_) | At::Blocked | At::Ready | At::Held(..) => {
                Status::Waiting
            }
        }))
    }

    pub(super) fn charge(&mut self, task: TaskId, kind: FailureKind, retryable: bool) {
        let job = self.jobs.get_mut(&task).expect("only jobs that exist are charged");
        let pause = match kind {
            FailureKind::WorkerLost => {
                job.losses += 1;
                if job.losses >= LOSSES_MAX { Err(Status::Parked) } else { Ok(0) }
            }
            FailureKind::Crash | FailureKind::OutOfMemory => {
                job.crashes += 1;
                let parked = job.crashes >= CRASHES_MAX;
                if parked { Err(Status::Parked) } else { Ok(pause_ms(job.retry, task, job.crashes)) }
            }
            FailureKind::Exception
            | FailureKind::Timeout
            | FailureKind::Unserializable
            | FailureKind::Load
            | FailureKind::Expired
            | FailureKind::Dependency => {
                job.failures += 1;
                let again = retryable && job.failures < job.retry.max_attempts;
                if again { Ok(pause_ms(job.retry, task, job.failures)) } else { Err(Status::Failed) }
            }
        };
        let end_by = job.options.total_ms.map(|total| job.accepted.saturating_add(total));
        match pause {
            Ok(pause) if end_by.is_some_and(|at| at <= self.now.saturating_add(pause)) => {
                self.end(task, Status::Failed, None);
            }
            Ok(0) => self.put(task, At::Ready),
            Ok(pause) => self.put(task, At::Pause(self.now.saturating_add(pause))),
            Err(status) => self.end(task, status, None),
        }
    }

    pub(super) fn extend(&mut self, task: TaskId, token: u64, run_ms: u64) -> Answer {
        let At::Held(worker, request, _) = self.newest(task, token)? else {
            return Err((Refusal::StaleLease, Some(token)));
        };
        let until = self.now.saturating_add(run_ms).saturating_add(RUN_GRACE_MS);
        self.put(task, At::Held(worker, request, Some(until)));
        Ok(Some(Status::Running))
    }

    pub(super) fn release(&mut self, task: TaskId, token: u64) -> Answer {
        if matches!(self.newest(task, token)?, At::Held(..)) {
            self.hand_back(task);
        }
        Ok(Some(Status::Queued))
    }

    /// A start that did not happen may have been due meanwhile.
    pub(super) fn hand_back(&mut self, task: TaskId) {
        self.put(task, At::Ready);
        if self.jobs[&task].deadline().is_some_and(|at| at <= self.now) {
            self.end(task, Status::Failed, None);
        }
    }

    pub(super) fn cancel(&mut self, task: TaskId) -> Answer {
        match self.jobs.get(&task).map(|job| job.at) {
            None => Err((Refusal::UnknownTask, None)),
            Some(At::Ended(Status::Cancelled, ..)) => Ok(Some(Status::Cancelled)),
            Some(At::Ended(..)) => Err((Refusal::AlreadyFinished, None)),
            Some(At::Unborn(_) | At::Pause(_) | At::Dated(_) | At::Blocked | At::Ready | At::Held(..)) => {
                self.end(task, Status::Cancelled, None);
                Ok(Some(Status::Cancelled))
            }
        }
    }

    pub(super) fn expire(&mut self, task: TaskId, token: u64, started: bool) -> bool {
        let held = matches!(self.newest(task, token), Ok(At::Held(..)));
        if held && started {
            self.charge(task, FailureKind::WorkerLost, true);
        } else if held {
            self.hand_back(task);
        }
        held
    }
}
