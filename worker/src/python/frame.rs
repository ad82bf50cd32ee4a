//! Frames between the agent and a child: `u32 len | u8 kind | u8 flags | u16 hlen | header | payload`.
//!
//! Little endian; `len` counts header and payload. Headers are fixed structs, so that the child
//! needs nothing but Python's `struct`. Must agree with `python/raftwork/_runtime/frames.py`.

use bytes::{Buf, Bytes, BytesMut};
use raftwork_api::tasks::Progress;

use super::job::{FunctionKind, Job};

const PREFIX_BYTES: usize = 8;
const FUNC: u8 = 1;
const RUN: u8 = 2;
const RESULT: u8 = 3;
const ERROR: u8 = 4;
const STARTED: u8 = 5;
const PING: u8 = 6;
const EXIT: u8 = 7;
const PROGRESS: u8 = 8;
const GIVEN: u8 = 9;

const FLAG_WANT_STARTED: u8 = 1;
const FLAG_LEFTOVERS: u8 = 1;
const FLAG_NO_RESULT: u8 = 1;

/// Room for an error's texts and exception beside the largest result.
const SLACK_BYTES: usize = 1 << 20;

/// A frame that a child sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The task was taken up.
    Started,
    /// The child is ready.
    Pong,
    /// The task returned.
    Result { usage: Usage, payload: Bytes },
    /// The task failed.
    Error { usage: Usage, error: ErrorReport },
    /// The task says how far it is.
    Progress(Progress),
}

/// What the child says about its own use of time and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) nanos: u64,
    /// Highest resident size of the child's whole life, in bytes.
    pub(super) peak_rss: u64,
    /// The task left processes behind.
    pub(super) leftovers: bool,
}

/// An error as the child describes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ErrorReport {
    pub(super) code: ErrorCode,
    pub(super) type_name: String,
    pub(super) message: String,
    pub(super) traceback: String,
    /// Names of the classes that the exception's own is derived from.
    pub(super) bases: Vec<String>,
    pub(super) exception: Bytes,
}

/// The error kinds of `child.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorCode {
    Exception,
    UnpicklableResult,
    Load,
    ResultTooLarge,
    /// `TaskTimeout` or `TaskCancelled` ended the function.
    Interrupted,
}

/// The child broke the protocol; most likely user code wrote to descriptor 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a frame of {0} bytes is over the limit")]
    TooLong(usize),
    #[error("a frame of unknown kind {0} or with a broken header")]
    Malformed(u8),
}

/// What to send for a job: small parts in one buffer, large payloads as they are.
pub(super) fn encode_job(job: &Job, send_function: bool) -> Vec<Bytes> {
    let mut parts = Vec::with_capacity(4);
    let mut head = Vec::with_capacity(256);
    if send_function {
        let (kind, name) = match &job.kind {
            FunctionKind::Dill => (0, ""),
            FunctionKind::Source { name } => (1, name.as_str()),
        };
        let header = [&job.function.0[..], &[kind], name.as_bytes()];
        push_frame(&mut head, FUNC, 0, &header, job.code.len());
        parts.push(Bytes::from(std::mem::take(&mut head)));
        parts.push(job.code.clone());
    }
    for (task, result) in &job.given {
        let (flags, payload) = match result {
            Ok(result) => (0, result.clone()),
            Err(status) => (FLAG_NO_RESULT, Bytes::from_static(status.as_str().as_bytes())),
        };
        push_frame(&mut head, GIVEN, flags, &[task.as_bytes()], payload.len());
        parts.push(Bytes::from(std::mem::take(&mut head)));
        parts.push(payload);
    }
    let (token, attempt) = (job.token.to_le_bytes(), job.attempt.to_le_bytes());
    let header = [&job.function.0[..], &token, &attempt, job.task_id.as_bytes()];
    let flags = if job.started.is_some() { FLAG_WANT_STARTED } else { 0 };
    push_frame(&mut head, RUN, flags, &header, job.args.len());
    parts.push(Bytes::from(head));
    parts.push(job.args.clone());
    parts
}

