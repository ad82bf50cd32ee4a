//! How the log's families are kept by `RocksDB`.
//!
//! Family `meta` holds the format mark, the vote and three positions; `logs` holds the records. Both share one write-ahead
//! log, so that whatever is durable there implies everything written before it: a vote, a truncation or a purge can never
//! be overtaken by a later append.

use raftwork_kernel::mutants::mutant;
use rocksdb::{ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, Options};

pub(super) const META: &str = "meta";
pub(in crate::store) const LOGS: &str = "logs";

/// Memory for records that are not yet in a sorted file; a full one is written out beside the next.
const MEMTABLE_BYTES: usize = 32 << 20;
/// The same for `meta`, which holds a few values that change all the time.
const META_MEMTABLE_BYTES: usize = 4 << 20;
const MEMTABLES: i32 = 4;
/// The write-ahead log is kept until both families were written out, and one may wait long for the other. Opening
/// replays at most this much.
const WAL_BYTES_MAX: u64 = 128 << 20;
/// The log is written once, read seldom and purged by whole files, so sorted files may pile up before writes slow down.
const FILES_BEFORE_COMPACTION: i32 = 4;
const FILES_BEFORE_SLOWDOWN: i32 = 64;
const FILES_BEFORE_STOP: i32 = 128;

pub(in crate::store) fn descriptors() -> [ColumnFamilyDescriptor; 2] {
    [
        ColumnFamilyDescriptor::new(META, family_options(META_MEMTABLE_BYTES)),
        ColumnFamilyDescriptor::new(LOGS, family_options(MEMTABLE_BYTES)),
    ]
}

pub(in crate::store) fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // A torn end was never acknowledged and may go; anything else means that acknowledged records are damaged, and must
    // not open. The default mode would open, without them.
    let mode = if mutant("M15") {
        DBRecoveryMode::PointInTime
    } else {
        DBRecoveryMode::TolerateCorruptedTailRecords
    };
    options.set_wal_recovery_mode(mode);
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
