//! The `RocksDB` instance of the log: its options, its column families and its reads and writes.
//!
//! Column family `meta` holds the format mark, the vote and three positions; `logs` holds the records. Both share one
//! write-ahead log, so that whatever is durable there implies everything written before it: a vote, a truncation or a
//! purge can never be overtaken by a later append.

use std::ops::Range;
use std::path::Path;

use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, ErrorKind, Options,
    ReadOptions, WriteBatch,
};

use super::check::Damage;
use super::record::{self, Ballot, DecodeError, Position, Record};

const META: &str = "meta";
const LOGS: &str = "logs";

const FORMAT_KEY: &[u8] = b"format";
const FORMAT: &[u8] = b"raftwork-log 1";
const BALLOT: &str = "vote";
const PURGED: &str = "purged";
const COMMITTED: &str = "committed";
const RECEIVED: &str = "received";

/// Memory for records that are not yet in a sorted file; a full one is written out beside the next.
const MEMTABLE_BYTES: usize = 32 << 20;
/// The same for `meta`, which holds a few values that change all the time.
const META_MEMTABLE_BYTES: usize = 4 << 20;
const MEMTABLES: i32 = 4;
/// The write-ahead log is kept until both families were written out, and one may wait long for the other. Opening
/// replays at most this much.
const WAL_BYTES_MAX: u64 = 256 << 20;
/// The log is written once, read seldom and purged by whole files, so sorted files may pile up before writes slow down.
const FILES_BEFORE_COMPACTION: i32 = 8;
const FILES_BEFORE_SLOWDOWN: i32 = 64;
const FILES_BEFORE_STOP: i32 = 128;

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
    Corrupt(#[source] rocksdb::Error),
    /// The disk or another process stands in the way.
    #[error("the log cannot be opened: {0}")]
    Io(#[source] rocksdb::Error),
    /// The flush thread could not be started.
    #[error("the log's flush thread cannot be started: {0}")]
    Thread(#[source] std::io::Error),
}

impl OpenError {
    /// Whether the data is damaged, so that trying again is of no use.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::Corrupt(_))
    }
}

impl From<rocksdb::Error> for OpenError {
    fn from(error: rocksdb::Error) -> Self {
        if error.kind() == ErrorKind::Corruption { Self::Corrupt(error) } else { Self::Io(error) }
    }
}

/// The open database.
pub(super) struct Rocks {
    db: DB,
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

impl Rocks {
    /// Opens the database in `dir`, or makes it.
    pub(super) fn open(dir: &Path) -> Result<Self, OpenError> {
        let families = [
            ColumnFamilyDescriptor::new(META, family_options(META_MEMTABLE_BYTES)),
            ColumnFamilyDescriptor::new(LOGS, family_options(MEMTABLE_BYTES)),
        ];
        Ok(Self { db: DB::open_cf_descriptors(&database_options(), dir, families)? })
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
        match self.db.get_pinned_cf(&self.family(META), FORMAT_KEY)? {
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
        let Some(bytes) = self.db.get_pinned_cf(&self.family(META), what)? else {
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
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(record::key(range.start));
        if range.end < u64::MAX {
            options.set_iterate_upper_bound(record::key(range.end));
        }
        options.set_verify_checksums(true);
        let found = self.db.iterator_cf_opt(&self.family(LOGS), options, rocksdb::IteratorMode::Start);
        found.map(|found| {
            let (key, value) = found?;
            let index = record::index(&key).map_err(|error| Damage::Meta { what: "key", error })?;
            Ok(record::decode_record(index, &value).map_err(|error| Damage::Record { index, error })?)
        })
    }

    /// Writes `batch` without waiting for the disk.
    pub(super) fn write(&self, batch: Batch<'_>) -> Result<(), rocksdb::Error> {
        self.db.write(batch.changes)
    }

    /// Makes everything written before this call durable.
    pub(super) fn flush(&self) -> Result<(), rocksdb::Error> {
        self.db.flush_wal(true)
    }

    /// Frees the files that hold nothing but records up to `index`. They must have been purged durably.
    pub(super) fn drop_files(&self, index: u64) -> Result<(), rocksdb::Error> {
        self.db.delete_file_in_range_cf(&self.family(LOGS), record::key(0), record::key(index))
    }

    /// An empty batch for [`Rocks::write`].
    pub(super) fn batch(&self) -> Batch<'_> {
        Batch { rocks: self, changes: WriteBatch::default(), value: Vec::new() }
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("both families were opened")
    }
}

/// Why stored records could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Damaged(#[from] Damage),
    #[error(transparent)]
    Rocks(#[from] rocksdb::Error),
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged(damage) => damage.into(),
            ReadError::Rocks(error) => error.into(),
        }
    }
}

/// Changes that are written together or not at all.
pub(super) struct Batch<'a> {
    rocks: &'a Rocks,
    changes: WriteBatch,
    value: Vec<u8>,
}

impl Batch<'_> {
    pub(super) fn put_format(&mut self) {
        self.changes.put_cf(&self.rocks.family(META), FORMAT_KEY, FORMAT);
    }

    pub(super) fn put_ballot(&mut self, ballot: Ballot) {
        self.changes.put_cf(&self.rocks.family(META), BALLOT, record::encode_ballot(ballot));
    }

    pub(super) fn put_purged(&mut self, position: Position) {
        self.changes.put_cf(&self.rocks.family(META), PURGED, record::encode_position(position));
    }

    pub(super) fn put_received(&mut self, position: Position) {
        self.changes.put_cf(&self.rocks.family(META), RECEIVED, record::encode_position(position));
    }

    pub(super) fn put_committed(&mut self, position: Option<Position>) {
        let family = self.rocks.family(META);
        match position {
            Some(position) => self.changes.put_cf(&family, COMMITTED, record::encode_position(position)),
            None => self.changes.delete_cf(&family, COMMITTED),
        }
    }

    /// Adds a record; gives the bytes of its value.
    pub(super) fn put_record(&mut self, record: &Record) -> usize {
        record::encode_record(record, &mut self.value);
        self.changes.put_cf(&self.rocks.family(LOGS), record::key(record.position.index), &self.value);
        self.value.len()
    }

    /// Removes the records of `range`.
    pub(super) fn remove(&mut self, range: Range<u64>) {
        self.changes.delete_range_cf(
            &self.rocks.family(LOGS),
            record::key(range.start),
            record::key(range.end),
        );
    }
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // A torn end was never acknowledged and may go; anything else means that acknowledged records are damaged, and must
    // not open. The default mode would open, without them.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_manual_wal_flush(true);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(4);
    options
}

fn family_options(memtable_bytes: usize) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(memtable_bytes);
    options.set_max_write_buffer_number(MEMTABLES);
    options.set_compression_type(DBCompressionType::None);
    options.set_level_zero_file_num_compaction_trigger(FILES_BEFORE_COMPACTION);
    options.set_level_zero_slowdown_writes_trigger(FILES_BEFORE_SLOWDOWN);
    options.set_level_zero_stop_writes_trigger(FILES_BEFORE_STOP);
    options
}