/// A frame that asks the child to answer.
pub(super) fn ping() -> Bytes {
    Bytes::from_static(&[0, 0, 0, 0, PING, 0, 0, 0])
}

/// A frame that asks the child to end.
pub(super) fn exit() -> Bytes {
    Bytes::from_static(&[0, 0, 0, 0, EXIT, 0, 0, 0])
}

fn push_frame(out: &mut Vec<u8>, kind: u8, flags: u8, header: &[&[u8]], payload_len: usize) {
    let header_len: usize = header.iter().map(|part| part.len()).sum();
    let len = u32::try_from(header_len + payload_len).expect("payloads are bounded far below 4 GiB");
    let header_len = u16::try_from(header_len).expect("ids and names are bounded far below 64 KiB");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&header_len.to_le_bytes());
    for part in header {
        out.extend_from_slice(part);
    }
}

/// Takes the next whole frame out of `buffer`, or `None` if more bytes are needed.
///
/// `result_bytes_max` bounds what a child can make the agent hold.
pub(super) fn decode(buffer: &mut BytesMut, result_bytes_max: usize) -> Result<Option<Answer>, FrameError> {
    if buffer.len() < PREFIX_BYTES {
        return Ok(None);
    }
    let len = u32::from_le_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]) as usize;
    let (kind, flags) = (buffer[4], buffer[5]);
    let header_len = usize::from(u16::from_le_bytes([buffer[6], buffer[7]]));
    if len > result_bytes_max + SLACK_BYTES {
        return Err(FrameError::TooLong(len));
    }
    if header_len > len {
        return Err(FrameError::Malformed(kind));
    }
    if buffer.len() < PREFIX_BYTES + len {
        buffer.reserve(PREFIX_BYTES + len - buffer.len());
        return Ok(None);
    }
    buffer.advance(PREFIX_BYTES);
    let header = buffer.split_to(header_len).freeze();
    let payload = buffer.split_to(len - header_len).freeze();
    parse(kind, flags, header, payload).map(Some).ok_or(FrameError::Malformed(kind))
}

fn parse(kind: u8, flags: u8, mut header: Bytes, payload: Bytes) -> Option<Answer> {
    match kind {
        STARTED => Some(Answer::Started),
        PING => Some(Answer::Pong),
        RESULT => Some(Answer::Result { usage: parse_usage(flags, &mut header)?, payload }),
        ERROR => {
            let usage = parse_usage(flags, &mut header)?;
            Some(Answer::Error { usage, error: parse_error(header, payload)? })
        }
        PROGRESS => parse_progress(header, &payload).map(Answer::Progress),
        _ => None,
    }
}

fn parse_progress(mut header: Bytes, message: &[u8]) -> Option<Progress> {
    let done = header.try_get_u64_le().ok()?;
    let total = header.try_get_u64_le().ok()?;
    let is_known = header.try_get_u8().ok()? != 0;
    let message = String::from_utf8_lossy(message).into_owned();
    Some(Progress { done, total: is_known.then_some(total), message })
}

fn parse_usage(flags: u8, header: &mut Bytes) -> Option<Usage> {
    let nanos = header.try_get_u64_le().ok()?;
    let peak_rss = header.try_get_u64_le().ok()?.saturating_mul(1024);
    Some(Usage { nanos, peak_rss, leftovers: flags & FLAG_LEFTOVERS != 0 })
}

