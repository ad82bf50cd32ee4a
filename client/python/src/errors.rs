//! Rust errors as the exception classes of `raftwork.errors`, which are written in Python.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use raftwork_api::ErrorCode;
use raftwork_api::kernel::Rejection;
use raftwork_client::{
    CancelError, CancelMapError, RedriveError, RegisterError, RestError, StatusError, SubmitError,
};

/// An instance of `raftwork.errors.<class>` with one message; whatever the import raises if that fails.
fn raise(py: Python<'_>, class: &str, message: String) -> PyErr {
    let made = py
        .import("raftwork.errors")
        .and_then(|module| module.getattr(class))
        .and_then(|class| class.call1((message,)));
    made.map_or_else(|error| error, PyErr::from_value)
}

fn rejected(py: Python<'_>, rejection: &Rejection) -> PyErr {
    let class = match rejection {
        Rejection::UnknownFunction(_) => "UnknownFunction",
        Rejection::UnknownSchedule(_) => "UnknownSchedule",
        Rejection::UnknownTask(_) | Rejection::UnknownDependency(_) => "UnknownTask",
        Rejection::UnknownMap(_) => "UnknownMap",
        Rejection::FunctionConflict(_) | Rejection::TaskConflict(_) | Rejection::MapConflict(_) => "Conflict",
        Rejection::AlreadyFinished { .. } | Rejection::MapFinished(_) => "AlreadyFinished",
        Rejection::NotRedrivable { .. } | Rejection::NotRedrivableInParts(_) => "NotRedrivable",
        Rejection::OverLimit { .. } => "TooLarge",
        Rejection::StaleLease { .. }
        | Rejection::Invalid(_)
        | Rejection::MapIncomplete { .. }
        | Rejection::PartMissing { .. }
        | Rejection::PartConflict { .. } => "Rejected",
    };
    raise(py, class, rejection.to_string())
}

/// Errors that have a Python class.
pub(crate) trait IntoPython {
    /// The exception to raise.
    fn into_python(self, py: Python<'_>) -> PyErr;
}

impl IntoPython for RegisterError {
    fn into_python(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Rejected(rejection) => rejected(py, &rejection),
            Self::Unavailable(error) => raise(py, "Unavailable", error.to_string()),
        }
    }
}

impl IntoPython for SubmitError {
    fn into_python(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Rejected(rejection) => rejected(py, &rejection),
            Self::TooLarge { .. } | Self::ArgumentsTooLarge { .. } => raise(py, "TooLarge", self.to_string()),
            Self::Unavailable(error) => raise(py, "Unavailable", error.to_string()),
        }
    }
}

impl IntoPython for CancelError {
    fn into_python(self, py: Python<'_>) -> PyErr {
        match self {
            Self::UnknownTask(_) => raise(py, "UnknownTask", self.to_string()),
            Self::AlreadyFinished { .. } => raise(py, "AlreadyFinished", self.to_string()),
            Self::Rejected(rejection) => rejected(py, &rejection),
            Self::Unavailable(error) => raise(py, "Unavailable", error.to_string()),
        }
    }
}

impl IntoPython for RedriveError {
    fn into_python(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Rejected(rejection) => rejected(py, &rejection),
            Self::Unavailable(error) => raise(py, "Unavailable", error.to_string()),
        }
    }
}

impl IntoPython for CancelMapError {
    fn into_python(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Rejected(rejection) => rejected(py, &rejection),
            Self::Unavailable(error) => raise(py, "Unavailable", error.to_string()),
        }
    }
}

impl IntoPython for StatusError {
    fn into_python(self, py: Python<'_>) -> PyErr {
        match self {
            Self::UnknownTask(_) => raise(py, "UnknownTask", self.to_string()),
            Self::Rejected(rejection) => rejected(py, &rejection),
            Self::Unavailable(error) => raise(py, "Unavailable", error.to_string()),
        }
    }
}

impl IntoPython for RestError {
    fn into_python(self, py: Python<'_>) -> PyErr {
        let class = match &self {
            Self::Problem(problem) if problem.code == ErrorCode::UnknownTask => "UnknownTask",
            Self::Problem(_) | Self::Unreachable { .. } | Self::Malformed { .. } => "Unavailable",
        };
        raise(py, class, self.to_string())
    }
}

/// The process was forked: the connection's threads exist in the parent alone.
pub(crate) fn forked() -> PyErr {
    PyRuntimeError::new_err(
        "this raftwork client was made before a fork and does not work in the child process; \
         make a new Client there, or start processes with the 'spawn' method",
    )
}

/// The client was closed.
pub(crate) fn closed() -> PyErr {
    PyRuntimeError::new_err("this raftwork client is closed")
}
