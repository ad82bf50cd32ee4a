//! The worker's mind: what happened goes in, what to do comes out. It knows no clock, no socket and no process.
//!
//! [`Agent::step`] takes the time and a batch of [`Input`]s and returns [`Action`]s, which the runner carries out. The
//! rules that it keeps:
//! * A task starts only under a lease that is held, while the worker may trust its leases (see [`life`]).
//! * A running task outlives the connection: the next leader is told what is held, and the child works on.
//! * A report is kept and repeated, in order, until the leader has judged it.
//! * A worker that is cut off stops its tasks by itself, before anybody else can be granted them.
//! * What is held beyond the slots follows the run times that are seen (see [`pace`]); what waits for too long goes back.
//! * A worker that leaves takes nothing more, gives back what has not started, and lets the rest finish.

mod codes;
mod lease;
mod leaving;
mod life;
mod link;
mod pace;
mod progress;
mod reports;
mod talk;
mod tasks;
#[cfg(test)]
mod tests;
mod watch;

use std::time::Duration;

use bytes::Bytes;
use raftwork_api::kernel::{InParts, LeaseRef, Output, PythonVersion, RequestId, Tags, TaskError, WorkerId};
use raftwork_api::stream::{FromWorker, ToWorker, Work};
use raftwork_api::tasks::Progress;
use raftwork_api::workers::WorkerMode;

use self::codes::Codes;
use self::leaving::Leaving;
use self::life::Life;
use self::link::Link;
use self::pace::Pace;
use self::progress::Progresses;
use self::reports::Reports;
use self::tasks::Tasks;
use crate::ExitReason;

/// Time since the worker started, on its own monotonic clock.
pub(crate) type Moment = Duration;

/// Who the worker is and what it may hold.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) worker: WorkerId,
    pub(crate) name: String,
    pub(crate) python: PythonVersion,
    pub(crate) slots: u16,
    /// Tasks held beyond the slots; `None`: as many as the run times make worthwhile.
    pub(crate) prefetch: Option<u16>,
    pub(crate) mode: WorkerMode,
    /// What it offers beside its Python.
    pub(crate) tags: Tags,
}

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// Time has passed.
    Tick,
    /// A connection stands; whether to a leader is not known yet.
    Connected,
    /// The connection is gone.
    Disconnected,
    /// A node spoke.
    Received(ToWorker),
    /// A child is free again.
    Ended {
        /// What it had.
        lease: LeaseRef,
        /// What came of it.
        end: End,
    },
    /// A task says how far it is.
    Progress {
        /// What its child has.
        lease: LeaseRef,
        /// How far.
        progress: Progress,
    },
    /// Finish what runs, then leave.
    Drain,
    /// Leave at once.
    Stop,
}

/// What came of a task that was given to a child.
#[derive(Debug)]
pub(crate) enum End {
    /// It returned.
    Completed { result: Bytes, output: Output },
    /// It returned, and the parts of its result were sent.
    CompletedInParts { parts: InParts, output: Output },
    /// It failed by itself.
    Failed { error: TaskError, bases: Vec<String>, retryable: bool, output: Output },
    /// It was stopped because the agent wanted it so.
    Stopped,
    /// It did not run, through no fault of its own.
    NotRun,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Say this on the connection.
    Send(FromWorker),
    /// Give the task to a child; there is a free one.
    Run { work: Box<Work>, code: Bytes },
    /// Stop the child that has this task: politely, then not.
    Kill(LeaseRef),
    /// Leave this connection and find the leader, which may be there.
    HangUp { leader: Option<String> },
    /// The worker's life is over.
    Exit(ExitReason),
}

#[derive(Debug)]
pub(crate) struct Agent {
    identity: Identity,
    drain_timeout: Duration,
    link: Link,
    life: Life,
    tasks: Tasks,
    reports: Reports,
    progress: Progresses,
    pace: Pace,
    codes: Codes,
    /// The ask that has not been answered (pull).
    ask: Option<Ask>,
    asks: u64,
    /// The last answer brought nothing, which a leader should not do: the next ask waits for the next heartbeat.
    ask_empty: bool,
    trouble: Trouble,
    leaving: Option<Leaving>,
    actions: Vec<Action>,
}

