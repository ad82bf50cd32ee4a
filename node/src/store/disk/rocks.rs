//! `RocksDB` as the database, on a real disk.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use futures::future::BoxFuture;
use raftwork_kernel::mutants::mutant;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    ColumnFamily, DB, Direction, FlushOptions, IteratorMode, ReadOptions, Snapshot, WriteBatch, WriteOptions,
};

use super::wal::{self, WalNote};
use super::{Batch, Database, Disk, Error, Reads, Scan, recycled};
use crate::store::log::{families as log, fatal_io};
use crate::store::rows::columns;

/// The file that says which manifest counts: without it, `RocksDB` takes a folder for an empty one.
const CURRENT: &str = "CURRENT";

/// Real disks.
#[derive(Debug, Clone, Copy, Default)]
pub struct RocksDisk;

impl Disk for RocksDisk {
    fn holds(&self, dir: &Path) -> bool {
        dir.join(CURRENT).exists()
    }

    fn open_log(&self, dir: &Path) -> Result<Box<dyn Database>, Error> {
        let db = DB::open_cf_descriptors(&log::database_options(), dir, log::descriptors())?;
        Ok(Box::new(Rocks::of_log(db, dir)))
    }

    fn read_log(&self, dir: &Path) -> Result<Box<dyn Database>, Error> {
        let db = DB::open_cf_descriptors_read_only(&log::database_options(), dir, log::descriptors(), false)?;
        Ok(Box::new(Rocks::of_log(db, dir)))
    }

    fn missing_wal(&self, dir: &Path) -> io::Result<Option<u64>> {
        wal::missing(dir)
    }

    fn recycled(&self, dir: &Path) -> Option<PathBuf> {
        recycled::find(dir)
    }

    fn open_rows(&self, dir: &Path) -> Result<Box<dyn Database>, Error> {
        let db = DB::open_cf_descriptors(&columns::database_options(), dir, columns::descriptors())?;
        Ok(Box::new(Rocks::of_rows(db)))
    }

    fn read_rows(&self, dir: &Path) -> Result<Box<dyn Database>, Error> {
        // Those that are there: an earlier build had fewer.
        let names = DB::list_cf(&columns::database_options(), dir)?;
        let db = DB::open_cf_for_read_only(&columns::database_options(), dir, names, false)?;
        Ok(Box::new(Rocks::of_rows(db)))
    }

    fn run_flushing(&self, flushing: BoxFuture<'static, ()>) -> io::Result<Option<JoinHandle<()>>> {
        let run = move || futures::executor::block_on(flushing);
        thread::Builder::new().name("log-flush".into()).spawn(run).map(Some)
    }
}

/// An open database.
struct Rocks {
    db: DB,
    options: WriteOptions,
    flushing: Flushing,
}

/// What a flush does.
enum Flushing {
    /// Syncs the write-ahead log, and notes which one that is.
    Log(WalNote),
    /// Writes out what memory holds: there is no write-ahead log.
    Memory,
}

impl Rocks {
    fn of_log(db: DB, dir: &Path) -> Self {
        Self { db, options: WriteOptions::default(), flushing: Flushing::Log(WalNote::new(dir)) }
    }

    fn of_rows(db: DB) -> Self {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        Self { db, options, flushing: Flushing::Memory }
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("all families were opened together")
    }

    fn flush_now(&self) -> Result<(), Error> {
        match &self.flushing {
            Flushing::Log(note) => {
                if mutant("M19") { self.flush_and_hope() } else { self.db.flush_wal(true) }?;
                if let Err(error) = note.keep() {
                    fatal_io("noting the write-ahead log in use", &error);
                }
                Ok(())
            }
            Flushing::Memory => {
                let families: Vec<&ColumnFamily> = columns::names().map(|name| self.family(name)).into();
                let mut options = FlushOptions::default();
                options.set_wait(true);
                self.db.flush_cfs_opt(&families, &options)
            }
        }
    }
}

#[cfg(feature = "mutants")]
impl Rocks {
    /// The bug: a failed sync is taken for a success.
    fn flush_and_hope(&self) -> Result<(), Error> {
        self.db.flush_wal(false)?;
        for entry in std::fs::read_dir(self.db.path()).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                let _ = std::fs::File::open(entry.path()).and_then(|file| file.sync_data());
            }
        }
        Ok(())
    }
}

#[cfg(not(feature = "mutants"))]
impl Rocks {
    fn flush_and_hope(&self) -> Result<(), Error> {
        self.db.flush_wal(true)
    }
}

/// The keys of a scan. Each block that it reads is checked: what is stored is promised to others.
fn bounds(from: &[u8], to: Option<&[u8]>) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(from);
    if let Some(to) = to {
        options.set_iterate_upper_bound(to);
    }
    options.set_verify_checksums(true);
    options
}

impl Reads for Rocks {
    fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.db.get_cf(self.family(family), key)
    }

    fn ascend<'a>(&'a self, family: &str, from: &[u8], to: Option<&[u8]>) -> Scan<'a> {
        Box::new(self.db.iterator_cf_opt(self.family(family), bounds(from, to), IteratorMode::Start))
    }

    fn descend<'a>(&'a self, family: &str, from: &[u8]) -> Scan<'a> {
        Box::new(self.db.iterator_cf(self.family(family), IteratorMode::From(from, Direction::Reverse)))
    }
}

impl Database for Rocks {
    fn batch(&self) -> Box<dyn Batch + '_> {
        Box::new(RocksBatch { rocks: self, changes: WriteBatch::default() })
    }

    fn view(&self) -> Box<dyn Reads + '_> {
        Box::new(View { rocks: self, snapshot: self.db.snapshot() })
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { self.flush_now() })
    }

    fn drop_files(&self, family: &str, to: &[u8]) -> Result<(), Error> {
        self.db.delete_file_in_range_cf(self.family(family), [].as_slice(), to)
    }

    fn checkpoint(&self, path: &Path) -> Result<(), Error> {
        Checkpoint::new(&self.db)?.create_checkpoint(path)
    }
}

struct View<'a> {
    rocks: &'a Rocks,
    snapshot: Snapshot<'a>,
}

impl Reads for View<'_> {
    fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.snapshot.get_cf(self.rocks.family(family), key)
    }

    fn ascend<'a>(&'a self, family: &str, from: &[u8], to: Option<&[u8]>) -> Scan<'a> {
        let family = self.rocks.family(family);
        Box::new(self.snapshot.iterator_cf_opt(family, bounds(from, to), IteratorMode::Start))
    }

    fn descend<'a>(&'a self, family: &str, from: &[u8]) -> Scan<'a> {
        let from = IteratorMode::From(from, Direction::Reverse);
        Box::new(self.snapshot.iterator_cf(self.rocks.family(family), from))
    }
}

struct RocksBatch<'a> {
    rocks: &'a Rocks,
    changes: WriteBatch,
}

impl Batch for RocksBatch<'_> {
    fn put(&mut self, family: &str, key: &[u8], value: &[u8]) {
        self.changes.put_cf(self.rocks.family(family), key, value);
    }

    fn delete(&mut self, family: &str, key: &[u8]) {
        self.changes.delete_cf(self.rocks.family(family), key);
    }

    fn delete_range(&mut self, family: &str, from: &[u8], to: &[u8]) {
        self.changes.delete_range_cf(self.rocks.family(family), from, to);
    }

    fn write(self: Box<Self>) -> Result<(), Error> {
        self.rocks.db.write_opt(self.changes, &self.rocks.options)
    }
}
