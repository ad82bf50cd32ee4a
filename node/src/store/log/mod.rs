//! The durable log: Raft's vote and records in a `RocksDB` instance of their own.
//!
//! It is synchronous and knows nothing of Raft's library; `raft/log_store.rs` is its adapter. One [`Log`] is shared by
//! cheap clones: one writer at a time (Raft sees to that), and any number of readers.
//!
//! What it promises:
//! - a record, vote or received-snapshot mark is durable when its [`Done`] is told `Ok`, and so is everything before it;
//! - what was written is readable at once;
//! - after a crash the log is a prefix of what was written, at least up to the last thing that was called durable;
//! - a log that is found otherwise is refused ([`Damage`]), never repaired;
//! - the first error of the disk ends the process ([`fatal_io`]).

mod check;
mod counters;
pub(in crate::store) mod families;
mod fatal;
mod flush;
mod mark;
mod record;
mod tables;
mod tail;
#[cfg(test)]
mod tests;
mod weights;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

pub use check::{Damage, Witness};
pub use counters::Counters;
pub use fatal::fatal_io;
pub use flush::Done;
pub use record::{Ballot, Body, DecodeError, Position, Record};
pub use tables::OpenError;

use check::Found;
use flush::{Flusher, Job};
use mark::Mark;
use tables::{Batch, ReadError, Tables};
use tail::{Tail, within};
use weights::Weights;

use crate::failpoint::reach;
use crate::store::disk::{Disk, RocksDisk};

/// Memory for the newest records: some seconds of a busy leader, so that followers are served without a disk.
const TAIL_BYTES: usize = 32 << 20;

/// The open log; a clone is another handle on it.
#[derive(Clone)]
pub struct Log {
    // The order matters: the flush thread is ended and joined before the database is closed.
    flusher: Arc<Flusher>,
    tables: Arc<Tables>,
    state: Arc<Mutex<State>>,
    mark: Mark,
    counters: Arc<Counters>,
}

/// What is known without asking the disk. Held locked over every write, so that it and the database change as one.
#[derive(Debug)]
struct State {
    tail: Tail,
    weights: Weights,
    /// The lowest index that the log may hold.
    first: u64,
    ballot: Option<Ballot>,
    purged: Option<Position>,
    committed: Option<Position>,
    received: Option<Position>,
    last: Option<Position>,
}

impl Log {
    /// Opens the log in `dir`, or makes it, and checks it against `witness`. One that is refused is left as it is.
    ///
    /// Reads every record once. Blocks.
    pub fn open(dir: &Path, witness: Witness) -> Result<Self, OpenError> {
        Self::open_on(&RocksDisk, dir, witness)
    }

    /// The same on another disk than a real one.
    pub fn open_on(disk: &dyn Disk, dir: &Path, witness: Witness) -> Result<Self, OpenError> {
        let started = Instant::now();
        if let Some(number) = disk.missing_wal(dir).map_err(OpenError::Note)? {
            return Err(Damage::WalGone(number).into());
        }
        if let Some(file) = disk.recycled(dir) {
            return Err(OpenError::Recycled(file));
        }
        // Not opened to be written before it is checked: `RocksDB` deletes the files that its manifest does not name, and a
        // manifest that was cut short names fewer.
        let there = disk.holds(dir).then(|| disk.read_log(dir).map(Tables::new)).transpose()?;
        let (state, found) = load(there.as_ref())?;
        drop(there);
        check::verify(&found, witness)?;
        let tables = Tables::new(disk.open_log(dir)?);
        if !found.format {
            mark(&tables)?;
        }
        tracing::info!(
            last = ?found.last.map(|last| last.index),
            purged = ?found.purged.map(|purged| purged.index),
            millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "log opened and checked"
        );
        let (tables, counters) = (Arc::new(tables), Arc::new(Counters::default()));
        let flusher = Flusher::start(disk, Arc::clone(&tables), Arc::clone(&counters));
        let flusher = Arc::new(flusher.map_err(OpenError::Thread)?);
        let mark = Mark::at(found.last.map(|last| last.index));
        Ok(Self { flusher, tables, state: Arc::new(Mutex::new(state)), mark, counters })
    }

    /// Appends records, which must follow the last one; `done` is told when they are durable.
    pub fn append(&self, records: Vec<Record>, done: Done) {
        let mut state = self.lock();
        state.expect_next(&records);
        let mut batch = self.tables.batch();
        let bytes = records.iter().map(|record| batch.put_record(record)).sum();
        Self::write(batch, "appending to the log");
        self.counters.appended(records.len(), bytes);
        for record in records {
            state.last = Some(record.position);
            state.push(record);
        }
        let done = self.mark.reached_with(state.last, done);
        drop(state);
        self.flusher.queue(Job::Tell(done));
    }

