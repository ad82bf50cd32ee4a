//! The rows of the state machine in RocksDB: finished tasks, payloads, results, functions, and every live task.
//!
//! No write-ahead log: after a crash the rows are as of their last flush, and the Raft log is applied again from there.
//! Each entry's rows and its position are written in one batch, and atomic flush keeps them together on disk. An I/O error
//! stops the process ([`fatal_io`]): a replica that answers "no such row" by mistake would diverge.

pub(in crate::store) mod columns;
mod digest;
mod keys;
mod maps;
mod pages;
mod parts;
mod progress;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use raftwork_kernel::mutants::mutant;
use raftwork_kernel::{
    Change, Function, FunctionId, Limit, LimitName, MapId, MapRow, MapStanding, Output, PayloadId, Piece,
    Record, Rows, Rules, Scalars, Schedule, State, Task, TaskId, TaskRow, Token, Upload, decode, encode,
};
use serde::de::DeserializeOwned;

use self::columns::Column;
pub use self::progress::{Progress, StoredMembers};
use crate::store::disk::{self, Batch, Database, Disk, RawRow};
use crate::store::fatal_io;
use crate::store::folder::Folder;

const APPLIED: &[u8] = b"applied";
const MEMBERS: &[u8] = b"members";

/// Why rows could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenRowsError {
    /// RocksDB refuses the folder.
    #[error(
        "cannot open the rows in {path}: {source}. Rebuild this node: remove it from the cluster, empty its data folder, add it as a new node"
    )]
    Database {
        /// The folder.
        path: PathBuf,
        /// What RocksDB says.
        source: disk::Error,
    },
    /// A file has a damaged record at which RocksDB would not end.
    #[error(
        "{0} is damaged: it has a record of a recycled file, and none is ever recycled. Rebuild this node: remove it from the cluster, empty its data folder, add it as a new node"
    )]
    Recycled(PathBuf),
    /// A row is not what it should be.
    #[error(
        "the rows in {path} are damaged: {source}. Rebuild this node: remove it from the cluster, empty its data folder, add it as a new node"
    )]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// Which row, and how.
        source: raftwork_kernel::DecodeError,
    },
}

/// One generation of rows: a database in a folder.
pub struct RowStore {
    db: Box<dyn Database>,
    disk: Arc<dyn Disk>,
    // After the database: it is closed before its folder goes.
    folder: Folder,
}

