//! Damage to the files of a stopped node: what was never acknowledged may go, all else is refused and says so.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use rocksdb::{DB, Options};

use super::super::check::Damage;
use super::super::record;
use super::*;

/// A crashed folder with a vote and 200 records, each durable by itself.
fn crashed() -> tempfile::TempDir {
    let fixture = Fixture::with_records(0);
    for index in 0..200 {
        fixture.append(vec![record(1, index)]);
    }
    fixture.crashed()
}

/// Opens a folder with the state machine at `applied`, expects damage, and gives its text, which says what to do.
fn refused(dir: &Path, applied: Option<u64>) -> String {
    let error = open(dir, applied).unwrap_err();
    assert!(error.is_damage(), "{error}");
    assert!(error.to_string().contains("rebuild this node"), "{error}");
    error.to_string()
}

fn damage(dir: &Path, applied: Option<u64>) -> Damage {
    refused(dir, applied);
    match open(dir, applied) {
        Err(OpenError::Damaged(damage)) => damage,
        other => panic!("it is our own checks that should find this: {other:?}"),
    }
}

/// What is in a folder, by name.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let read =
        |path: PathBuf| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap());
    entries.map(read).collect()
}

/// Changes the closed database behind the log's back.
fn meddle(dir: &Path, change: impl FnOnce(&DB)) {
    let db = DB::open_cf(&Options::default(), dir, ["default", "meta", "logs"]).unwrap();
    change(&db);
    db.flush_wal(true).unwrap();
}

#[test]
fn an_undamaged_crash_opens() {
    let folder = crashed();
    assert_eq!(open(folder.path(), Some(199)).unwrap().extent().1, Some(at(1, 199)));
}

#[test]
fn a_flipped_bit_in_the_middle_is_refused() {
    let folder = crashed();
    let wal = live_wal(folder.path());
    let mut bytes = fs::read(&wal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&wal, bytes).unwrap();
    refused(folder.path(), Some(100));
}

/// A write that was cut short was never acknowledged.
#[test]
fn a_torn_end_costs_only_the_torn_record() {
    let folder = crashed();
    let wal = live_wal(folder.path());
    let bytes = fs::read(&wal).unwrap();
    fs::write(&wal, &bytes[..bytes.len() - 7]).unwrap();
    assert_eq!(open(folder.path(), Some(150)).unwrap().extent().1, Some(at(1, 198)));
}

/// If the torn record was applied, it had been acknowledged.
#[test]
fn a_torn_end_that_was_applied_is_refused() {
    let folder = crashed();
    let wal = live_wal(folder.path());
    let bytes = fs::read(&wal).unwrap();
    fs::write(&wal, &bytes[..bytes.len() - 7]).unwrap();
    assert_eq!(damage(folder.path(), Some(199)), Damage::BehindState { last: Some(198), applied: 199 });
}

/// `RocksDB` opens without complaint when its live write-ahead log is gone, and the state machine knows no better if its own
/// newest rows were still in memory.
#[test]
fn a_deleted_write_ahead_log_is_refused_whatever_was_applied() {
    for applied in [Some(0), Some(100)] {
        let folder = crashed();
        fs::remove_file(live_wal(folder.path())).unwrap();
        assert!(matches!(damage(folder.path(), applied), Damage::WalGone(_)));
    }
}

#[test]
fn a_deleted_log_is_refused() {
    let folder = crashed();
    fs::remove_dir_all(folder.path()).unwrap();
    assert_eq!(damage(folder.path(), Some(100)), Damage::Vanished);
    let emptied = tempfile::tempdir().unwrap();
    let witness = Witness { applied: None, existed: true };
    assert!(matches!(Log::open(emptied.path(), witness), Err(OpenError::Damaged(Damage::Vanished))));
}

/// Opening a database to write in it deletes what it does not know of, which may be all that is left.
#[test]
fn a_refused_log_is_left_as_it_was() {
    let left_alone = |applied, inflict: fn(&Path)| {
        let folder = crashed();
        inflict(folder.path());
        let before = files(folder.path());
        refused(folder.path(), Some(applied));
        assert_eq!(files(folder.path()), before);
    };
    left_alone(500, |_| ());
    left_alone(100, |dir| fs::remove_file(dir.join("CURRENT")).unwrap());
    left_alone(100, |dir| {
        meddle(dir, |db| db.delete_cf(db.cf_handle("logs").unwrap(), record::key(57)).unwrap());
    });
}

#[test]
fn a_hole_is_refused() {
    let folder = crashed();
    meddle(folder.path(), |db| db.delete_cf(db.cf_handle("logs").unwrap(), record::key(57)).unwrap());
    assert_eq!(damage(folder.path(), Some(100)), Damage::Hole { expected: 57, found: 58 });
}

#[test]
fn a_changed_record_is_refused() {
    let folder = crashed();
    meddle(folder.path(), |db| {
        let logs = db.cf_handle("logs").unwrap();
        let mut value = db.get_cf(logs, record::key(57)).unwrap().unwrap();
        *value.last_mut().unwrap() ^= 1;
        db.put_cf(logs, record::key(57), value).unwrap();
    });
    assert!(matches!(damage(folder.path(), Some(100)), Damage::Record { index: 57, .. }));
}

/// A record under another's key has a good checksum of its own, but not there.
#[test]
fn a_misplaced_record_is_refused() {
    let folder = crashed();
    meddle(folder.path(), |db| {
        let logs = db.cf_handle("logs").unwrap();
        let value = db.get_cf(logs, record::key(56)).unwrap().unwrap();
        db.put_cf(logs, record::key(57), value).unwrap();
    });
    assert!(matches!(damage(folder.path(), Some(100)), Damage::Record { index: 57, .. }));
}

#[test]
fn a_lost_or_changed_vote_is_refused() {
    let folder = crashed();
    meddle(folder.path(), |db| db.put_cf(db.cf_handle("meta").unwrap(), "vote", b"nonsense").unwrap());
    assert!(matches!(damage(folder.path(), Some(100)), Damage::Meta { what: "vote", .. }));
    meddle(folder.path(), |db| db.delete_cf(db.cf_handle("meta").unwrap(), "vote").unwrap());
    assert_eq!(damage(folder.path(), Some(100)), Damage::NoVote { term: 1 });
}

#[test]
fn another_format_is_refused() {
    let folder = crashed();
    meddle(folder.path(), |db| {
        db.put_cf(db.cf_handle("meta").unwrap(), "format", b"raftwork-log 2").unwrap();
    });
    assert!(matches!(damage(folder.path(), Some(100)), Damage::Meta { what: "format", .. }));
}

#[test]
fn a_log_in_use_is_not_damaged() {
    let fixture = Fixture::with_records(3);
    let error = open(fixture.folder.path(), None).unwrap_err();
    assert!(!error.is_damage(), "{error}");
}
