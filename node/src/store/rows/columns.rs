//! The column families of the row store: what each holds, under which key, and with which options.

use raftwork_kernel::mutants::mutant;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, Options,
};

/// One column family. Keys are given as they are encoded in [`super::keys`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Column {
    /// Function id -> function.
    Functions,
    /// Function id -> code, raw.
    Code,
    /// Task id -> task row.
    Tasks,
    /// Task id -> live task.
    Live,
    /// Task id -> terminal record.
    Records,
    /// Task id, token -> what the attempt printed.
    Outputs,
    /// Seq -> task id: the order of acceptance, for lists.
    BySeq,
    /// Log time, task id -> nothing: what may be forgotten when.
    ByExpiry,
    /// What the rows are worth: applied position, scalars, membership.
    Progress,
    /// Task id -> the rules under which it was submitted, if there were any.
    Rules,
    /// Name of a limit, encoded -> what is known of it.
    Limits,
    /// Name of a schedule -> how it stands.
    Schedules,
    /// Map id -> map row.
    Maps,
    /// Map id -> where it stands.
    MapStandings,
    /// Map id -> what is there of a map that is being sent.
    Uploads,
    /// Map id, place -> items of a map that have not become tasks.
    Pieces,
    /// Task id, token -> what is there of a large payload that is being sent.
    PayloadUploads,
    /// Task id, token, place -> a part of large arguments (token 0) or of a large result, raw.
    Parts,
}

impl Column {
    /// Every column family, in the order in which the digest reads them.
    pub(super) const ALL: [Self; 18] = [
        Self::Functions,
        Self::Code,
        Self::Tasks,
        Self::Live,
        Self::Records,
        Self::Outputs,
        Self::BySeq,
        Self::ByExpiry,
        Self::Progress,
        Self::Rules,
        Self::Limits,
        Self::Schedules,
        Self::Maps,
        Self::MapStandings,
        Self::Uploads,
        Self::Pieces,
        Self::PayloadUploads,
        Self::Parts,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Functions => "functions",
            Self::Code => "code",
            Self::Tasks => "tasks",
            Self::Live => "live",
            Self::Records => "records",
            Self::Outputs => "outputs",
            Self::BySeq => "by_seq",
            Self::ByExpiry => "by_expiry",
            Self::Progress => "progress",
            Self::Rules => "rules",
            Self::Limits => "limits",
            Self::Schedules => "schedules",
            Self::Maps => "maps",
            Self::MapStandings => "map_standings",
            Self::Uploads => "uploads",
            Self::Pieces => "pieces",
            Self::PayloadUploads => "payload_uploads",
            Self::Parts => "parts",
        }
    }

    /// Looked up by whole key, often in vain (is this task id new?): worth a Bloom filter.
    const fn is_looked_up(self) -> bool {
        matches!(self, Self::Functions | Self::Tasks | Self::Records | Self::Rules)
    }

    const fn memtable_bytes(self) -> usize {
        if matches!(self, Self::Parts) { PARTS_MEMTABLE_BYTES } else { MEMTABLE_BYTES }
    }

    fn descriptor(self, cache: &Cache) -> ColumnFamilyDescriptor {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
        // Indexes and filters in pieces: whole, those of one file are a megabyte or two, and a handful of files would turn
        // the cache over with every look-up (measured: after a million finished tasks two thirds of a node's time).
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        table.set_metadata_block_size(METADATA_BLOCK_BYTES);
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_pin_top_level_index_and_filter(true);
        if self.is_looked_up() {
            table.set_bloom_filter(10.0, false);
        }
        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        // A column that is flushed by itself is what this bug needs, and what would take hours to fill otherwise.
        options.set_write_buffer_size(if mutant("M10") { 32 << 10 } else { self.memtable_bytes() });
        options.set_compression_type(DBCompressionType::Lz4);
        ColumnFamilyDescriptor::new(self.name(), options)
    }
}

/// One column's memtable; all together are bounded by [`MEMTABLES_BYTES`].
const MEMTABLE_BYTES: usize = 32 << 20;
/// That of parts: they come faster than a large one is flushed, and are of no more use in memory than on disk.
const PARTS_MEMTABLE_BYTES: usize = 8 << 20;
/// All memtables of the store. With atomic flush, reaching it flushes every column.
const MEMTABLES_BYTES: usize = 64 << 20;
/// Blocks, indexes and filters kept in memory.
const CACHE_BYTES: usize = 32 << 20;
/// One piece of an index or filter: the smallest that is read at a time.
const METADATA_BLOCK_BYTES: usize = 4096;

/// The families' names.
pub(in crate::store) fn names() -> [&'static str; Column::ALL.len()] {
    Column::ALL.map(Column::name)
}

pub(in crate::store) fn descriptors() -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(CACHE_BYTES);
    Column::ALL.iter().map(|column| column.descriptor(&cache)).collect()
}

/// No write-ahead log is ever used (the Raft log is one), so the columns must reach the disk together: atomic flush.
pub(in crate::store) fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_atomic_flush(!mutant("M10"));
    options.set_db_write_buffer_size(MEMTABLES_BYTES);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(2);
    options.set_max_open_files(512);
    options
}
