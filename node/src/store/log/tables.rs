//! What is in the log's database: values of `meta` and records, as keys and bytes.

use std::ops::Range;
use std::path::PathBuf;

use super::check::Damage;
use super::families::{LOGS, META};
use super::record::{self, Ballot, DecodeError, Position, Record};
use crate::store::disk::{self, Database, Error};

const FORMAT_KEY: &[u8] = b"format";
const FORMAT: &[u8] = b"raftwork-log 1";
const BALLOT: &str = "vote";
const PURGED: &str = "purged";
const COMMITTED: &str = "committed";
const RECEIVED: &str = "received";

/// Why the log's database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log contradicts itself, or what the node knows.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// `RocksDB` found damage in its files.
    #[error(
        "the log's files are damaged ({0}); rebuild this node: remove it from the cluster, move its data folder away, \
         and add it as a new node"
    )]
    Corrupt(#[source] Error),
    /// A file has a damaged record at which `RocksDB` would not end.
    #[error(
        "the log's files are damaged ({0} has a record of a recycled file, and none is ever recycled); rebuild this node: remove \
         it from the cluster, move its data folder away, and add it as a new node"
    )]
    Recycled(PathBuf),
    /// The disk or another process stands in the way.
    #[error("the log cannot be opened: {0}")]
    Io(#[source] Error),
    /// What says which write-ahead log is in use cannot be read.
    #[error("cannot tell whether the write-ahead log is there: {0}")]
    Note(#[source] std::io::Error),
    /// The flush thread could not be started.
    #[error("the log's flush thread cannot be started: {0}")]
    Thread(#[source] std::io::Error),
}

impl OpenError {
    /// Whether the data is damaged, so that trying again is of no use.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_) | Self::Corrupt(_) | Self::Recycled(_) => true,
            Self::Note(error) => error.kind() == std::io::ErrorKind::InvalidData,
            Self::Io(_) | Self::Thread(_) => false,
        }
    }
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        if error.kind() == disk::ErrorKind::Corruption { Self::Corrupt(error) } else { Self::Io(error) }
    }
}

/// The open database.
pub(super) struct Tables {
    db: Box<dyn Database>,
}

/// The values of `meta`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Meta {
    pub(super) format: bool,
    pub(super) ballot: Option<Ballot>,
    pub(super) purged: Option<Position>,
    pub(super) committed: Option<Position>,
    pub(super) received: Option<Position>,
}

impl Tables {
    pub(super) fn new(db: Box<dyn Database>) -> Self {
        Self { db }
    }

    /// Reads the values of `meta`.
    pub(super) fn meta(&self) -> Result<Meta, OpenError> {
        Ok(Meta {
            format: self.format()?,
            ballot: self.value(BALLOT, record::decode_ballot)?,
            purged: self.value(PURGED, record::decode_position)?,
            committed: self.value(COMMITTED, record::decode_position)?,
            received: self.value(RECEIVED, record::decode_position)?,
        })
    }

    fn format(&self) -> Result<bool, OpenError> {
        match self.db.get(META, FORMAT_KEY)? {
            None => Ok(false),
            Some(found) if *found == *FORMAT => Ok(true),
            Some(found) => {
                let found = found.last().copied().unwrap_or_default();
                Err(Damage::Meta { what: "format", error: DecodeError::Format { found } }.into())
            }
        }
    }

    fn value<T>(
        &self,
        what: &'static str,
        decode: fn(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, OpenError> {
        let Some(bytes) = self.db.get(META, what.as_bytes())? else {
            return Ok(None);
        };
        let value = decode(&bytes).map_err(|error| Damage::Meta { what, error })?;
        Ok(Some(value))
    }

    /// The records of `range`, in order. What it finds is what was there when this was called, whatever is written later.
    pub(super) fn records(
        &self,
        range: Range<u64>,
    ) -> impl Iterator<Item = Result<Record, ReadError>> + use<'_> {
        let to = record::key(range.end);
        let to = (range.end < u64::MAX).then_some(to.as_slice());
        let found = self.db.ascend(LOGS, &record::key(range.start), to);
        found.map(|found| {
            let (key, value) = found?;
            let index = record::index(&key).map_err(|error| Damage::Meta { what: "key", error })?;
            Ok(record::decode_record(index, &value).map_err(|error| Damage::Record { index, error })?)
        })
    }

    /// Makes everything written before this call durable.
    pub(super) async fn flush(&self) -> Result<(), Error> {
        self.db.flush().await
    }

    /// Frees the files that hold nothing but records up to `index`. They must have been purged durably.
    pub(super) fn drop_files(&self, index: u64) -> Result<(), Error> {
        self.db.drop_files(LOGS, &record::key(index))
    }

    /// An empty batch.
    pub(super) fn batch(&self) -> Batch<'_> {
        Batch { changes: self.db.batch(), value: Vec::new() }
    }
}

/// Why stored records could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Damaged(#[from] Damage),
    #[error(transparent)]
    Database(#[from] Error),
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged(damage) => damage.into(),
            ReadError::Database(error) => error.into(),
        }
    }
}

/// Changes that are written together or not at all.
pub(super) struct Batch<'a> {
    changes: Box<dyn disk::Batch + 'a>,
    value: Vec<u8>,
}

impl Batch<'_> {
    /// Makes the changes without waiting for the disk.
    pub(super) fn write(self) -> Result<(), Error> {
        self.changes.write()
    }

    pub(super) fn put_format(&mut self) {
        self.changes.put(META, FORMAT_KEY, FORMAT);
    }

    pub(super) fn put_ballot(&mut self, ballot: Ballot) {
        self.changes.put(META, BALLOT.as_bytes(), &record::encode_ballot(ballot));
    }

    pub(super) fn put_purged(&mut self, position: Position) {
        self.changes.put(META, PURGED.as_bytes(), &record::encode_position(position));
    }

    pub(super) fn put_received(&mut self, position: Position) {
        self.changes.put(META, RECEIVED.as_bytes(), &record::encode_position(position));
    }

    pub(super) fn put_committed(&mut self, position: Option<Position>) {
        match position {
            Some(position) => {
                self.changes.put(META, COMMITTED.as_bytes(), &record::encode_position(position));
            }
            None => self.changes.delete(META, COMMITTED.as_bytes()),
        }
    }

    /// Adds a record; gives the bytes of its value.
    pub(super) fn put_record(&mut self, record: &Record) -> usize {
        record::encode_record(record, &mut self.value);
        self.changes.put(LOGS, &record::key(record.position.index), &self.value);
        self.value.len()
    }

    /// Removes the records of `range`.
    pub(super) fn remove(&mut self, range: Range<u64>) {
        self.changes.delete_range(LOGS, &record::key(range.start), &record::key(range.end));
    }
}
