//! Tests of the log as a whole: what survives which crash, and which damage is refused.

mod behaviour;
mod crash;
mod damage;
mod reopen;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Ballot, Body, Done, Log, OpenError, Position, Record, Witness};

/// Longest wait for a disk.
const PATIENCE: Duration = Duration::from_mins(1);

fn at(term: u64, index: u64) -> Position {
    Position { term, node: 1, index }
}

fn record(term: u64, index: u64) -> Record {
    let body = match index {
        0 => Body::Membership(Bytes::from_static(b"members")),
        index if index % 10 == 1 => Body::Blank,
        index => Body::Entry(Bytes::from(format!("entry {index} of term {term}"))),
    };
    Record { position: at(term, index), body }
}

fn records(term: u64, indexes: std::ops::Range<u64>) -> Vec<Record> {
    indexes.map(|index| record(term, index)).collect()
}

/// A vote that no record of these tests is ahead of.
const VOTE: Ballot = Ballot { term: 99, node: 2, committed: true };

/// A log in a folder, as a test sees it: every write waits until it is durable, except where it says otherwise.
struct Fixture {
    folder: tempfile::TempDir,
    log: Log,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path(), None).unwrap();
        Self { folder, log }
    }

    /// With a vote and `count` records of term 1.
    fn with_records(count: u64) -> Self {
        let fixture = Self::new();
        fixture.vote();
        fixture.append(records(1, 0..count));
        fixture
    }

    fn append(&self, records: Vec<Record>) {
        durable(|done| self.log.append(records, done));
    }

    /// Also makes everything before it durable.
    fn vote(&self) {
        durable(|done| self.log.save_ballot(VOTE, done));
    }

    /// The folder as a crash of the process at this moment leaves it.
    fn crashed(&self) -> tempfile::TempDir {
        let started = Instant::now();
        loop {
            let before = listing(self.folder.path());
            let copy = copy_of(self.folder.path());
            // RocksDB moves data between files in the background; a copy across such a move shows no single moment.
            if listing(self.folder.path()) == before {
                return copy;
            }
            assert!(started.elapsed() < PATIENCE, "the folder never comes to rest");
        }
    }

    /// Crashes, and opens what is left.
    fn reopened(&self, applied: Option<u64>) -> Self {
        let folder = self.crashed();
        let log = open(folder.path(), applied).unwrap();
        Self { folder, log }
    }

    fn all(&self) -> Vec<Record> {
        self.log.read(0..u64::MAX, usize::MAX).unwrap()
    }

    fn extent(&self) -> (Option<u64>, Option<u64>) {
        let (purged, last) = self.log.extent();
        (purged.map(|purged| purged.index), last.map(|last| last.index))
    }
}

fn open(dir: &Path, applied: Option<u64>) -> Result<Log, OpenError> {
    Log::open(dir, Witness { applied, existed: applied.is_some() })
}

fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        match std::fs::copy(entry.path(), copy.path().join(entry.file_name())) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}"),
        }
    }
    copy
}

/// Names and sizes of the files in `dir`.
fn listing(dir: &Path) -> BTreeMap<OsString, u64> {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries.filter_map(|entry| Some((entry.file_name(), entry.metadata().ok()?.len()))).collect()
}

fn durable(write: impl FnOnce(Done)) {
    let (told, waiting) = mpsc::channel();
    write(Box::new(move |result| told.send(result).unwrap()));
    waiting.recv_timeout(PATIENCE).expect("the flush thread tells").unwrap();
}

/// The write-ahead log in `dir` that is being written.
fn live_wal(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "log")).max().expect("RocksDB has one")
}
