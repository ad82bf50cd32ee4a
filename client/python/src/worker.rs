//! Running a worker inside the interpreter that `raftwork worker` started: the agent is Rust, the tasks run in children.

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use raftwork_worker::{WorkerConfig, run_blocking};
use tracing_subscriber::EnvFilter;

/// Runs a worker until it is told to leave, with the GIL released.
///
/// `config` is a `WorkerConfig` in JSON. Returns why it left and whether that was in order. Raises `ValueError` for a
/// configuration that cannot work, `RuntimeError` if the worker could not start.
#[pyfunction]
pub(crate) fn run_worker(py: Python<'_>, config: &str) -> PyResult<(String, bool)> {
    let config: WorkerConfig =
        serde_json::from_str(config).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // A second worker in one process keeps the first one's log.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    let left = py.detach(|| run_blocking(config));
    left.map(|reason| (reason.to_string(), reason.is_orderly()))
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))
}
