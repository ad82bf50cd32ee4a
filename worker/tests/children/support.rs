//! Jobs and pools with the defaults of these tests, and waiting with a deadline.

use std::time::{Duration, Instant};

use bytes::Bytes;
use raftwork_worker::python::{
    FunctionKey, FunctionKind, Job, JobError, JobErrorKind, JobOutcome, Pool, PoolOptions,
};
use tokio_util::sync::CancellationToken;

use crate::python;

/// No step of any test takes this long, even on a busy machine.
pub const DEADLINE: Duration = Duration::from_mins(1);

pub fn options(slots: usize) -> PoolOptions {
    let mut options = PoolOptions::new(python::python(), python::package_dir(), slots);
    options.grace = Duration::from_millis(500);
    options
}

pub async fn pool(slots: usize) -> Pool {
    Pool::start(options(slots)).await.unwrap()
}

/// A job that calls `f()` of a dill payload made from `source`.
pub fn job(source: &str) -> Job {
    job_with(source, "((), {})")
}

pub fn job_with(source: &str, arguments: &str) -> Job {
    raw_job(python::function(source), FunctionKind::Dill, python::arguments(arguments))
}

/// A job of source text with JSON arguments.
pub fn source_job(source: &str, name: &str, arguments: &str) -> Job {
    let kind = FunctionKind::Source { name: name.to_owned() };
    raw_job(Bytes::from(source.to_owned()), kind, Bytes::from(arguments.to_owned()))
}

pub fn raw_job(code: Bytes, kind: FunctionKind, args: Bytes) -> Job {
    Job {
        task_id: "0190-task".to_owned(),
        token: 77,
        attempt: 2,
        function: FunctionKey::new(&kind, &code),
        code,
        kind,
        args,
        given: Vec::new(),
        timeout: None,
        cancel: CancellationToken::new(),
        started: None,
        progress: None,
    }
}

pub async fn run(pool: &Pool, job: Job) -> JobOutcome {
    tokio::time::timeout(DEADLINE, pool.run(job)).await.expect("the job ends in time")
}

/// The `repr` of the result, as a client sees it.
pub async fn result(pool: &Pool, job: Job) -> String {
    let success = run(pool, job).await.result.unwrap();
    python::reprs(&[success.0]).remove(0)
}

pub async fn error(pool: &Pool, job: Job) -> JobError {
    *run(pool, job).await.result.unwrap_err()
}

/// Shows that the pool still works.
pub async fn assert_healthy(pool: &Pool) {
    assert_eq!(result(pool, job_with("def f(a, b): return a * b", "((6, 7), {})")).await, "42");
}

pub fn crash(exit_code: Option<i32>, signal: Option<i32>) -> JobErrorKind {
    JobErrorKind::Crash { exit_code, signal }
}

/// Waits until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process runs; one that is dead and was not waited for does not.
pub fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}