impl RowStore {
    /// Opens the rows in `path` of `disk`, making an empty store if there is none.
    ///
    /// # Errors
    /// When RocksDB finds damage, or another process has it open.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, OpenRowsError> {
        Self::new(disk, path, |disk| disk.open_rows(path))
    }

    /// Index of the last entry whose effects are in the rows in `path` of `disk`, if there are any. Changes nothing there.
    ///
    /// # Errors
    /// As [`RowStore::open`].
    pub fn applied_in(disk: &Arc<dyn Disk>, path: &Path) -> Result<Option<u64>, OpenRowsError> {
        if !disk.holds(path) {
            return Ok(None);
        }
        let rows = Self::new(Arc::clone(disk), path, |disk| disk.read_rows(path))?;
        Ok(rows.progress()?.applied.map(|position| position.index))
    }

    /// Opens other rows, in `path` of the same disk.
    ///
    /// # Errors
    /// As [`RowStore::open`].
    pub fn open_other(&self, path: &Path) -> Result<Self, OpenRowsError> {
        Self::open(Arc::clone(&self.disk), path)
    }

    /// The same, for reading alone.
    ///
    /// # Errors
    /// As [`RowStore::open`].
    pub fn read_other(&self, path: &Path) -> Result<Self, OpenRowsError> {
        Self::new(Arc::clone(&self.disk), path, |disk| disk.read_rows(path))
    }

    fn new(
        disk: Arc<dyn Disk>,
        path: &Path,
        open: impl FnOnce(&dyn Disk) -> Result<Box<dyn Database>, disk::Error>,
    ) -> Result<Self, OpenRowsError> {
        if let Some(file) = disk.recycled(path) {
            return Err(OpenRowsError::Recycled(file));
        }
        let db = open(disk.as_ref())
            .map_err(|source| OpenRowsError::Database { path: path.to_owned(), source })?;
        Ok(Self { db, disk, folder: Folder::new(path) })
    }

    /// The folder. Mark it as replaced, and it goes with this store.
    pub const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// What the rows are worth.
    ///
    /// # Errors
    /// When that row is damaged.
    pub fn progress(&self) -> Result<Progress, OpenRowsError> {
        self.checked(Column::Progress, "progress", APPLIED).map(Option::unwrap_or_default)
    }

    /// The last applied membership.
    ///
    /// # Errors
    /// When that row is damaged.
    pub fn members(&self) -> Result<StoredMembers, OpenRowsError> {
        self.checked(Column::Progress, "membership", MEMBERS).map(Option::unwrap_or_default)
    }

    /// Rebuilds the live state. Reads every live row once.
    ///
    /// # Errors
    /// When a row is damaged.
    pub fn restore(&self, scalars: Scalars) -> Result<State, OpenRowsError> {
        let mut failed = None;
        let rows = self.db.ascend(Column::Live.name(), &[], None);
        // One at a time: all of them at once would double the memory of a start.
        let live = rows.map_while(|row| self.live_task(row).map_err(|error| failed = Some(error)).ok());
        let state = State::restore(scalars, live, self);
        failed.map_or(Ok(state), Err)
    }

    fn live_task(&self, row: Result<RawRow, disk::Error>) -> Result<(TaskId, Task), OpenRowsError> {
        let (key, value) =
            row.map_err(|source| OpenRowsError::Database { path: self.folder.path().to_owned(), source })?;
        let task = decode("live task", &value).map_err(|source| self.damaged(source))?;
        let key = key.as_ref().try_into().expect("every key of this column is a task id");
        Ok((TaskId::from_bytes(key), task))
    }

    fn checked<T: DeserializeOwned>(
        &self,
        column: Column,
        what: &'static str,
        key: &[u8],
    ) -> Result<Option<T>, OpenRowsError> {
        self.get(column, key)
            .map(|value| decode(what, &value))
            .transpose()
            .map_err(|source| self.damaged(source))
    }

    fn damaged(&self, source: raftwork_kernel::DecodeError) -> OpenRowsError {
        OpenRowsError::Damaged { path: self.folder.path().to_owned(), source }
    }

    /// Writes one entry's changes together with what the rows are worth after it.
    pub fn write(&self, changes: &[Change], progress: &Progress, members: Option<&StoredMembers>) {
        let mut batch = self.db.batch();
        for change in changes {
            self.stage(batch.as_mut(), change);
        }
        if mutant("M9") {
            batch.write().unwrap_or_else(|error| fatal_io("write rows", &error));
            batch = self.db.batch();
        }
        put(batch.as_mut(), Column::Progress, APPLIED, &encode(progress));
        if let Some(members) = members {
            put(batch.as_mut(), Column::Progress, MEMBERS, &encode(members));
        }
        batch.write().unwrap_or_else(|error| fatal_io("write rows", &error));
    }

    fn stage(&self, batch: &mut dyn Batch, change: &Change) {
        match change {
            Change::PutUpload { .. }
            | Change::DeleteUpload { .. }
            | Change::PutPiece { .. }
            | Change::DeletePieces { .. }
            | Change::PutMap { .. }
            | Change::PutMapStanding { .. }
            | Change::ForgetMap { .. } => Self::stage_map(batch, change),
            Change::PutPayloadUpload { .. }
            | Change::DeletePayloadUpload { .. }
            | Change::PutPart { .. }
            | Change::DeleteParts { .. } => Self::stage_part(batch, change),
            Change::PutFunction { id, function, code } => {
                put(batch, Column::Functions, id.as_bytes(), &encode(function));
                put(batch, Column::Code, id.as_bytes(), code);
            }
            Change::PutTask { id, row } => {
                put(batch, Column::Tasks, id.as_bytes(), &encode(row));
                put(batch, Column::BySeq, &keys::seq(row.seq), id.as_bytes());
            }
            Change::PutRules { id, rules } => put(batch, Column::Rules, id.as_bytes(), &encode(rules)),
            Change::PutLive { id, task } => put(batch, Column::Live, id.as_bytes(), &encode(task)),
            Change::DeleteLive { id } => batch.delete(Column::Live.name(), id.as_bytes()),
            Change::PutRecord { id, record } => {
                put(batch, Column::Records, id.as_bytes(), &encode(record));
                put(batch, Column::ByExpiry, &keys::expiry(record.expires, *id), &[]);
            }
            Change::PutOutput { task, token, output } => {
                put(batch, Column::Outputs, &keys::output(*task, *token), &encode(output));
            }
            Change::PutLimit { name, limit } => put(batch, Column::Limits, &encode(name), &encode(limit)),
            Change::DeleteLimit { name } => batch.delete(Column::Limits.name(), &encode(name)),
            Change::PutSchedule { name, schedule } => {
                put(batch, Column::Schedules, name.as_bytes(), &encode(schedule));
            }
            Change::DeleteSchedule { name } => batch.delete(Column::Schedules.name(), name.as_bytes()),
            Change::Forget { id, row, record, ruled } => {
                self.stage_forget(batch, *id, row, record);
                if *ruled {
                    batch.delete(Column::Rules.name(), id.as_bytes());
                }
            }
        }
    }

    fn stage_forget(&self, batch: &mut dyn Batch, id: TaskId, row: &TaskRow, record: &Record) {
        batch.delete(Column::Tasks.name(), id.as_bytes());
        batch.delete(Column::BySeq.name(), &keys::seq(row.seq));
        batch.delete(Column::Records.name(), id.as_bytes());
        batch.delete(Column::ByExpiry.name(), &keys::expiry(record.expires, id));
        for (token, _) in self.outputs(&id) {
            batch.delete(Column::Outputs.name(), &keys::output(id, token));
        }
    }

    /// The bug: a snapshot without what keeps keys from being used twice.
    #[cfg(feature = "mutants")]
    pub fn lose_what_has_ended(&self) {
        let mut batch = self.db.batch();
        for (key, _) in self.scan_prefix(Column::Records, &[]) {
            batch.delete(Column::Records.name(), &key);
            batch.delete(Column::Tasks.name(), &key);
        }
        batch.write().unwrap_or_else(|error| fatal_io("write rows", &error));
    }

    /// Makes everything written so far durable. Blocks.
    pub fn flush(&self) {
        futures::executor::block_on(self.db.flush()).unwrap_or_else(|error| fatal_io("flush rows", &error));
    }

    /// Makes a copy in `path` (hard links where possible) of everything written so far. Blocks.
    ///
    /// # Errors
    /// What RocksDB says.
    pub fn checkpoint(&self, path: &Path) -> Result<(), disk::Error> {
        self.db.checkpoint(path)
    }

    /// The code of a function.
    pub fn code(&self, id: &FunctionId) -> Option<Bytes> {
        self.get(Column::Code, id.as_bytes()).map(Bytes::from)
    }

    /// What a task's attempts printed, oldest first.
    pub fn outputs(&self, id: &TaskId) -> Vec<(Token, Output)> {
        self.scan_prefix(Column::Outputs, id.as_bytes())
            .map(|(key, value)| {
                let token = keys::parse_output_token(&key).expect("every key of this column ends in a token");
                (token, self.decoded("output", &value))
            })
            .collect()
    }

    fn get(&self, column: Column, key: &[u8]) -> Option<Vec<u8>> {
        self.db.get(column.name(), key).unwrap_or_else(|error| fatal_io("read a row", &error))
    }

    fn row<T: DeserializeOwned>(&self, column: Column, what: &'static str, key: &[u8]) -> Option<T> {
        self.get(column, key).map(|value| self.decoded(what, &value))
    }

    /// A row that does not decode is damage that the open-time checks could not see: stop, as for an I/O error.
    fn decoded<T: DeserializeOwned>(&self, what: &'static str, value: &[u8]) -> T {
        decode(what, value).unwrap_or_else(|error| fatal_io("decode a row", &self.damaged(error)))
    }

    fn scan_prefix<'s>(&'s self, column: Column, prefix: &'s [u8]) -> impl Iterator<Item = RawRow> + 's {
        self.db
            .ascend(column.name(), prefix, None)
            .map(|item| item.unwrap_or_else(|error| fatal_io("scan rows", &error)))
            .take_while(|(key, _)| key.starts_with(prefix))
    }
}

