//! Tasks that were given to children: starts them, stops them, and says when one is over.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use raftwork_api::kernel::limits::PAYLOAD_BYTES_MAX;
use raftwork_api::kernel::{FailureKind, InParts, Language, LeaseRef, Output, TaskError};
use raftwork_api::parts::WHOLE_BYTES_MAX;
use raftwork_api::stream::{Given, Work};
use raftwork_api::tasks::Progress;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::agent::{End, Input};
use crate::outcome;
use crate::payloads::{PayloadError, Payloads};
use crate::python::{FunctionKey, FunctionKind, Job, Listener, Pool};

/// Words of progress that may wait for the agent; each child says ten a second at most, and what is too much is dropped.
const PROGRESS_MAX: usize = 64;

/// As many runners as tasks were ever under way at once, each for one task after the other: to spawn anew for each tiny task
/// would cost a tenth of it.
pub(crate) struct Jobs {
    pool: Pool,
    payloads: Payloads,
    runners: JoinSet<()>,
    assign: Vec<mpsc::Sender<Assignment>>,
    /// Indexes of runners that wait for a task.
    idle: Vec<usize>,
    ended: mpsc::UnboundedReceiver<Ended>,
    on_end: mpsc::UnboundedSender<Ended>,
    cancels: HashMap<LeaseRef, CancellationToken>,
    said: mpsc::Receiver<(LeaseRef, Progress)>,
    on_progress: mpsc::Sender<(LeaseRef, Progress)>,
}

struct Assignment {
    lease: LeaseRef,
    name: String,
    job: Job,
    /// What the arguments are, if they are still with the cluster.
    in_parts: Option<InParts>,
    /// Where the results are that stand in the arguments.
    given: Vec<Given>,
}

struct Ended {
    runner: usize,
    lease: LeaseRef,
    end: End,
}

impl Jobs {
    pub(crate) fn new(pool: Pool, payloads: Payloads) -> Self {
        // Bounded by the runners: each has one task at a time.
        let (on_end, ended) = mpsc::unbounded_channel();
        let (assign, idle) = (Vec::new(), Vec::new());
        let (on_progress, said) = mpsc::channel(PROGRESS_MAX);
        let (runners, cancels) = (JoinSet::new(), HashMap::new());
        Self { pool, payloads, runners, assign, idle, ended, on_end, cancels, said, on_progress }
    }

    /// Gives a task to a free child.
    pub(crate) fn start(&mut self, mut work: Work, code: Bytes) {
        let (lease, name, in_parts) = (work.lease, work.name.clone(), work.in_parts);
        let given = std::mem::take(&mut work.given);
        let cancel = CancellationToken::new();
        self.cancels.insert(lease, cancel.clone());
        let runner = self.idle.pop().unwrap_or_else(|| self.add_runner());
        let assignment = Assignment { lease, name, job: self.job(work, code, cancel), in_parts, given };
        let sent = self.assign[runner].try_send(assignment);
        // One that has panicked is heard of by `next`.
        debug_assert!(!matches!(sent, Err(mpsc::error::TrySendError::Full(_))), "an idle runner has no task");
    }

    fn add_runner(&mut self) -> usize {
        let (sender, inbox) = mpsc::channel(1);
        let runner = self.assign.len();
        self.assign.push(sender);
        let bench = Bench { pool: self.pool.clone(), payloads: self.payloads.clone() };
        self.runners.spawn(run_one_by_one(runner, bench, inbox, self.on_end.clone()));
        runner
    }

    /// Stops a task: its child is asked first and killed after its grace.
    pub(crate) fn stop(&mut self, lease: &LeaseRef) {
        if let Some(cancel) = self.cancels.get(lease) {
            cancel.cancel();
        }
    }

    /// The next task that is over. Never resolves while none runs. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Input {
        tokio::select! {
            biased;
            ended = self.ended.recv() => self.note(ended.expect("this side has a sender too")),
            said = self.said.recv() => {
                let (lease, progress) = said.expect("this side has a sender too");
                Input::Progress { lease, progress }
            },
            Some(joined) = self.runners.join_next() => match joined {
                Ok(()) => unreachable!("runners go on as long as they can be given tasks"),
                // They are only aborted when nobody listens any more, so it panicked: a bug, not to be hidden.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
        }
    }

    /// A task that is over already.
    pub(crate) fn next_ready(&mut self) -> Option<Input> {
        self.ended.try_recv().ok().map(|ended| self.note(ended))
    }

    /// Kills what still runs and ends all children.
    pub(crate) async fn close(mut self) {
        self.runners.shutdown().await;
        self.pool.shutdown().await;
    }

    fn job(&self, work: Work, code: Bytes, cancel: CancellationToken) -> Job {
        let listener = Listener { lease: work.lease, to: self.on_progress.clone() };
        Job { progress: Some(listener), ..job(work, code, cancel) }
    }

    fn note(&mut self, Ended { runner, lease, end }: Ended) -> Input {
        self.idle.push(runner);
        self.cancels.remove(&lease);
        Input::Ended { lease, end }
    }
}

