//! What the rows are worth: the log position up to which they were applied, and the membership at that point.

use bytes::Bytes;
use raftwork_kernel::Scalars;
use serde::{Deserialize, Serialize};

use crate::store::log::Position;

/// Written with every entry's rows, in one batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The last applied entry; `None` before the first.
    pub applied: Option<Position>,
    /// The numbers of the state after it.
    pub scalars: Scalars,
}

/// The last applied membership, opaque here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMembers {
    /// The entry that brought it.
    pub position: Option<Position>,
    /// Its encoding by `raft::wire`; empty before the first.
    pub encoded: Bytes,
}
