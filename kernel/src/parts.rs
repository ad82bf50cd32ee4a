//! Payloads that are too large for one entry of the log: sent and kept in parts, each of which belongs to one task.

use serde::{Deserialize, Serialize};

use crate::command::LeaseRef;
use crate::ids::{TaskId, Token};
use crate::limits::{PART_BYTES_MAX, PARTS_MAX};

/// The arguments of a task, or the result of one of its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PayloadId {
    /// The task.
    pub task: TaskId,
    /// The token of the attempt; 0, which no attempt has: the arguments.
    pub token: Token,
}

impl PayloadId {
    /// The arguments of a task.
    pub const fn arguments(task: TaskId) -> Self {
        Self { task, token: Token(0) }
    }

    /// The result of an attempt.
    pub const fn result(lease: LeaseRef) -> Self {
        Self { task: lease.task, token: lease.token }
    }

    /// The lease under which the result is sent; `None`: these are arguments.
    pub fn lease(self) -> Option<LeaseRef> {
        (self.token != Token(0)).then_some(LeaseRef { task: self.task, token: self.token })
    }
}

/// What is said of a payload in place of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InParts {
    /// Number of parts.
    pub count: u32,
    /// Bytes of all of them.
    pub bytes: u64,
    /// BLAKE3 of all of them in order, by whoever sent them. The state machine compares it and never computes it: whoever
    /// reads the parts does.
    pub digest: [u8; 32],
}

impl InParts {
    /// Checks its bounds.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        let Self { count, bytes, .. } = *self;
        if count == 0 || count as usize > PARTS_MAX {
            return Err(format!("{count} parts make no payload: 1 to {PARTS_MAX} do"));
        }
        if bytes < u64::from(count) || bytes > u64::from(count) * PART_BYTES_MAX as u64 {
            return Err(format!("{bytes} bytes do not lie in {count} parts of 1 to {PART_BYTES_MAX} bytes"));
        }
        Ok(())
    }
}
