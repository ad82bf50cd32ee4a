//! What a task writes to stdout and stderr: head and tail are kept, the middle is counted.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::Bytes;
use rustix::io::Errno;
use tokio::net::unix::pipe::Receiver;

/// How much is kept of the start and of the end, each.
const KEEP_BYTES: usize = 64 * 1024;
/// A pipe's capacity in Linux: more than this cannot have been written before the child's answer.
const PIPE_BYTES: usize = 64 * 1024;

/// The output of one stream of one task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// What was kept, with a line `... truncated n bytes ...` where the middle is missing.
    pub bytes: Bytes,
    /// How many bytes the task wrote.
    pub total: u64,
}

/// Keeps the first and the last 64 KiB of a stream.
#[derive(Debug, Default)]
pub(super) struct HeadTail {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
}

impl HeadTail {
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = KEEP_BYTES - self.head.len();
        if room > 0 {
            let (first, rest) = bytes.split_at(room.min(bytes.len()));
            self.head.extend_from_slice(first);
            bytes = rest;
        }
        let kept = &bytes[bytes.len().saturating_sub(KEEP_BYTES)..];
        let excess = (self.tail.len() + kept.len()).saturating_sub(KEEP_BYTES);
        self.tail.drain(..excess);
        self.tail.extend(kept);
    }

    /// Takes what was kept and starts afresh.
    pub(super) fn take(&mut self) -> Captured {
        if self.total == 0 {
            return Captured::default();
        }
        let Self { head: mut bytes, mut tail, total } = std::mem::take(self);
        let dropped = total - (bytes.len() + tail.len()) as u64;
        if dropped > 0 {
            bytes.extend_from_slice(format!("\n... truncated {dropped} bytes ...\n").as_bytes());
        }
        bytes.extend_from_slice(tail.make_contiguous());
        Captured { bytes: Bytes::from(bytes), total }
    }

    /// The last lines, for a report on a child that died.
    pub(super) fn last_lines(&self, count: usize) -> String {
        let mut end: Vec<u8> = self.head[self.head.len().saturating_sub(8192)..].to_vec();
        end.extend(self.tail.iter().skip(self.tail.len().saturating_sub(8192)));
        let text = String::from_utf8_lossy(&end);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}

/// The agent's end of one of a child's output pipes.
#[derive(Debug)]
pub(super) struct OutputPipe {
    pipe: Receiver,
    kept: HeadTail,
    closed: bool,
}

impl OutputPipe {
    /// Wraps the reading end, which must not block.
    pub(super) fn new(pipe: OwnedFd) -> io::Result<Self> {
        Ok(Self { pipe: Receiver::from_owned_fd(pipe)?, kept: HeadTail::default(), closed: false })
    }

    /// Whether no more can come: the child has closed its end.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Waits for output and keeps it. Never returns once the pipe is closed. Safe to cancel.
    pub(super) async fn pump(&mut self, buffer: &mut [u8]) {
        if self.closed {
            return std::future::pending().await;
        }
        // One read per wake-up, so that a task that prints for ever cannot starve the rest.
        match self.pipe.readable().await.and_then(|()| self.pipe.try_read(buffer)) {
            Ok(0) => self.closed = true,
            Ok(count) => self.kept.push(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.closed = true,
        }
    }

    /// Keeps all that was written so far, without waiting.
    ///
    /// Reads the descriptor itself, because tokio may not have learnt yet that it is readable, and
    /// no more than a pipe holds, because a thread that the task left behind may go on printing.
    pub(super) fn drain(&mut self, buffer: &mut [u8]) {
        let mut left = PIPE_BYTES;
        while !self.closed && left > 0 {
            let room = left.min(buffer.len());
            match rustix::io::read(self.pipe.as_fd(), &mut buffer[..room]) {
                Ok(0) => self.closed = true,
                Ok(count) => {
                    self.kept.push(&buffer[..count]);
                    left -= count;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.closed = true,
            }
        }
    }

    /// Takes what was kept and starts afresh.
    pub(super) fn take(&mut self) -> Captured {
        self.kept.take()
    }

    /// The last lines that were kept.
    pub(super) fn last_lines(&self, count: usize) -> String {
        self.kept.last_lines(count)
    }
}

impl AsFd for OutputPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_output_is_kept_whole() {
        let mut kept = HeadTail::default();
        kept.push(b"one\n");
        kept.push(b"two\n");
        assert_eq!(kept.last_lines(1), "two");
        assert_eq!(kept.take(), Captured { bytes: Bytes::from_static(b"one\ntwo\n"), total: 8 });
        assert_eq!(kept.take(), Captured::default());
    }

    #[test]
    fn long_output_keeps_both_ends_and_says_what_is_missing() {
        for chunk in [1000, KEEP_BYTES - 1, KEEP_BYTES, 3 * KEEP_BYTES + 1] {
            let whole: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
            let mut kept = HeadTail::default();
            for part in whole.chunks(chunk) {
                kept.push(part);
            }
            let dropped = whole.len() - 2 * KEEP_BYTES;
            let marker = format!("\n... truncated {dropped} bytes ...\n");
            let expected =
                [&whole[..KEEP_BYTES], marker.as_bytes(), &whole[whole.len() - KEEP_BYTES..]].concat();
            let captured = kept.take();
            assert_eq!(captured.total, 1_000_000);
            assert!(captured.bytes == expected, "chunks of {chunk}");
        }
    }
}