    /// Waits until the record of this index, which must have been appended, is durable.
    pub async fn until_durable(&self, index: u64) {
        self.mark.reaches(index).await;
    }

    /// Stores the vote; `done` is told when it is durable.
    pub fn save_ballot(&self, ballot: Ballot, done: Done) {
        let mut state = self.lock();
        let mut batch = self.tables.batch();
        batch.put_ballot(ballot);
        Self::write(batch, "storing the vote");
        state.ballot = Some(ballot);
        drop(state);
        self.flusher.queue(Job::Tell(done));
    }

    /// Notes how far the log is committed. Durable with whatever is flushed next.
    pub fn save_committed(&self, committed: Option<Position>) {
        let mut state = self.lock();
        let mut batch = self.tables.batch();
        batch.put_committed(committed);
        Self::write(batch, "noting what is committed");
        state.committed = committed;
    }

    /// Notes that a snapshot up to `position` was received and is about to be installed; `done` is told when the note is
    /// durable. Only then may the state machine run ahead of the log.
    pub fn save_received(&self, position: Position, done: Done) {
        let mut state = self.lock();
        let mut batch = self.tables.batch();
        batch.put_received(position);
        Self::write(batch, "noting a received snapshot");
        state.received = Some(position);
        drop(state);
        self.flusher.queue(Job::Tell(done));
    }

    /// Removes the records after index `keep`, or all of them. Durable with whatever is flushed next.
    pub fn truncate_after(&self, keep: Option<u64>) {
        let mut state = self.lock();
        let from = keep.map_or(0, |index| index + 1).max(state.first);
        if state.last.is_none_or(|last| last.index < from) {
            return;
        }
        let last = from.checked_sub(1).and_then(|index| self.position_at(&state, index));
        let mut batch = self.tables.batch();
        batch.remove(from..u64::MAX);
        reach("truncate.mid");
        Self::write(batch, "truncating the log");
        state.tail.truncate_from(from);
        state.weights.truncate_from(from);
        state.last = last;
        self.mark.fall(last);
    }

    /// Forgets the records up to `position`, inclusive, which may lie beyond the last one. Durable with whatever is
    /// flushed next; the space is freed after that.
    pub fn purge(&self, position: Position) {
        let mut state = self.lock();
        if state.purged.is_some_and(|purged| purged.index >= position.index) {
            return;
        }
        let mut batch = self.tables.batch();
        batch.remove(state.first..position.index + 1);
        batch.put_purged(position);
        Self::write(batch, "purging the log");
        state.tail.purge(position.index);
        state.weights.purge(position.index);
        state.purged = Some(position);
        state.first = position.index + 1;
        state.last = state.last.filter(|last| last.index > position.index).or(Some(position));
        drop(state);
        self.flusher.queue(Job::DropFiles(position.index));
    }

    /// The records of `range` that the log has, from the first one, up to about `bytes_max` of memory but at least one.
    ///
    /// May read the disk, and then blocks. Errors: the disk failed, or what it gave is not what was written.
    pub fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Record>> {
        let state = self.lock();
        let range = state.clamp(range);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(records) = state.tail.read(range.clone(), bytes_max) {
            return Ok(records);
        }
        // The database gives what it holds now, whatever is written once the lock is gone.
        let stored = self.tables.records(range.clone());
        drop(state);
        self.counters.read_disk();
        collect(stored, range, bytes_max)
    }

    /// The same, but only if memory has it all.
    pub fn read_cached(&self, range: Range<u64>, bytes_max: usize) -> Option<Vec<Record>> {
        let state = self.lock();
        let range = state.clamp(range);
        if range.is_empty() { Some(Vec::new()) } else { state.tail.read(range, bytes_max) }
    }

    /// The vote.
    pub fn ballot(&self) -> Option<Ballot> {
        self.lock().ballot
    }

    /// What was committed when it was last noted.
    pub fn committed(&self) -> Option<Position> {
        self.lock().committed
    }

    /// The last record that was purged, and the last one there is (the purged one if there is none).
    pub fn extent(&self) -> (Option<Position>, Option<Position>) {
        let state = self.lock();
        (state.purged, state.last)
    }

    /// A look at its size that does not keep it open.
    pub fn size(&self) -> LogSize {
        LogSize(Arc::downgrade(&self.state))
    }

