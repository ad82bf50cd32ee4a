//! Which write-ahead log is in use, noted beside it.
//!
//! `RocksDB` knows from its manifest which older ones there must be, but opens without complaint when the one that was being
//! written is gone, and everything since the last sorted file with it. A node that did the same would have forgotten what
//! it promised. So the number is noted whenever another log comes into use, durably, and before anything in it is called
//! durable. Found by `raftwork-chaos run --nemesis corrupt-wal`, which deletes such a file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::store::durable;

/// Name of the note; `RocksDB` leaves alone what it does not know.
const NOTE: &str = "wal-in-use";
/// What a file system may take for one moment: within it, a folder's time may stay as it is though a file came.
const TICK: Duration = Duration::from_millis(100);

/// The number of the log in `dir` that is noted and gone.
///
/// A newer one is as good: it came into use after everything in the noted one was in sorted files, or beside it.
pub(super) fn missing(dir: &Path) -> io::Result<Option<u64>> {
    let noted = match fs_err::read_to_string(dir.join(NOTE)) {
        Ok(text) => text.trim().parse().map_err(|_| {
            let text = format!("{} says {text:?}, which is no number", dir.join(NOTE).display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        })?,
        // A folder that was never written to, or one of a build that made no notes.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok((newest(dir)? < Some(noted)).then_some(noted))
}

/// The number of the newest write-ahead log in `dir`.
fn newest(dir: &Path) -> io::Result<Option<u64>> {
    let mut newest = None;
    for entry in fs_err::read_dir(dir)? {
        let name = entry?.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|stem| stem.parse().ok());
        newest = newest.max(number);
    }
    Ok(newest)
}

/// Keeps the note.
pub(super) struct WalNote {
    dir: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// What is noted.
    number: Option<u64>,
    /// When the folder had changed last, if no file can have come since without a later time.
    settled: Option<SystemTime>,
}

impl WalNote {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), seen: Mutex::default() }
    }

    /// Notes the newest log if it is not noted yet. Costs one look at the folder's time as a rule.
    pub(super) fn keep(&self) -> io::Result<()> {
        match self.try_keep() {
            // The whole folder was taken away: whoever opens it next finds no log at all, and refuses.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.dir.exists() => Ok(()),
            kept => kept,
        }
    }

    fn try_keep(&self) -> io::Result<()> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = fs_err::metadata(&self.dir)?.modified()?;
        if seen.settled == Some(changed) {
            return Ok(());
        }
        let number = newest(&self.dir)?;
        if let Some(number) = number.filter(|_| number != seen.number) {
            durable::write(&self.dir.join(NOTE), number.to_string().as_bytes())?;
        }
        seen.number = number;
        seen.settled = changed.elapsed().is_ok_and(|age| age > TICK).then_some(changed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with logs of these numbers.
    fn folder(numbers: &[u64]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder can be made");
        for number in numbers {
            std::fs::write(folder.path().join(format!("{number:06}.log")), b"").expect("it is ours");
        }
        folder
    }

    fn remove(folder: &tempfile::TempDir, number: u64) {
        std::fs::remove_file(folder.path().join(format!("{number:06}.log"))).expect("it is there");
    }

    #[test]
    fn the_log_in_use_is_missed_and_an_older_one_is_not() {
        let folder = folder(&[4, 9]);
        assert_eq!(missing(folder.path()).unwrap(), None);
        WalNote::new(folder.path()).keep().unwrap();
        remove(&folder, 4);
        assert_eq!(missing(folder.path()).unwrap(), None);
        remove(&folder, 9);
        assert_eq!(missing(folder.path()).unwrap(), Some(9));
    }

    /// Not every file system has another time for a folder into which a file came so soon.
    #[test]
    fn a_log_that_comes_into_use_is_noted_however_soon() {
        let folder = folder(&[4]);
        let note = WalNote::new(folder.path());
        note.keep().unwrap();
        for number in 5..10 {
            note.keep().unwrap();
            let before = std::fs::metadata(folder.path()).unwrap().modified().unwrap();
            std::fs::write(folder.path().join(format!("{number:06}.log")), b"").unwrap();
            let times = std::fs::FileTimes::new().set_modified(before);
            std::fs::File::open(folder.path()).unwrap().set_times(times).unwrap();
            note.keep().unwrap();
            remove(&folder, number);
            assert_eq!(missing(folder.path()).unwrap(), Some(number));
        }
    }

    #[test]
    fn a_log_may_be_gone_once_the_next_is_there() {
        let folder = folder(&[4]);
        WalNote::new(folder.path()).keep().unwrap();
        remove(&folder, 4);
        std::fs::write(folder.path().join("000011.log"), b"").unwrap();
        assert_eq!(missing(folder.path()).unwrap(), None);
    }

    #[test]
    fn a_damaged_note_is_no_number() {
        let folder = folder(&[4]);
        std::fs::write(folder.path().join(NOTE), b"4x").unwrap();
        assert_eq!(missing(folder.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
