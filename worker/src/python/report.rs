//! The words for a task that lost its child: what happened, and what most likely caused it.

use super::job::{JobError, JobErrorKind};
use super::pickle::exception_pickle;
use super::zygote::{Exit, PythonVersion};

/// Builds the error of a task that was ended from outside, with the end of its stderr.
pub(super) fn ended_from_outside(kind: JobErrorKind, message: String, log_tail: String) -> JobError {
    let exception = exception_pickle(&message);
    JobError {
        kind,
        type_name: "WorkerFailure".into(),
        message,
        traceback: log_tail,
        bases: Vec::new(),
        exception,
    }
}

/// Why a child died that nobody had asked to.
pub(super) fn crash(exit: Exit, python: PythonVersion) -> (JobErrorKind, String) {
    let Exit { code: exit_code, signal, peak_rss } = exit;
    let end = match (exit_code, signal) {
        (_, Some(number)) => format!("was killed by {}", signal_name(number)),
        (Some(code), None) => format!("exited with code {code}"),
        (None, None) => "closed its connection to the worker".into(),
    };
    let hint = match (exit_code, signal) {
        (Some(_), None) => Some(
            "the function, or a library that it uses, ended the process: let it raise an exception instead"
                .into(),
        ),
        _ => hint(signal, python),
    };
    let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
    let mib = peak_rss >> 20;
    let message = format!("the process that ran the task {end} (peak memory {mib} MiB){hint}");
    (JobErrorKind::Crash { exit_code, signal }, message)
}

fn hint(signal: Option<i32>, python: PythonVersion) -> Option<String> {
    let PythonVersion { major, minor, .. } = python;
    match signal? {
        libc::SIGSEGV | libc::SIGBUS | libc::SIGILL => Some(format!(
            "a crash in native code, or a function pickled by another Python than this worker's {major}.{minor}"
        )),
        libc::SIGKILL => Some(
            "the worker did not send it: most likely the kernel ran out of memory; start workers with fewer --slots, or \
             with a --memory-limit that stops the task that takes too much"
                .into(),
        ),
        libc::SIGABRT => Some("native code gave up, often on a failed assertion or allocation".into()),
        _ => None,
    }
}

/// What a task is told that the agent stopped.
pub(super) fn stopped(kind: &JobErrorKind, ran_for_ms: u128, answered: bool) -> String {
    let how = if answered { "it was interrupted" } else { "its process was killed" };
    match kind {
        JobErrorKind::Timeout => {
            format!(
                "the task ran longer than its timeout ({ran_for_ms} ms) and {how}; give it a longer timeout, or less \
                 work"
            )
        }
        JobErrorKind::Cancelled => format!("the task was cancelled and {how}"),
        JobErrorKind::OutOfMemory { limit, peak } => format!(
            "the task's processes used {} MiB of memory, more than the limit of {} MiB, and were killed; let it \
             hold less at once, or start workers with a higher --memory-limit",
            peak >> 20,
            limit >> 20
        ),
        JobErrorKind::Exception
        | JobErrorKind::UnpicklableResult
        | JobErrorKind::ResultTooLarge
        | JobErrorKind::Load
        | JobErrorKind::Crash { .. }
        | JobErrorKind::Infrastructure => format!("the task ended after {ran_for_ms} ms"),
    }
}

/// The name that people look up.
pub(super) fn signal_name(number: i32) -> String {
    let name = match number {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        _ => return format!("signal {number}"),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PYTHON: PythonVersion = PythonVersion { major: 3, minor: 12, micro: 1 };

    #[test]
    fn a_crash_names_the_signal_and_the_likely_cause() {
        let exit = Exit { code: None, signal: Some(libc::SIGSEGV), peak_rss: 5 << 20 };
        let (kind, message) = crash(exit, PYTHON);
        assert_eq!(kind, JobErrorKind::Crash { exit_code: None, signal: Some(libc::SIGSEGV) });
        assert_eq!(
            message,
            "the process that ran the task was killed by SIGSEGV (peak memory 5 MiB); a crash in native code, \
             or a function pickled by another Python than this worker's 3.12"
        );
    }

    #[test]
    fn an_exit_names_the_code() {
        let exit = Exit { code: Some(3), signal: None, peak_rss: 0 };
        let (_, message) = crash(exit, PYTHON);
        assert_eq!(
            message,
            "the process that ran the task exited with code 3 (peak memory 0 MiB); the function, or a library that it \
             uses, ended the process: let it raise an exception instead"
        );
    }
}
