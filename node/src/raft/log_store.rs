//! The log as openraft wants it: an adapter of [`Log`], with no storage of its own.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use openraft::OptionalSend;
use openraft::entry::RaftEntry;
use openraft::storage::{RaftLogReader, RaftLogStorage};
use raftwork_kernel::mutants::mutant;
use tokio::sync::oneshot;

use super::blocking::blocking;
use super::image::{self, LogIdImage, MembershipImage, VoteImage};
use super::types::{Entry, EntryBytes, Flushed, LogId, LogState, Payload, TypeConfig, Vote};
use crate::failpoint::reach;
use crate::store::log::{Body, Done, Log, LogSize, Position, Record};

/// Bytes that one request to a follower may carry: some milliseconds of a disk, so that a follower that catches up
/// answers in time. An entry alone may be larger.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// The adapter; a clone is another handle on the same log.
#[derive(Debug, Clone)]
pub struct LogStore {
    log: Log,
}

impl LogStore {
    /// Adapts an open log.
    pub fn new(log: Log) -> Self {
        Self { log }
    }

    /// How large the log is.
    pub(super) fn size(&self) -> LogSize {
        self.log.size()
    }

    async fn read(&self, start: u64, end: u64, bytes_max: usize) -> Result<Vec<Entry>, io::Error> {
        if let Some(records) = self.log.read_cached(start..end, bytes_max) {
            return records.into_iter().map(to_entry).collect();
        }
        // A follower that is far behind; the disk must not hold up Raft's own threads.
        let log = self.log.clone();
        let records = blocking(move || log.read(start..end, bytes_max)).await??;
        records.into_iter().map(to_entry).collect()
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds(&range);
        self.read(start, end, usize::MAX).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.log.ballot().map(|ballot| VoteImage::from(ballot).into()))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, REQUEST_BYTES_MAX).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState, io::Error> {
        let (purged, last) = self.log.extent();
        Ok(LogState { last_purged_log_id: purged.map(to_log_id), last_log_id: last.map(to_log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        if mutant("M2") {
            self.log.save_ballot(VoteImage::from(*vote).into(), Box::new(drop));
            return Ok(());
        }
        reach("vote.before_sync");
        durable(|done| self.log.save_ballot(VoteImage::from(*vote).into(), done)).await?;
        reach("vote.after_sync");
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.log.save_committed(committed.map(to_position));
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.log.committed().map(to_log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: Flushed) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records = entries.into_iter().map(to_record).collect();
        reach("log.before_write");
        self.log.append(records, Box::new(|result| callback.io_completed(result)));
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        if !mutant("M13") {
            self.log.truncate_after(last_log_id.map(|id| id.index));
        }
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let end = self.log.extent().1.filter(|_| mutant("M14"));
        self.log.purge(end.unwrap_or_else(|| to_position(log_id)));
        Ok(())
    }
}

/// Waits until a write is durable.
pub(super) async fn durable(write: impl FnOnce(Done)) -> Result<(), io::Error> {
    let (told, waiting) = oneshot::channel();
    write(Box::new(move |result| {
        // Whoever waited may have been cancelled; the write is durable all the same.
        let _ = told.send(result);
    }));
    waiting.await.map_err(|_| io::Error::other("the log was closed"))?
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&end) => end.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

/// A log id as the log knows it.
pub(super) fn to_position(id: LogId) -> Position {
    LogIdImage::from(id).into()
}

fn to_log_id(position: Position) -> LogId {
    LogIdImage::from(position).into()
}

fn to_record(entry: Entry) -> Record {
    let position = to_position(entry.log_id());
    let body = match entry.payload {
        Payload::Blank => Body::Blank,
        Payload::Normal(EntryBytes(bytes)) => Body::Entry(bytes),
        Payload::Membership(membership) => {
            Body::Membership(image::encode(&MembershipImage::from(&membership)).into())
        }
    };
    Record { position, body }
}

fn to_entry(Record { position, body }: Record) -> Result<Entry, io::Error> {
    let payload = match body {
        Body::Blank => Payload::Blank,
        Body::Entry(bytes) => Payload::Normal(EntryBytes(bytes)),
        Body::Membership(bytes) => {
            let image: MembershipImage = image::decode(&bytes).map_err(io::Error::other)?;
            Payload::Membership(image.try_into().map_err(io::Error::other)?)
        }
    };
    Ok(Entry::new(to_log_id(position), payload))
}
