//! Our own images of Raft's types, for disk and wire.
//!
//! openraft's types may change with any release; these change only with a format number of ours. Whatever holds one in bytes
//! (the log, a snapshot's manifest, a frame between peers) converts here, and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use openraft::vote::RaftLeaderId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::types::{LeaderId, LogId, Membership, NodeId, Peer, SnapshotMeta, StoredMembership, Vote};
use crate::store::log::{Ballot, Position};

/// Version byte of [`encode`].
const FORMAT: u8 = 1;

/// Image of a [`LogId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogIdImage {
    /// Term of the leader.
    pub term: u64,
    /// Node id of the leader.
    pub node: NodeId,
    /// Index in the log.
    pub index: u64,
}

/// Image of a [`Vote`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteImage {
    /// Term of the candidate or leader.
    pub term: u64,
    /// Node id of the candidate or leader.
    pub node: NodeId,
    /// Whether a majority gave it.
    pub committed: bool,
}

/// Image of a [`Membership`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MembershipImage {
    /// The sets of voters: one, or two while they change.
    pub configs: Vec<BTreeSet<NodeId>>,
    /// Every node, voters and learners.
    pub peers: BTreeMap<NodeId, PeerImage>,
}

/// Image of a [`Peer`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PeerImage {
    /// Where it is reached.
    pub addr: String,
    /// Which one is meant.
    pub incarnation: Uuid,
}

/// Image of a [`SnapshotMeta`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SnapshotImage {
    /// The last entry that the snapshot covers.
    pub last: Option<LogIdImage>,
    /// The entry that set the membership.
    pub membership_at: Option<LogIdImage>,
    /// The membership.
    pub membership: MembershipImage,
}

/// Why bytes are no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Written by a version that this one does not know.
    #[error("its format is {found:?}, and this version knows {FORMAT}")]
    Format {
        /// The version byte, if there is one.
        found: Option<u8>,
    },
    /// Not the bytes of this type.
    #[error("it cannot be decoded: {0}")]
    Decode(#[from] postcard::Error),
    /// A membership that contradicts itself.
    #[error("its membership is not valid: {0}")]
    Membership(String),
}

/// Encodes an image behind a version byte.
pub fn encode<T: Serialize>(image: &T) -> Vec<u8> {
    postcard::to_extend(image, vec![FORMAT]).expect("images are plain data, and a vector grows")
}

/// Decodes what [`encode`] made.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ImageError> {
    match bytes.split_first() {
        Some((&FORMAT, image)) => Ok(postcard::from_bytes(image)?),
        other => Err(ImageError::Format { found: other.map(|(found, _)| *found) }),
    }
}

impl From<LogId> for LogIdImage {
    fn from(id: LogId) -> Self {
        Self { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
    }
}

impl From<LogIdImage> for LogId {
    fn from(image: LogIdImage) -> Self {
        Self::new(LeaderId::new(image.term, image.node), image.index)
    }
}

impl From<Position> for LogIdImage {
    fn from(Position { term, node, index }: Position) -> Self {
        Self { term, node, index }
    }
}

impl From<LogIdImage> for Position {
    fn from(LogIdImage { term, node, index }: LogIdImage) -> Self {
        Self { term, node, index }
    }
}

impl From<Vote> for VoteImage {
    fn from(vote: Vote) -> Self {
        Self { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
    }
}

impl From<VoteImage> for Vote {
    fn from(VoteImage { term, node, committed }: VoteImage) -> Self {
        if committed { Self::new_committed(term, node) } else { Self::new(term, node) }
    }
}

impl From<Ballot> for VoteImage {
    fn from(Ballot { term, node, committed }: Ballot) -> Self {
        Self { term, node, committed }
    }
}

impl From<VoteImage> for Ballot {
    fn from(VoteImage { term, node, committed }: VoteImage) -> Self {
        Self { term, node, committed }
    }
}

impl From<Peer> for PeerImage {
    fn from(Peer { addr, incarnation }: Peer) -> Self {
        Self { addr, incarnation }
    }
}

impl From<PeerImage> for Peer {
    fn from(PeerImage { addr, incarnation }: PeerImage) -> Self {
        Self { addr, incarnation }
    }
}

impl From<&Membership> for MembershipImage {
    fn from(membership: &Membership) -> Self {
        let peers = membership.nodes().map(|(id, peer)| (*id, peer.clone().into()));
        Self { configs: membership.get_joint_config().clone(), peers: peers.collect() }
    }
}

impl TryFrom<MembershipImage> for Membership {
    type Error = ImageError;

    fn try_from(MembershipImage { configs, peers }: MembershipImage) -> Result<Self, ImageError> {
        let peers: BTreeMap<NodeId, Peer> = peers.into_iter().map(|(id, peer)| (id, peer.into())).collect();
        Self::new(configs, peers).map_err(|error| ImageError::Membership(error.to_string()))
    }
}

impl From<&SnapshotMeta> for SnapshotImage {
    fn from(meta: &SnapshotMeta) -> Self {
        Self {
            last: meta.last_log_id.map(Into::into),
            membership_at: meta.last_membership.log_id().map(Into::into),
            membership: meta.last_membership.membership().into(),
        }
    }
}

impl TryFrom<SnapshotImage> for SnapshotMeta {
    type Error = ImageError;

    fn try_from(image: SnapshotImage) -> Result<Self, ImageError> {
        let at = image.membership_at.map(Into::into);
        Ok(Self {
            last_log_id: image.last.map(Into::into),
            last_membership: StoredMembership::new(at, image.membership.try_into()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership() -> Membership {
        let peers = (1..=3)
            .map(|id| (id, Peer { addr: format!("host:{id}"), incarnation: Uuid::from_u128(id.into()) }));
        Membership::new(vec![BTreeSet::from([1, 2])], peers.collect::<BTreeMap<_, _>>()).unwrap()
    }

    /// Through the image, its bytes and back, nothing changes.
    #[test]
    fn images_keep_what_they_show() {
        let id: LogId = LogIdImage { term: 4, node: 2, index: 9 }.into();
        let meta = SnapshotMeta {
            last_log_id: Some(id),
            last_membership: StoredMembership::new(Some(id), membership()),
        };
        let bytes = encode(&SnapshotImage::from(&meta));
        assert_eq!(SnapshotMeta::try_from(decode::<SnapshotImage>(&bytes).unwrap()).unwrap(), meta);
        let empty = SnapshotMeta::default();
        assert_eq!(SnapshotMeta::try_from(SnapshotImage::from(&empty)).unwrap(), empty);
        for vote in [Vote::new(3, 1), Vote::new_committed(3, 1)] {
            assert_eq!(Vote::from(VoteImage::from(vote)), vote);
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        assert!(matches!(decode::<LogIdImage>(&[]), Err(ImageError::Format { found: None })));
        assert!(matches!(decode::<LogIdImage>(&[9, 1, 1, 1]), Err(ImageError::Format { found: Some(9) })));
        assert!(matches!(decode::<LogIdImage>(&[1, 1]), Err(ImageError::Decode(_))));
        let voter_without_peer =
            MembershipImage { configs: vec![BTreeSet::from([1])], peers: BTreeMap::new() };
        assert!(matches!(Membership::try_from(voter_without_peer), Err(ImageError::Membership(_))));
    }
}
