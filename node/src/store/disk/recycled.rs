//! Records that say they are of a recycled file, which no file of ours is.
//!
//! `RocksDB` can write a log over an older one, and marks the records of such a file by their types; here it is never told to.
//! One flipped bit turns a record's type into one of these. A reader that has met others before takes no step any more then, and
//! opens the file for ever; one that has not takes the whole file for an old one (`log_reader.cc` of 11.8: "A recycled log
//! should have started with a recycled record", which is returned without a step). Found by `raftwork-chaos run --nemesis
//! corrupt-manifest`. So the files are gone through before `RocksDB` sees them.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Records lie in blocks, in none of which one goes on from the last (`log_format.h`).
const BLOCK: u64 = 32 << 10;
/// Checksum, length, type.
const HEADER: usize = 4 + 2 + 1;
/// Types of the records of a recycled file: full, first, middle, last, size of timestamps, predecessor.
const RECYCLED: [u8; 6] = [5, 6, 7, 8, 11, 131];
/// What is added to a stored checksum (`crc32c.h`, `Mask`).
const MASK: u32 = 0xa282_ead8;

/// The first file in `dir` with such a record. What cannot be read here is left for `RocksDB` to say.
pub(super) fn find(dir: &Path) -> Option<PathBuf> {
    let entries = fs_err::read_dir(dir).ok()?;
    let mut files = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| has_records(path));
    files.find(|path| is_recycled(path).unwrap_or_default())
}

/// Whether it is a write-ahead log or a manifest.
fn has_records(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("MANIFEST-") || path.extension().is_some_and(|extension| extension == "log")
}

fn is_recycled(path: &Path) -> io::Result<bool> {
    let mut file = fs_err::File::open(path)?;
    let mut block = Vec::new();
    loop {
        block.clear();
        file.by_ref().take(BLOCK).read_to_end(&mut block)?;
        if block.is_empty() || says_so(&block) {
            return Ok(!block.is_empty());
        }
    }
}

/// Goes from record to record, as `RocksDB` does: what follows one that is not whole is of no meaning, up to the next block.
fn says_so(mut block: &[u8]) -> bool {
    while let Some(([c0, c1, c2, c3, l0, l1, kind], _)) = block.split_first_chunk::<HEADER>() {
        if RECYCLED.contains(kind) {
            return true;
        }
        let end = HEADER + usize::from(u16::from_le_bytes([*l0, *l1]));
        let stored = u32::from_le_bytes([*c0, *c1, *c2, *c3]).wrapping_sub(MASK).rotate_left(15);
        if block.get(HEADER - 1..end).is_none_or(|record| crc32c::crc32c(record) != stored) {
            return false;
        }
        block = &block[end..];
    }
    false
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::store::disk::{Database, Disk, RocksDisk};
    use crate::store::log::{Log, Witness, families};
    use crate::store::rows::{RowStore, columns};

    /// Writes to these families, so often.
    fn fill(db: &dyn Database, families: &[&str], times: u8) {
        for number in 0..times {
            let mut batch = db.batch();
            for family in families {
                batch.put(family, &[number], b"value");
            }
            batch.write().unwrap();
            futures::executor::block_on(db.flush()).unwrap();
        }
    }

    /// Opens the database of `file` with each byte of it damaged in turn: the bit is the one that makes a whole record one of a
    /// recycled file. Each time must end in a minute.
    fn ends_however_damaged(file: &Path, open: impl Fn(&Path) + Send + Clone + 'static) {
        let good = std::fs::read(file).unwrap();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << 2;
            std::fs::write(file, bytes).unwrap();
            let (dir, open, (said, says)) =
                (file.parent().unwrap().to_owned(), open.clone(), mpsc::channel());
            thread::spawn(move || {
                open(&dir);
                said.send(())
            });
            says.recv_timeout(Duration::from_mins(1)).unwrap_or_else(|_| panic!("byte {at}"));
        }
    }

    fn newest(dir: &Path, is_meant: impl Fn(&str) -> bool) -> PathBuf {
        let names =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        dir.join(names.filter(|name| is_meant(name)).max().unwrap())
    }

    #[test]
    fn rows_with_a_damaged_manifest_are_opened_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        fill(RocksDisk.open_rows(folder.path()).unwrap().as_ref(), &columns::names(), 2);
        assert_eq!(find(folder.path()), None);
        let manifest = newest(folder.path(), |name| name.starts_with("MANIFEST-"));
        let disk: Arc<dyn Disk> = Arc::new(RocksDisk);
        ends_however_damaged(&manifest, move |dir| drop(RowStore::applied_in(&disk, dir)));
    }

    #[test]
    fn a_log_with_a_damaged_write_ahead_log_is_opened_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        fill(RocksDisk.open_log(folder.path()).unwrap().as_ref(), &[families::LOGS], 20);
        assert_eq!(find(folder.path()), None);
        let wal =
            newest(folder.path(), |name| has_records(Path::new(name)) && !name.starts_with("MANIFEST-"));
        let witness = Witness { applied: None, existed: true };
        ends_however_damaged(&wal, move |dir| drop(Log::open(dir, witness)));
    }
}
