//! What Raft peers say to one another: the kinds of their frames, and the bytes of each.
//!
//! Every message begins with a format byte. Entries travel as they were encoded when they were proposed: they are
//! copied once into the frame that carries them, and cut out of the received one without a copy.

use bytes::{BufMut, Bytes, BytesMut};
use openraft::entry::RaftEntry;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::image::{self, ImageError, LogIdImage, MembershipImage, SnapshotImage, VoteImage};
use super::transfer::FileInfo;
use super::types::{AppendRequest, Entry, EntryBytes, Payload, VoteRequest};

/// A leader's entries, or its heartbeat.
pub(super) const APPEND: u8 = 1;
/// A candidate asks for a vote.
pub(super) const VOTE: u8 = 2;
/// A node asks whether it would be given one.
pub(super) const PRE_VOTE: u8 = 3;
/// A leader wishes that another lead.
pub(super) const TRANSFER: u8 = 4;
/// A snapshot begins; the answer comes when it is installed, or is known not to be.
pub(super) const SNAPSHOT: u8 = 5;
/// A piece of the snapshot that began under the same id.
pub(super) const CHUNK: u8 = 6;
/// All of it was sent.
pub(super) const SNAPSHOT_END: u8 = 7;
/// A follower asks whether the leader is gone for the other one, too.
pub(super) const IS_GONE: u8 = 8;
/// Who calls, and whom it means: the first frame of every connection, and a question of its own.
pub(super) const MEET: u8 = 9;
/// The answer to the frame of the same id.
pub(super) const ANSWER: u8 = 64;

/// [`MEET`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meet {
    /// The caller.
    pub(super) from: u64,
    /// Its incarnation.
    pub(super) incarnation: Uuid,
    /// The incarnation that is called. Without it the caller may ask who is there, and nothing else.
    pub(super) meant: Option<Uuid>,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Met {
    /// Who is there.
    pub(super) incarnation: Uuid,
    /// Whether it has ever been part of a cluster.
    pub(super) founded: bool,
    /// The nodes that found the cluster, as it was told.
    pub(super) founders: Vec<u64>,
    /// The entry that set the newest membership that it knows to be committed.
    pub(super) members_at: Option<LogIdImage>,
    /// The incarnation under which that has the caller.
    pub(super) you: Option<Uuid>,
}

/// An answer, or why there is none, in words.
pub(super) type Answer<T> = Result<T, String>;

/// The answer to [`APPEND`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Appended {
    /// The logs are equal up to here.
    Matching(Option<LogIdImage>),
    /// The follower does not have this entry, which the request built on.
    Conflict(LogIdImage),
    /// The follower has seen a later leader.
    HigherVote(VoteImage),
}

/// [`VOTE`] and [`PRE_VOTE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ballot {
    /// What is asked for.
    pub(super) vote: VoteImage,
    /// The candidate's last entry.
    pub(super) last: Option<LogIdImage>,
    /// Whether the leader wished it.
    pub(super) transfer: bool,
}

/// The answer to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Voted {
    /// What the voter now holds.
    pub(super) vote: VoteImage,
    /// Whether it was given.
    pub(super) granted: bool,
    /// The voter's last entry.
    pub(super) last: Option<LogIdImage>,
}

/// [`TRANSFER`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transfer {
    /// The leader's vote.
    pub(super) from: VoteImage,
    /// Who shall lead.
    pub(super) to: u64,
    /// What it must have.
    pub(super) last: Option<LogIdImage>,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Transferred {
    /// It will be tried.
    Accepted,
    /// There was another leader since.
    VoteChanged { expected: VoteImage, actual: VoteImage },
    /// The successor does not have everything yet.
    NotFlushed { expected: Option<LogIdImage>, actual: Option<LogIdImage> },
}

/// [`SNAPSHOT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offer {
    /// The leader's vote.
    pub(super) vote: VoteImage,
    /// What the snapshot covers.
    pub(super) snapshot: SnapshotImage,
    /// Its files, in the order in which they are sent.
    pub(super) files: Vec<FileInfo>,
}

/// The answer to it, once it is installed or was refused: what the follower's vote is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Installed {
    pub(super) vote: VoteImage,
}

/// Why a message means nothing.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The message, or what is in front of its entries.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The entries do not fill the message.
    #[error("it ends inside its entries")]
    Short,
    /// A kind of frame that a peer does not send.
    #[error("a frame of kind {0} is unknown or out of place")]
    Kind(u8),
}

/// What stands in front of an append's entries.
#[derive(Debug, Serialize, Deserialize)]
struct AppendHead {
    vote: VoteImage,
    prev: Option<LogIdImage>,
    commit: Option<LogIdImage>,
    entries: Vec<EntryHead>,
}

#[derive(Debug, Serialize, Deserialize)]
struct EntryHead {
    at: LogIdImage,
    body: BodyHead,
}

#[derive(Debug, Serialize, Deserialize)]
enum BodyHead {
    Blank,
    /// So many bytes, behind the head.
    Entry(u32),
    Membership(MembershipImage),
}

/// Encodes a message.
pub(super) fn encode<T: Serialize>(message: &T) -> Bytes {
    image::encode(message).into()
}

/// Decodes a message.
pub(super) fn decode<T: for<'a> Deserialize<'a>>(payload: &[u8]) -> Result<T, WireError> {
    Ok(image::decode(payload)?)
}

