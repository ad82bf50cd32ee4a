//! Exceptions as pickles without Python: what the course contract's `result` holds for a task that failed without one.
//!
//! Only two things are ever written: protocol 2, and a class that every Python 3 has, so that anybody can unpickle it
//! without raftwork being installed.

use bytes::Bytes;
use raftwork_api::kernel::{FailureKind, Outcome, Record, TaskError};

/// The pickled exception that stands for a failed, parked or cancelled task; `None` for a completed one.
pub(super) fn exception_of(record: &Record) -> Option<Bytes> {
    match &record.outcome {
        Outcome::Completed(_) | Outcome::CompletedInParts(_) => None,
        Outcome::Failed(error) | Outcome::Parked(error) => {
            Some(error.exception.clone().unwrap_or_else(|| runtime_error(&text_of(error))))
        }
        Outcome::Cancelled => Some(runtime_error("WorkerFailure: the task was cancelled")),
    }
}

/// What an exception that could not be pickled, or a failure that was no exception, says.
fn text_of(error: &TaskError) -> String {
    match error.kind {
        FailureKind::Exception | FailureKind::Unserializable | FailureKind::Load => {
            let head = match (error.type_name.as_str(), error.message.as_str()) {
                ("", message) => message.to_owned(),
                (type_name, "") => type_name.to_owned(),
                (type_name, message) => format!("{type_name}: {message}"),
            };
            if error.traceback.is_empty() { head } else { format!("{head}\n\n{}", error.traceback) }
        }
        FailureKind::Timeout
        | FailureKind::Crash { .. }
        | FailureKind::OutOfMemory { .. }
        | FailureKind::WorkerLost
        | FailureKind::Expired
        | FailureKind::Dependency { .. } => format!("WorkerFailure: {}", error.message),
    }
}

/// `RuntimeError(text)` as a pickle of protocol 2.
pub(super) fn runtime_error(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).expect("error texts are bounded far below 4 GiB");
    let mut pickle = Vec::with_capacity(text.len() + 48);
    pickle.extend_from_slice(b"\x80\x02"); // PROTO 2
    pickle.extend_from_slice(b"cbuiltins\nRuntimeError\n"); // GLOBAL
    pickle.push(b'X'); // BINUNICODE
    pickle.extend_from_slice(&length.to_le_bytes());
    pickle.extend_from_slice(text.as_bytes());
    pickle.extend_from_slice(b"\x85R."); // TUPLE1 REDUCE STOP
    Bytes::from(pickle)
}

/// Base64 as Python's `codecs.encode(data, "base64")` writes it: lines of 76 characters, each with its line break.
pub(super) fn mime_base64(bytes: &[u8]) -> String {
    const LINE: usize = 57;
    let mut text = String::with_capacity(bytes.len().div_ceil(LINE) * 77);
    for line in bytes.chunks(LINE) {
        text.push_str(&raftwork_api::payload::to_base64(line));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use raftwork_api::kernel::{Counters, Token};
    use raftwork_kernel::{LogTime, WallTime};

    use super::*;

    fn record(outcome: Outcome) -> Record {
        Record {
            outcome,
            token: Token(1),
            worker: None,
            counters: Counters::default(),
            finished_wall: WallTime(0),
            expires: LogTime(0),
        }
    }

    fn error(kind: FailureKind, type_name: &str) -> TaskError {
        TaskError {
            kind,
            type_name: type_name.to_owned(),
            message: "it brøke".to_owned(),
            traceback: String::new(),
            exception: None,
        }
    }

    /// What Python makes of a value in MIME base64.
    fn python(expression: &str, input: &str) -> String {
        let mut python = Command::new("python3")
            .args([
                "-c",
                &format!("import codecs, pickle, sys; data = sys.stdin.read(); print({expression})"),
            ])
            .env("PYTHONIOENCODING", "utf-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tests need python3");
        python.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success(), "python3 could not read {input}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    #[test]
    fn python_unpickles_what_was_written_by_hand() {
        let unpickled = "repr(pickle.loads(codecs.decode(data.encode(), 'base64')))";
        for (outcome, repr) in [
            (Outcome::Failed(error(FailureKind::WorkerLost, "")), "RuntimeError('WorkerFailure: it brøke')"),
            (
                Outcome::Parked(error(FailureKind::Crash { exit_code: Some(1), signal: None }, "")),
                "RuntimeError('WorkerFailure: it brøke')",
            ),
            (Outcome::Failed(error(FailureKind::Exception, "app.Odd")), "RuntimeError('app.Odd: it brøke')"),
            (Outcome::Cancelled, "RuntimeError('WorkerFailure: the task was cancelled')"),
        ] {
            let pickle = exception_of(&record(outcome)).unwrap();
            assert_eq!(raftwork_api::payload::check_pickle(&pickle), Ok(()));
            assert_eq!(python(unpickled, &mime_base64(&pickle)), repr);
        }
    }

    #[test]
    fn an_exception_that_was_pickled_is_passed_on_untouched() {
        let mut error = error(FailureKind::Exception, "builtins.ValueError");
        error.exception = Some(Bytes::from_static(b"\x80\x02N."));
        assert_eq!(exception_of(&record(Outcome::Failed(error))).unwrap(), b"\x80\x02N.".as_slice());
    }

    #[test]
    fn base64_is_as_python_writes_it() {
        for length in [0, 1, 56, 57, 58, 500] {
            let bytes: Vec<u8> = (0u8..=255).cycle().take(length).collect();
            let expression =
                format!("codecs.encode(bytes(i % 256 for i in range({length})), 'base64').decode()");
            assert_eq!(python(&expression, ""), mime_base64(&bytes).trim_end(), "{length}");
        }
    }
}
