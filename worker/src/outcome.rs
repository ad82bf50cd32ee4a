//! What is reported of a task that a child had.

use bytes::Bytes;
use raftwork_api::kernel::limits::{ERROR_TEXT_BYTES_MAX, EXCEPTION_NAME_BYTES_MAX, EXCEPTIONS_MAX};
use raftwork_api::kernel::{FailureKind, LeaseRef, Output, TaskError};

use crate::agent::End;
use crate::python::{JobError, JobErrorKind, JobOutcome, JobSuccess};

/// What the agent is told.
pub(crate) fn end(outcome: JobOutcome) -> End {
    let output = Output { stdout: outcome.stdout.bytes, stderr: outcome.stderr.bytes };
    let mut error = match outcome.result {
        Ok(JobSuccess(result)) => return End::Completed { result, output },
        Err(error) => error,
    };
    let (kind, retryable) = match error.kind {
        JobErrorKind::Exception => (FailureKind::Exception, true),
        JobErrorKind::Timeout => (FailureKind::Timeout, true),
        JobErrorKind::Crash { exit_code, signal } => (FailureKind::Crash { exit_code, signal }, true),
        JobErrorKind::OutOfMemory { limit, peak } => (FailureKind::OutOfMemory { limit, peak }, true),
        // The next attempt would return the same, or load the same.
        JobErrorKind::UnpicklableResult | JobErrorKind::ResultTooLarge => {
            (FailureKind::Unserializable, false)
        }
        JobErrorKind::Load => (FailureKind::Load, false),
        JobErrorKind::Cancelled => return End::Stopped,
        JobErrorKind::Infrastructure => return End::NotRun,
    };
    let mut bases = std::mem::take(&mut error.bases);
    // Longer ones are named by nobody.
    bases.retain(|base| base.len() <= EXCEPTION_NAME_BYTES_MAX);
    bases.truncate(EXCEPTIONS_MAX);
    End::Failed { error: task_error(kind, *error), bases, retryable, output }
}

/// What a person on call wants to read of it.
pub(crate) fn log(lease: &LeaseRef, name: &str, outcome: &JobOutcome) {
    let (task, token, ms) = (lease.task, lease.token, outcome.duration.as_millis());
    let Err(error) = &outcome.result else {
        return tracing::debug!(%task, %token, name, ms, "completed");
    };
    let (reason, kind) = (&error.message, &error.kind);
    match kind {
        JobErrorKind::Crash { .. } | JobErrorKind::OutOfMemory { .. } => {
            let peak_rss = outcome.peak_rss;
            tracing::warn!(%task, %token, name, ms, peak_rss, ?kind, reason, "the task took its process down");
        }
        JobErrorKind::Infrastructure => {
            tracing::warn!(%task, %token, name, reason, "the task could not be run");
        }
        JobErrorKind::Cancelled => tracing::info!(%task, %token, name, ms, "the task was stopped"),
        JobErrorKind::Timeout => tracing::info!(%task, %token, name, ms, reason, "the task ran too long"),
        JobErrorKind::Exception
        | JobErrorKind::UnpicklableResult
        | JobErrorKind::ResultTooLarge
        | JobErrorKind::Load => {
            tracing::debug!(%task, %token, name, ms, ?kind, type_name = error.type_name, reason, "the task failed");
        }
    }
}

fn task_error(kind: FailureKind, error: JobError) -> TaskError {
    TaskError {
        kind,
        type_name: cut(error.type_name),
        message: cut(error.message),
        traceback: cut(error.traceback),
        exception: Some(error.exception).filter(|exception: &Bytes| !exception.is_empty()),
    }
}

/// Cuts long text in the middle: its start says what it is about, its end what went wrong.
fn cut(text: String) -> String {
    const MARK: &str = "\n...\n";
    if text.len() <= ERROR_TEXT_BYTES_MAX {
        return text;
    }
    let half = (ERROR_TEXT_BYTES_MAX - MARK.len()) / 2;
    let (head, tail) = (text.floor_char_boundary(half), text.ceil_char_boundary(text.len() - half));
    [&text[..head], MARK, &text[tail..]].concat()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::python::Captured;

    fn outcome(kind: JobErrorKind) -> JobOutcome {
        let error = JobError {
            kind,
            type_name: "ValueError".to_owned(),
            message: "bad".to_owned(),
            traceback: String::new(),
            bases: vec!["Exception".to_owned()],
            exception: Bytes::new(),
        };
        JobOutcome {
            result: Err(Box::new(error)),
            stdout: Captured::default(),
            stderr: Captured::default(),
            duration: Duration::ZERO,
            peak_rss: 0,
        }
    }

    #[test]
    fn what_the_task_did_is_a_failure_and_what_the_worker_did_is_not() {
        let crash = JobErrorKind::Crash { exit_code: None, signal: Some(11) };
        let End::Failed { error, bases, retryable, .. } = end(outcome(crash)) else {
            panic!("a crash is a failure")
        };
        assert_eq!(error.kind, FailureKind::Crash { exit_code: None, signal: Some(11) });
        assert!(retryable && error.exception.is_none());
        assert_eq!(bases, ["Exception"]);
        assert!(matches!(end(outcome(JobErrorKind::Load)), End::Failed { retryable: false, .. }));
        assert!(matches!(end(outcome(JobErrorKind::Cancelled)), End::Stopped));
        assert!(matches!(end(outcome(JobErrorKind::Infrastructure)), End::NotRun));
    }

    #[test]
    fn long_text_is_cut_in_the_middle_of_it_and_never_of_a_letter() {
        assert_eq!(cut("short".to_owned()), "short");
        for shift in 0..3 {
            let text = format!("start{}{}end", "x".repeat(shift), "日".repeat(50_000));
            let cut = cut(text);
            assert!(cut.len() <= ERROR_TEXT_BYTES_MAX && cut.len() > ERROR_TEXT_BYTES_MAX - 10);
            assert!(cut.starts_with("start") && cut.ends_with("日end") && cut.contains("\n...\n"));
        }
    }
}
