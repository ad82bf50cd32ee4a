//! Values on their way between Python and Rust.

use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyTuple};
use raftwork_api::kernel::{
    FailureKind, FunctionId, InParts, Language, MapId, Millis, Outcome, Pack, PayloadId, PythonVersion,
    Record, RetryPolicy, Status, TaskError, TaskId, Token,
};
use raftwork_api::tasks::ErrorInfo;
use raftwork_client::Finished;

use crate::core::LargeResult;

/// A retry policy as Python writes it: attempts, first pause and longest pause in milliseconds.
pub(crate) type RetryTuple = (u16, u32, u32);

/// `count` fresh task ids of 16 bytes each, sortable by time.
#[pyfunction]
pub(crate) fn new_task_ids(py: Python<'_>, count: usize) -> Vec<Bound<'_, PyBytes>> {
    let ids = raftwork_client::new_task_ids(count);
    ids.iter().map(|id| PyBytes::new(py, id.as_bytes())).collect()
}

fn sixteen(bytes: &[u8]) -> PyResult<[u8; 16]> {
    bytes
        .try_into()
        .map_err(|_| PyValueError::new_err(format!("an id has 16 bytes, this one has {}", bytes.len())))
}

pub(crate) fn task_id(bytes: &[u8]) -> PyResult<TaskId> {
    sixteen(bytes).map(TaskId::from_bytes)
}

pub(crate) fn task_ids(ids: &[PyBackedBytes]) -> PyResult<Vec<TaskId>> {
    ids.iter().map(|id| task_id(id)).collect()
}

/// A fresh map id of 16 bytes. Those of its items end in their places, from 1, in four bytes, most significant first.
#[pyfunction]
pub(crate) fn new_map_id(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, raftwork_client::new_map_id().as_bytes())
}

pub(crate) fn map_id(bytes: &[u8]) -> PyResult<MapId> {
    sixteen(bytes).map(MapId::from_bytes)
}

/// Items of a map as Python writes them: the arguments of one, or what comes before and after the numbers of many.
#[derive(FromPyObject)]
pub(crate) enum PackOrItem {
    Item(PyBackedBytes),
    Numbered(PyBackedBytes, PyBackedBytes, u32),
}

impl PackOrItem {
    pub(crate) fn into_pack(self) -> Pack {
        let copy = |bytes: &PyBackedBytes| Bytes::copy_from_slice(bytes);
        match self {
            Self::Item(args) => Pack::Each(vec![copy(&args)]),
            Self::Numbered(head, tail, count) => {
                Pack::Numbered { head: copy(&head), tail: copy(&tail), count }
            }
        }
    }
}

pub(crate) fn function_id(bytes: &[u8]) -> PyResult<FunctionId> {
    sixteen(bytes).map(FunctionId::from_bytes)
}

pub(crate) fn language(word: &str) -> PyResult<Language> {
    match word {
        "pickle" => Ok(Language::Pickle),
        "source" => Ok(Language::Source),
        other => Err(PyValueError::new_err(format!("'{other}' is neither 'pickle' nor 'source'"))),
    }
}

pub(crate) const fn retry((max_attempts, initial_ms, max_ms): RetryTuple) -> RetryPolicy {
    RetryPolicy { max_attempts, initial_ms, max_ms }
}

pub(crate) fn python_version((major, minor): (u8, u8)) -> PythonVersion {
    PythonVersion { major, minor }
}

pub(crate) fn millis(value: Option<u64>) -> Option<Millis> {
    value.map(Millis)
}

pub(crate) const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Waiting => "waiting",
        Status::Queued => "queued",
        Status::Running => "running",
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Parked => "parked",
        Status::Cancelled => "cancelled",
    }
}

/// Ended tasks as `(id, status, result, error)` tuples; the status of a task that does not exist is `unknown`. A result that
/// is in parts is made into what reads it.
pub(crate) fn finished<'py>(
    py: Python<'py>,
    batch: Vec<Finished>,
    in_parts: &impl Fn(PayloadId, InParts) -> LargeResult,
) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    batch.into_iter().map(|(task, record)| ended(py, task, record, in_parts)).collect()
}

fn ended<'py>(
    py: Python<'py>,
    task: TaskId,
    record: Option<Record>,
    in_parts: &impl Fn(PayloadId, InParts) -> LargeResult,
) -> PyResult<Bound<'py, PyTuple>> {
    let id = PyBytes::new(py, task.as_bytes());
    let word = record.as_ref().map_or("unknown", |record| status_word(record.outcome.status()));
    let token = record.as_ref().map_or(Token(0), |record| record.token);
    let (result, error) = match record.map(|record| record.outcome) {
        Some(Outcome::Completed(result)) => (Some(PyBytes::new(py, &result).into_any()), None),
        Some(Outcome::CompletedInParts(said)) => {
            let large = in_parts(PayloadId { task, token }, said);
            (Some(Bound::new(py, large)?.into_any()), None)
        }
        Some(Outcome::Failed(error) | Outcome::Parked(error)) => (None, Some(task_error(py, &error)?)),
        Some(Outcome::Cancelled) | None => (None, None),
    };
    (id, word, result, error).into_pyobject(py)
}

/// `(kind, type name, message, traceback, pickled exception, exit code, signal, memory limit, memory peak, dependency)`.
fn task_error<'py>(py: Python<'py>, error: &TaskError) -> PyResult<Bound<'py, PyTuple>> {
    let info = ErrorInfo::from(error);
    let exception = error.exception.as_ref().map(|bytes| PyBytes::new(py, bytes));
    let (limit, peak, dependency) = match error.kind {
        FailureKind::OutOfMemory { limit, peak } => (Some(limit), Some(peak), None),
        FailureKind::Dependency { task } => (None, None, Some(PyBytes::new(py, task.as_bytes()))),
        FailureKind::Exception
        | FailureKind::Timeout
        | FailureKind::Unserializable
        | FailureKind::Load
        | FailureKind::Crash { .. }
        | FailureKind::WorkerLost
        | FailureKind::Expired => (None, None, None),
    };
    let ErrorInfo { kind, type_name, message, traceback, exit_code, signal } = info;
    (kind, type_name, message, traceback, exception, exit_code, signal, limit, peak, dependency)
        .into_pyobject(py)
}