/// Encodes an append: length of the head, head, then the entries' own bytes.
pub(super) fn encode_append(request: &AppendRequest) -> Bytes {
    let head = image::encode(&AppendHead {
        vote: request.vote.into(),
        prev: request.prev_log_id.map(Into::into),
        commit: request.leader_commit.map(Into::into),
        entries: request.entries.iter().map(entry_head).collect(),
    });
    let bodies = || request.entries.iter().filter_map(body);
    let mut payload = BytesMut::with_capacity(4 + head.len() + bodies().map(Bytes::len).sum::<usize>());
    payload.put_u32_le(u32::try_from(head.len()).expect("a request's entries are bounded"));
    payload.put_slice(&head);
    bodies().for_each(|bytes| payload.put_slice(bytes));
    payload.freeze()
}

/// Decodes an append; its entries share the memory of `payload`.
pub(super) fn decode_append(mut payload: Bytes) -> Result<AppendRequest, WireError> {
    let length = payload.first_chunk::<4>().ok_or(WireError::Short)?;
    let length = u32::from_le_bytes(*length) as usize;
    if payload.len() < 4 + length {
        return Err(WireError::Short);
    }
    let head = payload.split_to(4 + length);
    let head: AppendHead = image::decode(&head[4..])?;
    let entries: Result<Vec<Entry>, WireError> =
        head.entries.into_iter().map(|entry| cut_entry(entry, &mut payload)).collect();
    if !payload.is_empty() {
        return Err(WireError::Short);
    }
    Ok(AppendRequest {
        vote: head.vote.into(),
        prev_log_id: head.prev.map(Into::into),
        leader_commit: head.commit.map(Into::into),
        entries: entries?,
    })
}

fn entry_head(entry: &Entry) -> EntryHead {
    let body = match &entry.payload {
        Payload::Blank => BodyHead::Blank,
        Payload::Normal(EntryBytes(bytes)) => {
            BodyHead::Entry(u32::try_from(bytes.len()).expect("an entry is bounded far below 4 GiB"))
        }
        Payload::Membership(membership) => BodyHead::Membership(membership.into()),
    };
    EntryHead { at: entry.log_id().into(), body }
}

fn body(entry: &Entry) -> Option<&Bytes> {
    match &entry.payload {
        Payload::Normal(EntryBytes(bytes)) => Some(bytes),
        Payload::Blank | Payload::Membership(_) => None,
    }
}

fn cut_entry(head: EntryHead, bodies: &mut Bytes) -> Result<Entry, WireError> {
    let payload = match head.body {
        BodyHead::Blank => Payload::Blank,
        BodyHead::Entry(length) if length as usize > bodies.len() => return Err(WireError::Short),
        BodyHead::Entry(length) => Payload::Normal(EntryBytes(bodies.split_to(length as usize))),
        BodyHead::Membership(image) => Payload::Membership(image.try_into()?),
    };
    Ok(Entry::new(head.at.into(), payload))
}

impl From<&VoteRequest> for Ballot {
    fn from(request: &VoteRequest) -> Self {
        Self {
            vote: request.vote.into(),
            last: request.last_log_id.map(Into::into),
            transfer: request.leadership_transfer,
        }
    }
}

impl From<Ballot> for VoteRequest {
    fn from(ballot: Ballot) -> Self {
        let mut request = Self::new(ballot.vote.into(), ballot.last.map(Into::into));
        request.leadership_transfer = ballot.transfer;
        request
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::types::{LogId, Membership, Peer, Vote};
    use super::*;

    fn id(index: u64) -> LogId {
        LogIdImage { term: 2, node: 1, index }.into()
    }

    fn request() -> AppendRequest {
        let peers = BTreeMap::from([(1, Peer { addr: "a:1".into(), incarnation: Uuid::from_u128(1) })]);
        let membership = Membership::new(vec![BTreeSet::from([1])], peers).unwrap();
        let payloads = [
            Payload::Blank,
            Payload::Normal(EntryBytes(Bytes::from_static(b"first"))),
            Payload::Membership(membership),
            Payload::Normal(EntryBytes(Bytes::new())),
            Payload::Normal(EntryBytes(Bytes::from_static(b"second"))),
        ];
        AppendRequest {
            vote: Vote::new_committed(2, 1),
            prev_log_id: Some(id(6)),
            leader_commit: Some(id(5)),
            entries: (7..).zip(payloads).map(|(index, payload)| Entry::new(id(index), payload)).collect(),
        }
    }

    #[test]
    fn an_append_arrives_as_it_was_sent() {
        let decoded = decode_append(encode_append(&request())).unwrap();
        assert_eq!(format!("{decoded:?}"), format!("{:?}", request()));
        assert_eq!(decoded.entries, request().entries);
    }

    /// Entries are cut out of the received frame, not copied.
    #[test]
    fn received_entries_share_the_frames_memory() {
        let payload = encode_append(&request());
        let memory = payload.as_ptr_range();
        let decoded = decode_append(payload.clone()).unwrap();
        let Payload::Normal(EntryBytes(bytes)) = &decoded.entries[4].payload else {
            panic!("the fifth is an entry")
        };
        assert!(memory.contains(&bytes.as_ptr()));
    }

    /// Whatever is cut off or added, it is an error and no panic.
    #[test]
    fn damaged_appends_are_refused() {
        let payload = encode_append(&request());
        for length in 0..payload.len() {
            assert!(decode_append(payload.slice(..length)).is_err(), "{length} bytes");
        }
        let longer = Bytes::from([&payload[..], b"x"].concat());
        assert!(matches!(decode_append(longer), Err(WireError::Short)));
    }

    #[test]
    fn a_vote_request_arrives_as_it_was_sent() {
        let mut request = VoteRequest::new(Vote::new(3, 2), Some(id(4)));
        request.leadership_transfer = true;
        let decoded: Ballot = decode(&encode(&Ballot::from(&request))).unwrap();
        assert_eq!(VoteRequest::from(decoded), request);
    }
}
