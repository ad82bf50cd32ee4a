//! What the log does while it is open.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::*;
use crate::store::disk::{self, Database, Disk, RocksDisk};

#[test]
fn what_was_written_is_readable_before_it_is_durable() {
    let fixture = Fixture::new();
    let (told, waiting) = mpsc::channel();
    fixture.log.append(records(1, 0..5), Box::new(move |result| told.send(result).unwrap()));
    assert_eq!(fixture.all(), records(1, 0..5));
    waiting.recv_timeout(PATIENCE).unwrap().unwrap();
}

/// Callbacks come in the order of the writes, whatever shares a flush with what.
#[test]
fn everybody_is_told_in_order() {
    let fixture = Fixture::new();
    let order = Arc::new(Mutex::new(Vec::new()));
    for index in 0..2000 {
        let order = Arc::clone(&order);
        fixture.log.append(vec![record(1, index)], Box::new(move |_| order.lock().unwrap().push(index)));
    }
    fixture.vote();
    assert_eq!(*order.lock().unwrap(), (0..2000).collect::<Vec<_>>());
    let counters = fixture.log.counters();
    assert_eq!((counters.waiters(), counters.records()), (2001, 2000));
    assert!(counters.fsyncs() <= 2001 && counters.bytes() > 2000, "{counters:?}");
}

/// Old records come from the disk, and the two ways of reading agree.
#[test]
fn reads_reach_behind_the_memory() {
    let fixture = Fixture::with_records(0);
    let large = |index| Record { position: at(1, index), body: Body::Entry(Bytes::from(vec![7; 1 << 20])) };
    for index in 0..50 {
        fixture.log.append(vec![large(index)], Box::new(|_| ()));
    }
    assert_eq!(fixture.log.read_cached(0..5, usize::MAX), None);
    let read = fixture.log.read(0..50, usize::MAX).unwrap();
    assert!(read == (0..50).map(large).collect::<Vec<_>>());
    assert_eq!(fixture.log.read(3..50, 5 << 20).unwrap().len(), 4);
    assert_eq!(fixture.log.read(3..50, 1).unwrap().len(), 1);
    assert_eq!(fixture.log.read_cached(45..50, 3 << 20).unwrap().len(), 2);
    assert_eq!(fixture.log.counters().disk_reads(), 3);
}

#[test]
fn reads_outside_the_log_give_what_is_inside() {
    let fixture = Fixture::with_records(10);
    fixture.log.purge(at(1, 3));
    assert_eq!(fixture.log.read(0..6, usize::MAX).unwrap(), records(1, 4..6));
    assert_eq!(fixture.log.read(8..100, usize::MAX).unwrap(), records(1, 8..10));
    assert_eq!(fixture.log.read(20..30, usize::MAX).unwrap(), []);
    assert_eq!(fixture.log.read(0..2, usize::MAX).unwrap(), []);
}

#[test]
fn a_suffix_is_replaced() {
    let fixture = Fixture::with_records(10);
    fixture.log.truncate_after(Some(5));
    assert_eq!(fixture.extent(), (None, Some(5)));
    fixture.append(records(2, 6..8));
    assert_eq!(fixture.all(), [records(1, 0..6), records(2, 6..8)].concat());
    fixture.log.truncate_after(None);
    assert_eq!((fixture.extent(), fixture.all()), ((None, None), vec![]));
    fixture.append(records(3, 0..1));
    assert_eq!(fixture.all(), records(3, 0..1));
}

/// Truncation down to the purged record, and one that has nothing to do.
#[test]
fn truncation_stops_at_what_was_purged() {
    let fixture = Fixture::with_records(10);
    fixture.log.purge(at(1, 6));
    fixture.log.truncate_after(Some(20));
    assert_eq!(fixture.extent(), (Some(6), Some(9)));
    fixture.log.truncate_after(Some(6));
    assert_eq!(fixture.extent(), (Some(6), Some(6)));
    fixture.append(records(2, 7..9));
    assert_eq!(fixture.all(), records(2, 7..9));
}

