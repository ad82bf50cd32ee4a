//! What the log holds, and how it is encoded on disk.
//!
//! These are the log's own types and bytes: nothing that another library derives is ever written, so its next version
//! cannot change what an old disk means. Every value starts with a format byte and carries a CRC-32 over itself and its
//! key, so a record that was damaged, or that stands under the wrong index, is found.

use bytes::{BufMut, Bytes};

/// Format byte of every value.
const FORMAT: u8 = 1;
/// Format, kind, term, node, checksum.
const RECORD_HEADER: usize = 1 + 1 + 8 + 8 + 4;
/// What a record costs in memory besides its payload, for bounds.
const RECORD_OVERHEAD: usize = 96;

/// Where a record stands in the log: its index, and the leader (term and node) that wrote it.
///
/// The order is that of Raft: leader first, then index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Term of the leader.
    pub term: u64,
    /// Node id of the leader.
    pub node: u64,
    /// Index in the log, from 0.
    pub index: u64,
}

/// The vote that this node has given, or the leader that it has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ballot {
    /// Term of the candidate or leader.
    pub term: u64,
    /// Node id of the candidate or leader.
    pub node: u64,
    /// Whether a majority gave it.
    pub committed: bool,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Nothing; a new leader's first record.
    Blank,
    /// An encoded entry of the kernel, opaque here.
    Entry(Bytes),
    /// An encoded membership, opaque here.
    Membership(Bytes),
}

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// What it says.
    pub body: Body,
}

impl Record {
    /// Memory that the record takes, in bytes.
    pub fn cost(&self) -> usize {
        self.body.payload().len() + RECORD_OVERHEAD
    }
}

impl Body {
    fn kind(&self) -> u8 {
        match self {
            Self::Blank => 0,
            Self::Entry(_) => 1,
            Self::Membership(_) => 2,
        }
    }

    fn payload(&self) -> &[u8] {
        match self {
            Self::Blank => &[],
            Self::Entry(bytes) | Self::Membership(bytes) => bytes,
        }
    }

    fn from_parts(kind: u8, payload: &[u8]) -> Result<Self, DecodeError> {
        match kind {
            0 if payload.is_empty() => Ok(Self::Blank),
            1 => Ok(Self::Entry(Bytes::copy_from_slice(payload))),
            2 => Ok(Self::Membership(Bytes::copy_from_slice(payload))),
            _ => Err(DecodeError::Kind { kind }),
        }
    }
}

/// Why bytes of the log are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Too few or too many bytes.
    #[error("it has {length} bytes")]
    Length {
        /// Bytes found.
        length: usize,
    },
    /// Written by a version that this one does not know.
    #[error("its format is {found}, and this version knows {FORMAT}")]
    Format {
        /// Format byte found.
        found: u8,
    },
    /// The bytes were changed after they were written.
    #[error("its checksum is {found:08x}, and should be {expected:08x}")]
    Checksum {
        /// What the bytes give.
        found: u32,
        /// What was stored with them.
        expected: u32,
    },
    /// A kind that does not exist.
    #[error("its kind is {kind}")]
    Kind {
        /// Kind byte found.
        kind: u8,
    },
}

/// Key of a record: big endian, so that the order of keys is the order of the log.
pub(super) fn key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// The index of a key.
pub(super) fn index(key: &[u8]) -> Result<u64, DecodeError> {
    let bytes = key.try_into().map_err(|_| DecodeError::Length { length: key.len() })?;
    Ok(u64::from_be_bytes(bytes))
}

/// Encodes a record into `value`, which is cleared first.
pub(super) fn encode_record(record: &Record, value: &mut Vec<u8>) {
    let Record { position, body } = record;
    value.clear();
    value.reserve(RECORD_HEADER + body.payload().len());
    value.put_u8(FORMAT);
    value.put_u8(body.kind());
    value.put_u64_le(position.term);
    value.put_u64_le(position.node);
    value.put_u32_le(record_checksum(position.index, value, body.payload()));
    value.put_slice(body.payload());
}

/// Decodes the record under `index`.
pub(super) fn decode_record(index: u64, value: &[u8]) -> Result<Record, DecodeError> {
    let length = value.len();
    let (header, payload) = value.split_at_checked(RECORD_HEADER).ok_or(DecodeError::Length { length })?;
    let (head, stored) = header.split_at(RECORD_HEADER - 4);
    check_format(head[0])?;
    check_sum(record_checksum(index, head, payload), stored)?;
    let position = Position { term: u64_at(head, 2), node: u64_at(head, 10), index };
    Ok(Record { position, body: Body::from_parts(head[1], payload)? })
}

