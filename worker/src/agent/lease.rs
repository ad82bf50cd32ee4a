//! The life of a lease on this worker: grant, start, end, report, verdict.

use bytes::Bytes;
use raftwork_api::kernel::{
    Complete, CompleteInParts, Fail, FailureKind, FunctionId, LeaseRef, Output, Release, Reply, RequestId,
    TaskError,
};
use raftwork_api::stream::{Ending, FromWorker, Work};

use super::tasks::{Ran, Stopped, Then};
use super::{Action, Agent, End, Moment, Trouble};
use crate::{ExitReason, times};

/// Attempts in a row to give a task to a child before the worker gives up: with the pauses between them, about 20 s.
const TROUBLES_MAX: u32 = 10;

impl Agent {
    pub(super) fn granted(&mut self, now: Moment, request: RequestId, work: Vec<Work>) {
        if self.ask.is_some_and(|ask| ask.request == request) {
            self.ask = None;
            self.ask_empty = work.is_empty();
        }
        for work in work {
            self.grant(now, work);
        }
    }

    pub(super) fn grant(&mut self, now: Moment, work: Work) {
        let lease = work.lease;
        let others = self.tasks.leases_of(lease.task);
        // The same again, or older than what is held: a repeated answer.
        if others.iter().any(|other| other.token >= lease.token) {
            return;
        }
        for older in others {
            self.stop(&older, Then::Forget);
        }
        if self.leaving.is_some() {
            return self.give_back(now, lease, false);
        }
        let code = self.codes.get(&work.code_hash);
        if code.is_none() && self.codes.want(now, work.function, work.code_hash) {
            self.say(FromWorker::FetchCode(work.function));
        }
        self.tasks.enqueue(now, work, code);
    }

    pub(super) fn code_arrived(&mut self, now: Moment, function: &FunctionId, code: Option<&Bytes>) {
        let Some(hash) = self.codes.arrived(function, code) else { return };
        if let Some(code) = code {
            return self.tasks.give_code(&hash, code);
        }
        for lease in self.tasks.waiting_for(&hash) {
            self.tasks.stop(&lease, Then::Forget);
            let report = Fail {
                lease,
                error: no_code(function),
                bases: Vec::new(),
                retryable: false,
                output: Output::default(),
            };
            self.report(now, Ending::Fail(report), false);
        }
    }

    pub(super) fn revoked(&mut self, leases: Vec<LeaseRef>) {
        let Some(beats) = self.link.beats() else { return };
        for lease in beats.believe(leases) {
            if self.stop(&lease, Then::Forget) != Stopped::Nothing {
                tracing::info!(task = %lease.task, token = %lease.token, "the lease is over; the task is stopped");
            }
        }
    }

    pub(super) fn stop(&mut self, lease: &LeaseRef, then: Then) -> Stopped {
        let stopped = self.tasks.stop(lease, then);
        if stopped == Stopped::Running {
            self.actions.push(Action::Kill(*lease));
        }
        stopped
    }

    pub(super) fn child_ended(&mut self, now: Moment, lease: LeaseRef, end: End) {
        let Ran { since, planned } = self.tasks.end(&lease);
        self.reports.start_is_over(&lease);
        self.progress.forget(&lease);
        if matches!(end, End::Completed { .. } | End::CompletedInParts { .. } | End::Failed { .. }) {
            self.trouble = Trouble::default();
            self.pace.ended(now.saturating_sub(since));
        }
        match (end, planned) {
            // Even if it was told to stop: a result that was faster is worth offering, the leader decides.
            (End::Completed { result, output }, _) => {
                self.report(now, Ending::Complete(Complete { lease, result, output }), true);
            }
            (End::CompletedInParts { parts, output }, _) => {
                let complete = CompleteInParts { lease, parts, output };
                self.report(now, Ending::CompleteInParts(complete), true);
            }
            (_, Some(Then::Forget)) => {}
            (End::Failed { error, bases, retryable, output }, None) => {
                self.report(now, Ending::Fail(Fail { lease, error, bases, retryable, output }), true);
            }
            (End::NotRun, None) => {
                self.note_trouble(now);
                self.give_back(now, lease, false);
            }
            (End::Stopped, None)
            | (End::Failed { .. } | End::Stopped | End::NotRun, Some(Then::GiveBack)) => {
                self.give_back(now, lease, true);
            }
        }
    }

    pub(super) fn give_back(&mut self, now: Moment, lease: LeaseRef, started: bool) {
        self.report(now, Ending::Release(Release { lease }), started);
    }

    pub(super) fn report(&mut self, now: Moment, ending: Ending, started: bool) {
        self.tasks.await_verdict(ending.lease(), started);
        self.reports.ended(now, ending);
    }

    pub(super) fn judged(&mut self, lease: &LeaseRef, reply: &Reply) {
        if self.reports.judged(lease) {
            self.tasks.judged(lease);
        }
        if let Err(rejection) = reply {
            tracing::info!(task = %lease.task, token = %lease.token, %rejection, "the report was refused");
        }
    }

    /// Counts tasks that could not be given to a child; those that failed together count once.
    fn note_trouble(&mut self, now: Moment) {
        if now < self.trouble.until {
            return;
        }
        self.trouble.count += 1;
        let pause = times::TROUBLE_MIN * 2_u32.saturating_pow(self.trouble.count - 1);
        self.trouble.until = now + pause.min(times::TROUBLE_MAX);
        if self.trouble.count == TROUBLES_MAX {
            tracing::error!(
                "{TROUBLES_MAX} times in a row no task could be given to a python process; giving up"
            );
            self.leave(now, ExitReason::Broken);
        }
    }

    pub(super) fn give_back_queued(&mut self, now: Moment) {
        for lease in self.tasks.queued() {
            self.tasks.stop(&lease, Then::GiveBack);
            self.give_back(now, lease, false);
        }
    }

    pub(super) fn stop_running(&mut self) {
        for lease in self.tasks.running() {
            self.stop(&lease, Then::GiveBack);
        }
    }

    pub(super) fn may_start(&self, now: Moment) -> bool {
        self.leaving.is_none() && self.life.allows_starting(now) && self.trouble.until <= now
    }

    pub(super) fn start_tasks(&mut self, now: Moment) {
        if !self.may_start(now) {
            return;
        }
        while self.tasks.busy() < usize::from(self.identity.slots) {
            let Some((work, code)) = self.tasks.start_next(now) else { break };
            self.reports.started(now, work.lease);
            self.actions.push(Action::Run { work: Box::new(work), code });
        }
    }
}

fn no_code(function: &FunctionId) -> TaskError {
    TaskError {
        kind: FailureKind::Load,
        type_name: String::new(),
        message: format!("the cluster has no code for function {function}"),
        traceback: String::new(),
        exception: None,
    }
}
