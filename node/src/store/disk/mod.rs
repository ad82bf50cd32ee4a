//! The seam between what is stored and what stores it.
//!
//! The log and the rows say what they need of a database in [`Database`], and a [`Disk`] opens one. [`RocksDisk`] is the
//! only disk of the daemon; the simulator brings another, whose crashes it can command.

mod recycled;
mod rocks;
mod wal;

use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use futures::future::BoxFuture;

pub use self::rocks::RocksDisk;

/// What a database says when it fails.
pub type Error = rocksdb::Error;
pub(super) use rocksdb::ErrorKind;
/// A key and its value.
pub type RawRow = (Box<[u8]>, Box<[u8]>);
/// Keys and values in the order of a scan.
pub type Scan<'a> = Box<dyn Iterator<Item = Result<RawRow, Error>> + 'a>;

/// Where databases are.
pub trait Disk: Send + Sync + 'static {
    /// Whether there is a database in `dir`, damaged or not.
    fn holds(&self, dir: &Path) -> bool;

    /// Opens the log's database in `dir`, or makes it. What a damaged one does not know of any more may be deleted.
    ///
    /// # Errors
    /// When it is damaged, or another process has it open.
    fn open_log(&self, dir: &Path) -> Result<Box<dyn Database>, Error>;

    /// Opens the log's database in `dir` for reading alone, which changes nothing there.
    ///
    /// # Errors
    /// As [`Disk::open_log`], and when there is none.
    fn read_log(&self, dir: &Path) -> Result<Box<dyn Database>, Error>;

    /// The number of the write-ahead log that the log's database in `dir` must have, and has not.
    ///
    /// # Errors
    /// What the file system says, or that what would tell is damaged.
    fn missing_wal(&self, _dir: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }

    /// A file of the database in `dir` that says of itself that it was recycled, which none ever is; to open it may take for ever.
    fn recycled(&self, _dir: &Path) -> Option<PathBuf> {
        None
    }

    /// Opens the rows' database in `dir`, or makes it.
    ///
    /// # Errors
    /// As [`Disk::open_log`].
    fn open_rows(&self, dir: &Path) -> Result<Box<dyn Database>, Error>;

    /// Opens the rows' database in `dir` for reading alone, which changes nothing there.
    ///
    /// # Errors
    /// As [`Disk::read_log`].
    fn read_rows(&self, dir: &Path) -> Result<Box<dyn Database>, Error>;

    /// Runs the log's flushing, which blocks on the disk, on a thread of its own; the thread ends when it does.
    ///
    /// # Errors
    /// When there is no such thread to be had.
    fn run_flushing(&self, flushing: BoxFuture<'static, ()>) -> io::Result<Option<JoinHandle<()>>>;
}

/// Reads; from a [`Database`] as it is, or from a view of one moment.
pub trait Reads {
    /// The value of a key.
    ///
    /// # Errors
    /// When the disk fails, or what it gave is not what was written.
    fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Rows from key `from` on, up to and without `to` if there is one, as they are now, whatever is written later.
    fn ascend<'a>(&'a self, family: &str, from: &[u8], to: Option<&[u8]>) -> Scan<'a>;

    /// Rows from key `from` on backwards.
    fn descend<'a>(&'a self, family: &str, from: &[u8]) -> Scan<'a>;
}

/// Families of sorted keys with values, changed by atomic batches.
pub trait Database: Reads + Send + Sync {
    /// An empty batch.
    fn batch(&self) -> Box<dyn Batch + '_>;

    /// Everything as it is at this moment.
    fn view(&self) -> Box<dyn Reads + '_>;

    /// Makes everything written before this call durable. Blocks, except in a simulation, which lets time pass.
    fn flush(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Frees the files that hold nothing but keys up to `to`, which must have been removed durably.
    ///
    /// # Errors
    /// When the disk fails.
    fn drop_files(&self, family: &str, to: &[u8]) -> Result<(), Error>;

    /// Makes a copy in the new folder `path` of everything written so far. Blocks.
    ///
    /// # Errors
    /// When the disk fails.
    fn checkpoint(&self, path: &Path) -> Result<(), Error>;
}

/// Changes that are made together or not at all, later ones on top of earlier ones.
pub trait Batch {
    /// Sets a value.
    fn put(&mut self, family: &str, key: &[u8], value: &[u8]);

    /// Removes a key.
    fn delete(&mut self, family: &str, key: &[u8]);

    /// Removes the keys from `from` up to and without `to`.
    fn delete_range(&mut self, family: &str, from: &[u8], to: &[u8]);

    /// Makes the changes. They can be read at once, and are durable after the next flush.
    ///
    /// # Errors
    /// When the disk fails.
    fn write(self: Box<Self>) -> Result<(), Error>;
}