fn record_checksum(index: u64, head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&key(index));
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

/// Encodes a vote.
pub(super) fn encode_ballot(ballot: Ballot) -> Vec<u8> {
    let mut value = vec![FORMAT];
    value.put_u64_le(ballot.term);
    value.put_u64_le(ballot.node);
    value.put_u8(u8::from(ballot.committed));
    sealed(value)
}

/// Decodes a vote.
pub(super) fn decode_ballot(value: &[u8]) -> Result<Ballot, DecodeError> {
    let fields = unsealed(value, 1 + 8 + 8 + 1)?;
    Ok(Ballot { term: u64_at(fields, 1), node: u64_at(fields, 9), committed: fields[17] != 0 })
}

/// Encodes a position.
pub(super) fn encode_position(position: Position) -> Vec<u8> {
    let mut value = vec![FORMAT];
    value.put_u64_le(position.term);
    value.put_u64_le(position.node);
    value.put_u64_le(position.index);
    sealed(value)
}

/// Decodes a position.
pub(super) fn decode_position(value: &[u8]) -> Result<Position, DecodeError> {
    let fields = unsealed(value, 1 + 8 + 8 + 8)?;
    Ok(Position { term: u64_at(fields, 1), node: u64_at(fields, 9), index: u64_at(fields, 17) })
}

fn sealed(mut value: Vec<u8>) -> Vec<u8> {
    value.put_u32_le(crc32fast::hash(&value));
    value
}

fn unsealed(value: &[u8], length: usize) -> Result<&[u8], DecodeError> {
    if value.len() != length + 4 {
        return Err(DecodeError::Length { length: value.len() });
    }
    let (fields, stored) = value.split_at(length);
    check_format(fields[0])?;
    check_sum(crc32fast::hash(fields), stored)?;
    Ok(fields)
}

fn check_format(found: u8) -> Result<(), DecodeError> {
    if found == FORMAT { Ok(()) } else { Err(DecodeError::Format { found }) }
}

fn check_sum(found: u32, stored: &[u8]) -> Result<(), DecodeError> {
    let expected = u32::from_le_bytes(stored.try_into().expect("the caller split off four bytes"));
    if found == expected { Ok(()) } else { Err(DecodeError::Checksum { found, expected }) }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were sliced"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let position = Position { term: 3, node: 2, index: 77 };
        Record { position, body: Body::Entry(Bytes::from_static(b"payload")) }
    }

    fn encoded(record: &Record) -> Vec<u8> {
        let mut value = vec![9; 3];
        encode_record(record, &mut value);
        value
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for body in [Body::Blank, Body::Entry(Bytes::from_static(b"x")), Body::Membership(Bytes::new())] {
            let record = Record { body, ..record() };
            assert_eq!(decode_record(77, &encoded(&record)), Ok(record));
        }
        let ballot = Ballot { term: 5, node: 1, committed: true };
        assert_eq!(decode_ballot(&encode_ballot(ballot)), Ok(ballot));
        assert_eq!(decode_position(&encode_position(record().position)), Ok(record().position));
    }

    /// The bytes of format 1, so that no change of code changes them unseen.
    #[test]
    fn format_one_is_fixed() {
        let found = hex(&encoded(&record()));
        assert_eq!(found, "010103000000000000000200000000000000b5888b037061796c6f6164");
        let ballot = encode_ballot(Ballot { term: 1, node: 2, committed: true });
        let found = hex(&ballot);
        assert_eq!(found, "010100000000000000020000000000000001ffaa1e56");
    }

    /// Every single flipped bit of a record, and a record under another's key, is found.
    #[test]
    fn damage_is_found() {
        let good = encoded(&record());
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_record(77, &bad).is_err(), "bit {bit}");
        }
        assert!(matches!(decode_record(78, &good), Err(DecodeError::Checksum { .. })));
        assert_eq!(decode_record(77, &good[..10]), Err(DecodeError::Length { length: 10 }));
        assert_eq!(decode_ballot(&[]), Err(DecodeError::Length { length: 0 }));
    }
}