async fn run_one_by_one(
    runner: usize,
    bench: Bench,
    mut inbox: mpsc::Receiver<Assignment>,
    on_end: mpsc::UnboundedSender<Ended>,
) {
    while let Some(assignment) = inbox.recv().await {
        let lease = assignment.lease;
        let end = bench.run(assignment).await;
        // Nobody listens any more: the worker has left.
        let _ = on_end.send(Ended { runner, lease, end });
    }
}

/// What a runner works with.
struct Bench {
    pool: Pool,
    payloads: Payloads,
}

impl Bench {
    /// From what was granted to what is reported. What is in parts comes and goes while the task counts as running: its lease
    /// is kept, and whoever stops the task stops that as well.
    async fn run(&self, assignment: Assignment) -> End {
        let Assignment { lease, name, mut job, in_parts, given } = assignment;
        let cancel = job.cancel.clone();
        if let Some(error) = too_much(in_parts.map_or(job.args.len() as u64, |said| said.bytes), &given) {
            return failed(FailureKind::Load, "the arguments cannot be loaded", &error);
        }
        if let Some(said) = in_parts {
            match cancel.run_until_cancelled(self.payloads.fetch(lease.task, &said)).await {
                Some(Ok(args)) => job.args = args,
                Some(Err(error)) => {
                    return failed(FailureKind::Load, "the arguments could not be read", &error);
                }
                None => return End::Stopped,
            }
        }
        if !given.is_empty() {
            match cancel.run_until_cancelled(self.payloads.fetch_given(given)).await {
                Some(Ok(given)) => job.given = given,
                Some(Err((task, error))) => {
                    let what = format!("the result of task {task}, which is an argument, could not be read");
                    return failed(FailureKind::Load, &what, &error);
                }
                None => return End::Stopped,
            }
        }
        let outcome = self.pool.run(job).await;
        outcome::log(&lease, &name, &outcome);
        match outcome::end(outcome) {
            End::Completed { result, output } if result.len() > WHOLE_BYTES_MAX => {
                match cancel.run_until_cancelled(self.payloads.send(&lease, &result)).await {
                    Some(Ok(parts)) => End::CompletedInParts { parts, output },
                    Some(Err(PayloadError::Stale(_))) | None => End::Stopped,
                    Some(Err(error)) => {
                        failed(FailureKind::Unserializable, "the result could not be sent", &error)
                    }
                }
            }
            end @ (End::Completed { .. }
            | End::CompletedInParts { .. }
            | End::Failed { .. }
            | End::Stopped
            | End::NotRun) => end,
        }
    }
}

/// The way of a payload failed, most often for a reason that another attempt may not meet.
fn failed(kind: FailureKind, what: &str, error: &PayloadError) -> End {
    let retryable = !matches!(error, PayloadError::TooMuch { .. });
    let error = TaskError {
        kind,
        type_name: String::new(),
        message: format!("{what}: {error}"),
        traceback: String::new(),
        exception: None,
    };
    End::Failed { error, bases: Vec::new(), retryable, output: Output::default() }
}

/// Why arguments and the results in them cannot be loaded into one process, if that is so.
fn too_much(args: u64, given: &[Given]) -> Option<PayloadError> {
    let bytes = args + given.iter().map(|given| given.result.bytes()).sum::<u64>();
    (!given.is_empty() && bytes > PAYLOAD_BYTES_MAX as u64).then_some(PayloadError::TooMuch { bytes })
}

fn job(work: Work, code: Bytes, cancel: CancellationToken) -> Job {
    let (function, kind) = match work.language {
        Language::Pickle => (FunctionKey(work.code_hash.0), FunctionKind::Dill),
        Language::Source => (source_key(&work), FunctionKind::Source { name: work.name }),
    };
    Job {
        task_id: work.lease.task.to_string(),
        token: work.lease.token.0,
        attempt: work.attempt.into(),
        function,
        code,
        kind,
        args: work.args,
        given: Vec::new(),
        timeout: work.run_max.map(|run_max| Duration::from_millis(run_max.0)),
        cancel,
        progress: None,
        // The leader is told when a task is given to a free child, in one message with others; the child's own word
        // would cost a frame for each task and come less than a millisecond later.
        started: None,
    }
}

/// The name chooses the entry point, so the same text under two names is two functions.
fn source_key(work: &Work) -> FunctionKey {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&work.code_hash.0);
    hasher.update(work.name.as_bytes());
    FunctionKey(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use raftwork_api::kernel::TaskId;
    use raftwork_api::stream::GivenResult;

    use super::*;

    #[test]
    fn arguments_and_the_results_in_them_have_a_limit_together() {
        let given = |bytes| vec![Given { task: TaskId::from_u128(1), result: GivenResult::Apart(bytes) }];
        let most = PAYLOAD_BYTES_MAX as u64;
        // What has no results in it was checked when it was submitted.
        assert!(too_much(most + 1, &[]).is_none());
        assert!(too_much(10, &given(most - 10)).is_none());
        let error = too_much(11, &given(most - 10)).expect("it is a byte too much");
        assert!(error.to_string().contains("268435457 bytes"), "{error}");
        let End::Failed { retryable, .. } = failed(FailureKind::Load, "the arguments", &error) else {
            panic!("it has failed")
        };
        assert!(!retryable, "another attempt would be given the same");
    }
}
