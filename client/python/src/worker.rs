//! The worker agent, run for as long as it lives.

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use raftwork_worker::{ExitReason, WorkerConfig, WorkerError, run_blocking};
use tracing_subscriber::EnvFilter;

/// Runs a worker until it is told to leave; returns why it left and whether that was as it was told.
///
/// The configuration is JSON; its fields are those of the Rust type `WorkerConfig`. The first SIGTERM or SIGINT drains, the
/// second stops at once. Log lines go to standard error; `RUST_LOG` chooses them.
#[pyfunction]
pub(crate) fn run_worker(py: Python<'_>, config: &str) -> PyResult<(String, bool)> {
    let config: WorkerConfig = serde_json::from_str(config)
        .map_err(|error| PyValueError::new_err(format!("bad worker configuration: {error}")))?;
    start_logging();
    let reason: Result<ExitReason, WorkerError> = py.detach(|| run_blocking(config));
    match reason {
        Ok(reason) => Ok((reason.to_string(), reason.is_orderly())),
        Err(error @ WorkerError::Config(_)) => Err(PyValueError::new_err(error.to_string())),
        Err(error @ (WorkerError::Python(_) | WorkerError::Setup(_))) => {
            Err(PyRuntimeError::new_err(error.to_string()))
        }
    }
}

fn start_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // An error means that logging runs already, from an earlier call in the same process.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