/// What a snapshot leaves: the log goes on after it.
#[test]
fn a_purge_may_reach_beyond_the_end() {
    let fixture = Fixture::with_records(10);
    fixture.log.purge(at(4, 99));
    assert_eq!((fixture.extent(), fixture.all()), ((Some(99), Some(99)), vec![]));
    fixture.append(records(4, 100..102));
    assert_eq!(fixture.all(), records(4, 100..102));
    fixture.log.purge(at(1, 5));
    assert_eq!(fixture.extent(), (Some(99), Some(101)), "a purge never goes back");
}

/// A disk that makes the log durable when it is told to.
#[derive(Default)]
struct SlowDisk(Mutex<Option<BoxFuture<'static, ()>>>);

impl SlowDisk {
    /// One flush, of everything that waits for it.
    fn flush(&self) {
        let mut flushing = self.0.lock().unwrap();
        assert!(flushing.as_mut().unwrap().now_or_never().is_none(), "the log is still open");
    }
}

impl Disk for SlowDisk {
    fn holds(&self, dir: &Path) -> bool {
        RocksDisk.holds(dir)
    }

    fn read_log(&self, dir: &Path) -> Result<Box<dyn Database>, disk::Error> {
        RocksDisk.read_log(dir)
    }

    fn open_log(&self, dir: &Path) -> Result<Box<dyn Database>, disk::Error> {
        RocksDisk.open_log(dir)
    }

    fn open_rows(&self, dir: &Path) -> Result<Box<dyn Database>, disk::Error> {
        RocksDisk.open_rows(dir)
    }

    fn read_rows(&self, dir: &Path) -> Result<Box<dyn Database>, disk::Error> {
        RocksDisk.read_rows(dir)
    }

    fn run_flushing(&self, flushing: BoxFuture<'static, ()>) -> io::Result<Option<JoinHandle<()>>> {
        self.0.lock().unwrap().replace(flushing);
        Ok(None)
    }
}

/// What is on its way to the disk is not there, though it can be read; and what replaces a truncated record is not there
/// because that one was.
#[test]
fn whoever_waits_for_a_record_waits_until_it_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let disk = SlowDisk::default();
    let log = Log::open_on(&disk, folder.path(), Witness { applied: None, existed: false }).unwrap();
    let is_durable = |index| log.until_durable(index).now_or_never().is_some();
    log.save_ballot(VOTE, Box::new(drop));
    log.append(records(1, 0..3), Box::new(drop));
    assert!(!is_durable(0));
    disk.flush();
    assert!(is_durable(2) && !is_durable(3));
    log.append(records(1, 3..6), Box::new(drop));
    log.truncate_after(Some(1));
    assert!(is_durable(1) && !is_durable(2));
    log.append(records(2, 2..4), Box::new(drop));
    assert!(!is_durable(2));
    disk.flush();
    assert!(is_durable(3) && !is_durable(4));
}

/// A flush that was under way when the log was truncated says nothing about what was written after it.
#[test]
fn a_flush_of_what_was_truncated_makes_nothing_durable() {
    let folder = tempfile::tempdir().unwrap();
    let disk = SlowDisk::default();
    let log = Log::open_on(&disk, folder.path(), Witness { applied: None, existed: false }).unwrap();
    log.save_ballot(VOTE, Box::new(drop));
    let cutting = log.clone();
    let cut = move |_| {
        cutting.truncate_after(Some(0));
        cutting.append(records(2, 1..3), Box::new(drop));
    };
    log.append(records(1, 0..1), Box::new(cut));
    let (told, durable) = mpsc::channel();
    let asking = log.clone();
    let ask = move |_| told.send(asking.until_durable(2).now_or_never().is_some()).unwrap();
    log.append(records(1, 1..3), Box::new(ask));
    disk.flush();
    assert!(!durable.recv().unwrap(), "the flush that was told of did not cover record 2 of term 2");
    assert!(log.until_durable(2).now_or_never().is_some(), "the next one did");
}
