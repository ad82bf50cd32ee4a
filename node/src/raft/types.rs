//! The types that Raft is instantiated with, and short names for what follows from them.
//!
//! Nothing else in the code base spells a generic type of openraft.

use std::fmt;

use bytes::Bytes;
use openraft::alias;
use openraft::errors::{
    ClientWriteError, Fatal as RaftFatal, ForwardToLeader, InitializeError, LinearizableReadError,
    NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::raft::ClientWriteResult;
use raftwork_kernel::Reply;
use uuid::Uuid;

openraft::declare_raft_types!(
    /// How openraft is instantiated: leaders are identified by term and node, so that votes split less often. A term
    /// alone is therefore no fencing value.
    pub TypeConfig:
        D = EntryBytes,
        R = Replies,
        NodeId = u64,
        Node = Peer,
);

/// An encoded entry of the kernel: encoded once where it is proposed, and opaque until it is applied.
#[derive(Clone, PartialEq, Eq)]
pub struct EntryBytes(pub Bytes);

impl fmt::Debug for EntryBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for EntryBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// The kernel's answers to the commands of one entry, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replies(pub Vec<Reply>);

/// Where a node is reached, and which one is meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peer {
    /// Host and port.
    pub addr: String,
    /// Drawn when its data folder was made: an emptied folder is another node, whatever its id.
    pub incarnation: Uuid,
}

/// A node's id.
pub type NodeId = u64;
/// Who led, when an entry was written.
pub type LeaderId = alias::LeaderIdOf<TypeConfig>;
/// A leader and an index.
pub type LogId = alias::LogIdOf<TypeConfig>;
/// A vote for a candidate, or the acceptance of a leader.
pub type Vote = alias::VoteOf<TypeConfig>;
/// An entry of the log.
pub type Entry = alias::EntryOf<TypeConfig>;
/// What an entry says.
pub type Payload = alias::PayloadOf<TypeConfig>;
/// Who votes and who listens.
pub type Membership = openraft::Membership<NodeId, Peer>;
/// A membership and where in the log it was set.
pub type StoredMembership = alias::StoredMembershipOf<TypeConfig>;
/// What a snapshot covers.
pub type SnapshotMeta = alias::SnapshotMetaOf<TypeConfig>;
/// A snapshot whose data is an `S`.
pub type Snapshot<S> = alias::SnapshotOf<TypeConfig, S>;
/// What the log holds.
pub type LogState = openraft::LogState<TypeConfig>;
/// Is told when an append is durable.
pub type Flushed = openraft::storage::IOFlushed<TypeConfig>;
/// An entry to apply, and who waits for its replies.
pub type EntryResponder = openraft::storage::EntryResponder<TypeConfig>;

/// A running Raft node over the state machine `SM`.
pub type Raft<SM> = openraft::Raft<TypeConfig, SM>;
/// What Raft says about itself.
pub type Metrics = openraft::RaftMetrics<TypeConfig>;
/// Watches [`Metrics`].
pub type MetricsWatch = alias::WatchReceiverOf<TypeConfig, Metrics>;
/// The part of [`Metrics`] that changes with elections and memberships, and not with every entry.
pub type ServerMetrics = openraft::metrics::RaftServerMetrics<TypeConfig>;
/// Watches [`ServerMetrics`].
pub type ServerMetricsWatch = alias::WatchReceiverOf<TypeConfig, ServerMetrics>;
/// Why Raft has stopped.
pub type Fatal = RaftFatal<TypeConfig>;

/// A leader's entries for a follower.
pub type AppendRequest = openraft::raft::AppendEntriesRequest<TypeConfig>;
/// The follower's answer to one.
pub type AppendResponse = openraft::raft::AppendEntriesResponse<TypeConfig>;
/// The follower's answer to one of a stream.
pub type AppendResult = openraft::raft::StreamAppendResult<TypeConfig>;
/// Why a follower does not append.
pub type AppendError = openraft::raft::StreamAppendError<TypeConfig>;
/// A candidate's request, or the question whether it would be granted.
pub type VoteRequest = openraft::raft::VoteRequest<TypeConfig>;
/// The answer to it.
pub type VoteResponse = openraft::raft::VoteResponse<TypeConfig>;
/// A leader's wish that another lead.
pub type TransferRequest = openraft::raft::TransferLeaderRequest<TypeConfig>;
/// The answer to it.
pub type TransferResponse = openraft::raft::TransferLeaderResponse<TypeConfig>;
/// Why another may not lead now.
pub type TransferError = openraft::raft::TransferLeaderError<TypeConfig>;
/// The answer to a snapshot.
pub type SnapshotResponse = openraft::raft::SnapshotResponse<TypeConfig>;

/// Why a peer did not answer.
pub type RpcError = RPCError<TypeConfig>;
/// Why a snapshot did not arrive.
pub type SendSnapshotError = StreamingError<TypeConfig>;
/// A peer did not answer in time.
pub type RpcTimeout = Timeout<TypeConfig>;
/// A peer cannot be reached.
pub type RpcUnreachable = Unreachable<TypeConfig>;
/// A connection failed under way.
pub type RpcNetwork = NetworkError<TypeConfig>;
/// Raft no longer wants what it asked for.
pub type Cancelled = ReplicationClosed;
/// Is told what became of a proposal.
pub type Responder = openraft::impls::ProgressResponder<TypeConfig, ClientWriteResult<TypeConfig>>;
/// Waits for what [`Responder`] is told.
pub type Written = alias::OneshotReceiverOf<TypeConfig, ClientWriteResult<TypeConfig>>;
/// Why the membership was not changed.
pub type ChangeFailure = RaftError<TypeConfig, ClientWriteError<TypeConfig>>;
/// Why a proposal was refused.
pub type WriteRefusal = ClientWriteError<TypeConfig>;
/// Why a read could not be confirmed.
pub type ReadError = RaftError<TypeConfig, LinearizableReadError<TypeConfig>>;
/// Why a read was refused.
pub type ReadRefusal = LinearizableReadError<TypeConfig>;
/// Why a first membership was not set.
pub type StartError = RaftError<TypeConfig, InitializeError<TypeConfig>>;
/// Why a first membership was refused.
pub type StartRefusal = InitializeError<TypeConfig>;
/// Who leads instead.
pub type Forward = ForwardToLeader<TypeConfig>;