fn parse_error(mut header: Bytes, mut payload: Bytes) -> Option<ErrorReport> {
    let code = match header.try_get_u8().ok()? {
        0 => ErrorCode::Exception,
        1 => ErrorCode::UnpicklableResult,
        2 => ErrorCode::Load,
        3 => ErrorCode::ResultTooLarge,
        4 => ErrorCode::Interrupted,
        _ => return None,
    };
    let mut text = || {
        let len = header.try_get_u32_le().ok()? as usize;
        (len <= payload.len()).then(|| String::from_utf8_lossy(&payload.split_to(len)).into_owned())
    };
    let (type_name, message, traceback, bases) = (text()?, text()?, text()?, text()?);
    let bases = bases.lines().map(str::to_owned).collect();
    Some(ErrorReport { code, type_name, message, traceback, bases, exception: payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result_frame(payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (nanos, peak) = (7_u64.to_le_bytes(), 3_u64.to_le_bytes());
        push_frame(&mut bytes, RESULT, FLAG_LEFTOVERS, &[&nanos, &peak], payload.len());
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn a_frame_is_read_whatever_the_pieces_it_arrives_in() {
        let bytes = result_frame(b"answer");
        let mut buffer = BytesMut::new();
        for byte in &bytes[..bytes.len() - 1] {
            buffer.extend_from_slice(&[*byte]);
            assert_eq!(decode(&mut buffer, 100), Ok(None));
        }
        buffer.extend_from_slice(&bytes[bytes.len() - 1..]);
        let usage = Usage { nanos: 7, peak_rss: 3072, leftovers: true };
        let expected = Answer::Result { usage, payload: Bytes::from_static(b"answer") };
        assert_eq!(decode(&mut buffer, 100), Ok(Some(expected)));
        assert!(buffer.is_empty());
    }

    #[test]
    fn an_error_is_read_with_the_classes_that_it_is_derived_from() {
        let texts = ["shop.Broken", "gone", "Traceback", "LookupError\nException"];
        let mut header = [7_u64.to_le_bytes(), 3_u64.to_le_bytes()].concat();
        header.push(0);
        header.extend(texts.iter().flat_map(|text| u32::try_from(text.len()).unwrap().to_le_bytes()));
        let payload = [&*texts.concat(), "pickle"].concat();
        let mut bytes = Vec::new();
        push_frame(&mut bytes, ERROR, 0, &[&header], payload.len());
        bytes.extend_from_slice(payload.as_bytes());
        let Ok(Some(Answer::Error { error, .. })) = decode(&mut BytesMut::from(&bytes[..]), 100) else {
            panic!("the frame is whole")
        };
        assert_eq!((&*error.type_name, &*error.traceback), ("shop.Broken", "Traceback"));
        assert_eq!(
            (error.bases, &*error.exception),
            (vec!["LookupError".into(), "Exception".into()], &b"pickle"[..])
        );
    }

    #[test]
    fn progress_may_have_no_total() {
        for (is_known, total) in [(1, Some(9)), (0, None)] {
            let header = [&4_u64.to_le_bytes()[..], &9_u64.to_le_bytes(), &[is_known]].concat();
            let mut bytes = Vec::new();
            push_frame(&mut bytes, PROGRESS, 0, &[&header], 4);
            bytes.extend_from_slice(b"half");
            let progress = Progress { done: 4, total, message: "half".to_owned() };
            assert_eq!(decode(&mut BytesMut::from(&bytes[..]), 100), Ok(Some(Answer::Progress(progress))));
        }
    }

    #[test]
    fn garbage_is_refused_and_never_believed() {
        let mut long = BytesMut::from(&b"garbage, not a frame"[..]);
        assert!(matches!(decode(&mut long, 100), Err(FrameError::TooLong(_))));
        let mut unknown = BytesMut::from(&[0, 0, 0, 0, 99, 0, 0, 0][..]);
        assert_eq!(decode(&mut unknown, 100), Err(FrameError::Malformed(99)));
        let mut short = BytesMut::from(&[2, 0, 0, 0, RESULT, 0, 2, 0, 1, 1][..]);
        assert_eq!(decode(&mut short, 100), Err(FrameError::Malformed(RESULT)));
        let mut liar = BytesMut::from(&[1, 0, 0, 0, PING, 0, 9, 0, 1][..]);
        assert_eq!(decode(&mut liar, 100), Err(FrameError::Malformed(PING)));
    }
}