/// An ask for tasks, and when it was last said.
#[derive(Debug, Clone, Copy)]
struct Ask {
    request: RequestId,
    max: u16,
    said: Moment,
}

/// Tasks that could not be given to a child, in a row.
#[derive(Debug, Default)]
struct Trouble {
    count: u32,
    until: Moment,
}

impl Agent {
    pub(crate) fn new(identity: Identity, drain_timeout: Duration, code_cache: usize) -> Self {
        let pace = Pace::new(identity.slots, identity.prefetch);
        Self {
            identity,
            drain_timeout,
            link: Link::Down,
            life: Life::default(),
            tasks: Tasks::default(),
            reports: Reports::default(),
            progress: Progresses::default(),
            pace,
            codes: Codes::new(code_cache),
            ask: None,
            asks: 0,
            ask_empty: false,
            trouble: Trouble::default(),
            leaving: None,
            actions: Vec::new(),
        }
    }

    /// Takes in what happened until `now` and says what to do, in order.
    pub(crate) fn step(&mut self, now: Moment, inputs: impl IntoIterator<Item = Input>) -> Vec<Action> {
        for input in inputs {
            self.take(now, input);
        }
        self.keep_watch(now);
        self.start_tasks(now);
        self.give_back_stalled(now);
        self.keep_in_touch(now);
        self.exit_when_done(now);
        std::mem::take(&mut self.actions)
    }

    /// When [`Agent::step`] must be called at the latest.
    pub(crate) fn next_wake(&self, now: Moment) -> Option<Moment> {
        let beat = if let Link::Up(beats) = &self.link { Some(beats.next()) } else { None };
        let trouble = Some(self.trouble.until).filter(|until| *until > now);
        let leaving = self.leaving.as_ref().and_then(Leaving::next);
        let news = self.news_due().filter(|_| self.link.is_up());
        let progress = self.progress.due().filter(|_| self.link.is_up());
        let wakes = [beat, self.life.deadline(), trouble, leaving, self.patience_ends(), news, progress];
        wakes.into_iter().flatten().min()
    }

    fn take(&mut self, now: Moment, input: Input) {
        match input {
            Input::Tick => {}
            Input::Connected => self.greet(now),
            Input::Disconnected => self.link = Link::Down,
            Input::Received(message) => self.hear(now, message),
            Input::Ended { lease, end } => self.child_ended(now, lease, end),
            Input::Progress { lease, progress } => {
                if self.tasks.is_running(&lease) {
                    self.progress.said(lease, progress);
                }
            }
            Input::Drain => self.leave(now, ExitReason::Drained),
            Input::Stop => {
                self.leave(now, ExitReason::Stopped);
                if let Some(leaving) = &mut self.leaving {
                    leaving.hurry(now);
                }
            }
        }
    }

    fn hear(&mut self, now: Moment, message: ToWorker) {
        match message {
            ToWorker::Welcome { ttl, heartbeat } => self.welcomed(now, ttl, heartbeat),
            ToWorker::NotLeader { leader } => self.hang_up(leader),
            ToWorker::Grants { request, work } => self.granted(now, request, work),
            ToWorker::Verdicts(verdicts) => {
                for (lease, reply) in &verdicts {
                    self.judged(lease, reply);
                }
            }
            ToWorker::Beat { number, lost } => {
                if let Some(sent) = self.link.beats().and_then(|beats| beats.answered(number)) {
                    self.life.confirm(now, sent);
                }
                self.revoked(lost);
            }
            ToWorker::Revoke(leases) => self.revoked(leases),
            ToWorker::Code { function, code } => self.code_arrived(now, &function, code.as_ref()),
            ToWorker::Drain => self.leave(now, ExitReason::Dismissed),
            // The line has noted it.
            ToWorker::Members(_) => {}
        }
    }
}