fn put(batch: &mut dyn Batch, column: Column, key: &[u8], value: &[u8]) {
    batch.put(column.name(), key, value);
}

impl Rows for RowStore {
    fn function(&self, id: &FunctionId) -> Option<Function> {
        self.row(Column::Functions, "function", id.as_bytes())
    }

    fn task(&self, id: &TaskId) -> Option<TaskRow> {
        self.row(Column::Tasks, "task", id.as_bytes())
    }

    fn record(&self, id: &TaskId) -> Option<Record> {
        self.row(Column::Records, "record", id.as_bytes())
    }

    fn rules(&self, id: &TaskId) -> Option<Rules> {
        self.row(Column::Rules, "rules", id.as_bytes())
    }

    fn limits(&self) -> Vec<(LimitName, Limit)> {
        self.scan_prefix(Column::Limits, &[])
            .map(|(name, limit)| (self.decoded("limit's name", &name), self.decoded("limit", &limit)))
            .collect()
    }

    fn schedules(&self) -> Vec<(String, Schedule)> {
        let name =
            |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a name was text when it was written");
        self.scan_prefix(Column::Schedules, &[])
            .map(|(key, value)| (name(&key), self.decoded("schedule", &value)))
            .collect()
    }

    fn map(&self, id: &MapId) -> Option<(MapRow, MapStanding)> {
        Some((self.map_row(id)?, self.map_standing(id)?))
    }

    fn live_maps(&self) -> Vec<(MapId, MapRow, MapStanding)> {
        self.maps_that_live()
    }

    fn uploads(&self) -> Vec<(MapId, Upload)> {
        self.all_uploads()
    }

    fn piece(&self, map: &MapId, index: u32) -> Option<Piece> {
        self.piece_row(map, index)
    }

    fn payload_uploads(&self) -> Vec<(PayloadId, Upload)> {
        self.all_payload_uploads()
    }

    fn part(&self, of: &PayloadId, index: u32) -> Option<Bytes> {
        self.part_row(*of, index)
    }
}