    /// What the log has done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn write(batch: Batch<'_>, doing: &str) {
        if let Err(error) = batch.write() {
            fatal_io(doing, &error);
        }
    }

    /// The position of the record before a truncation, which stays.
    fn position_at(&self, state: &State, index: u64) -> Option<Position> {
        if let Some(purged) = state.purged.filter(|purged| purged.index == index) {
            return Some(purged);
        }
        let range = index..index + 1;
        if let Some(record) =
            state.tail.read(range.clone(), usize::MAX).and_then(|records| records.into_iter().next())
        {
            return Some(record.position);
        }
        match collect(self.tables.records(range.clone()), range, usize::MAX) {
            Ok(records) => records.first().map(|record| record.position),
            Err(error) => fatal_io("reading the log before a truncation", &error),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How large a log is, for as long as it is open.
#[derive(Debug, Clone)]
pub struct LogSize(Weak<Mutex<State>>);

impl LogSize {
    /// Bytes of all records, to about a mebibyte; `None` once the log is closed.
    pub fn bytes(&self) -> Option<u64> {
        self.look(|state| state.weights.held())
    }

    /// The last record that can go so that at least `bytes` of records are left, to about a mebibyte.
    pub fn leaving(&self, bytes: u64) -> Option<u64> {
        self.look(|state| state.weights.leaving(bytes)).flatten()
    }

    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> Option<T> {
        let state = self.0.upgrade()?;
        Some(look(&state.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("state", &*self.lock()).finish_non_exhaustive()
    }
}

impl State {
    /// Records follow one another, and the last one. An empty log may begin anywhere; Raft begins at 0, and a log that
    /// began elsewhere is refused when it is opened.
    fn expect_next(&mut self, records: &[Record]) {
        let Some(first) = records.first() else { return };
        if self.last.is_none() {
            self.first = first.position.index;
        }
        for (record, next) in records.iter().zip(self.next()..) {
            assert_eq!(record.position.index, next, "a record must follow the last one, {:?}", self.last);
        }
    }

    fn push(&mut self, record: Record) {
        self.weights.push(record.position.index, record.cost());
        self.tail.push(record);
    }

    /// The index that the next record must have.
    fn next(&self) -> u64 {
        self.last.map_or(self.first, |last| last.index + 1)
    }

    /// The part of `range` that the log holds.
    fn clamp(&self, range: Range<u64>) -> Range<u64> {
        range.start.max(self.first)..range.end.min(self.next())
    }
}

/// Reads everything once: the values of `meta`, and every record from the purged one on.
fn load(tables: Option<&Tables>) -> Result<(State, Found), OpenError> {
    let meta = tables.map_or_else(|| Ok(tables::Meta::default()), Tables::meta)?;
    let (mut tail, mut weights) = (Tail::new(TAIL_BYTES), Weights::default());
    let mut last = meta.purged;
    let first = meta.purged.map_or(0, |purged| purged.index + 1);
    let records = tables.into_iter().flat_map(|tables| tables.records(first..u64::MAX));
    for (expected, record) in (first..).zip(records) {
        let record = record?;
        let found = record.position.index;
        if found != expected {
            return Err(Damage::Hole { expected, found }.into());
        }
        last = Some(record.position);
        weights.push(found, record.cost());
        tail.push(record);
    }
    let tables::Meta { format, ballot, purged, committed, received } = meta;
    let found = Found { format, ballot, purged, committed, received, last };
    Ok((State { tail, weights, first, ballot, purged, committed, received, last }, found))
}

/// Marks a new log as one.
fn mark(tables: &Tables) -> Result<(), OpenError> {
    let mut batch = tables.batch();
    batch.put_format();
    batch.write()?;
    futures::executor::block_on(tables.flush())?;
    Ok(())
}

/// The stored records of `range`, which must all be there, up to `bytes_max`.
fn collect(
    stored: impl Iterator<Item = Result<Record, ReadError>>,
    range: Range<u64>,
    bytes_max: usize,
) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut budget = bytes_max;
    let mut next = range.start;
    for record in stored {
        let record = record.map_err(io::Error::other)?;
        let found = record.position.index;
        if found != next {
            return Err(io::Error::other(Damage::Hole { expected: next, found }));
        }
        if !within(&mut budget, bytes_max, &record) {
            return Ok(records);
        }
        next += 1;
        records.push(record);
    }
    if next == range.end {
        return Ok(records);
    }
    Err(io::Error::other(Damage::Hole { expected: next, found: range.end }))
}
