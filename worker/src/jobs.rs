//! Tasks that were given to children: starts them, stops them, and says when one is over.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use raftwork_api::kernel::{Language, LeaseRef};
use raftwork_api::stream::Work;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::agent::{End, Input};
use crate::outcome;
use crate::python::{FunctionKey, FunctionKind, Job, Pool};

pub(crate) struct Jobs {
    pool: Pool,
    running: JoinSet<(LeaseRef, End)>,
    cancels: HashMap<LeaseRef, CancellationToken>,
}

impl Jobs {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool, running: JoinSet::new(), cancels: HashMap::new() }
    }

    /// Gives a task to a free child.
    pub(crate) fn start(&mut self, work: Work, code: Bytes) {
        let (lease, name) = (work.lease, work.name.clone());
        let cancel = CancellationToken::new();
        self.cancels.insert(lease, cancel.clone());
        let (pool, job) = (self.pool.clone(), job(work, code, cancel));
        self.running.spawn(async move {
            let outcome = pool.run(job).await;
            outcome::log(&lease, &name, &outcome);
            (lease, outcome::end(outcome))
        });
    }

    /// Stops a task: its child is asked first and killed after its grace.
    pub(crate) fn stop(&mut self, lease: &LeaseRef) {
        if let Some(cancel) = self.cancels.get(lease) {
            cancel.cancel();
        }
    }

    /// The next task that is over. Never resolves while none runs. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Input {
        match self.running.join_next().await {
            Some(joined) => self.ended(joined),
            None => std::future::pending().await,
        }
    }

    /// A task that is over already.
    pub(crate) fn next_ready(&mut self) -> Option<Input> {
        self.running.try_join_next().map(|joined| self.ended(joined))
    }

    /// Kills what still runs and ends all children.
    pub(crate) async fn close(mut self) {
        self.running.abort_all();
        while self.running.join_next().await.is_some() {}
        self.pool.shutdown().await;
    }

    fn ended(&mut self, joined: Result<(LeaseRef, End), JoinError>) -> Input {
        match joined {
            Ok((lease, end)) => {
                self.cancels.remove(&lease);
                Input::Ended { lease, end }
            }
            // Jobs are only aborted when nobody listens any more, so it panicked: a bug, not to be hidden.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
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
        timeout: work.run_max.map(|run_max| Duration::from_millis(run_max.0)),
        cancel,
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
