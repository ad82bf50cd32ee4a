//! What is there after a crash: every operation, the folder copied while the log is open, and the copy opened.

use super::*;

#[test]
fn durable_records_survive() {
    let fixture = Fixture::with_records(25);
    let reopened = fixture.reopened(None);
    assert_eq!((reopened.all(), reopened.log.ballot()), (records(1, 0..25), Some(VOTE)));
    reopened.append(records(1, 25..30));
    assert_eq!(reopened.reopened(Some(20)).all(), records(1, 0..30));
}

/// A crash at the very moment at which the write was called durable.
#[test]
fn a_record_survives_as_soon_as_it_is_told() {
    let fixture = Fixture::with_records(0);
    for index in 0..20 {
        fixture.append(vec![record(1, index)]);
        assert_eq!(fixture.reopened(Some(index)).extent(), (None, Some(index)));
    }
}

#[test]
fn a_vote_survives_as_soon_as_it_is_told() {
    let fixture = Fixture::new();
    for term in 1..20 {
        let ballot = Ballot { term, node: 3, committed: term % 2 == 0 };
        durable(|done| fixture.log.save_ballot(ballot, done));
        assert_eq!(fixture.reopened(None).log.ballot(), Some(ballot));
    }
}

#[test]
fn a_truncation_survives_with_what_follows_it() {
    let fixture = Fixture::with_records(10);
    fixture.log.truncate_after(Some(5));
    fixture.append(records(2, 6..8));
    let reopened = fixture.reopened(Some(5));
    assert_eq!(reopened.all(), [records(1, 0..6), records(2, 6..8)].concat());
}

#[test]
fn a_purge_survives_with_what_follows_it() {
    let fixture = Fixture::with_records(10);
    fixture.log.purge(at(1, 6));
    fixture.vote();
    let reopened = fixture.reopened(Some(7));
    assert_eq!((reopened.extent(), reopened.all()), ((Some(6), Some(9)), records(1, 7..10)));
}

#[test]
fn a_purge_of_everything_survives() {
    let fixture = Fixture::with_records(10);
    fixture.log.purge(at(4, 99));
    fixture.append(records(4, 100..103));
    let reopened = fixture.reopened(Some(99));
    assert_eq!((reopened.extent(), reopened.all()), ((Some(99), Some(102)), records(4, 100..103)));
}

#[test]
fn what_is_committed_survives_with_what_follows_it() {
    let fixture = Fixture::with_records(10);
    fixture.log.save_committed(Some(at(1, 8)));
    fixture.vote();
    let reopened = fixture.reopened(None);
    assert_eq!(reopened.log.committed(), Some(at(1, 8)));
    reopened.log.save_committed(None);
    reopened.vote();
    assert_eq!(reopened.reopened(None).log.committed(), None);
}

/// Truncations, purges and notes are not flushed by themselves. A crash may forget them, but never leaves a hole: the log is
/// always a prefix of what was written.
#[test]
fn what_is_not_yet_durable_may_be_forgotten_but_leaves_no_hole() {
    let fixture = Fixture::with_records(100);
    for step in 0..20 {
        fixture.log.truncate_after(Some(95 - step));
        fixture.log.append(records(2 + step, 96 - step..100), Box::new(|_| ()));
        fixture.log.purge(at(1, step));
        fixture.log.save_committed(Some(at(1, step)));
        let reopened = fixture.reopened(Some(50));
        let indexes: Vec<u64> = reopened.all().iter().map(|record| record.position.index).collect();
        let first = reopened.extent().0.map_or(0, |purged| purged + 1);
        assert_eq!(indexes, (first..first + indexes.len() as u64).collect::<Vec<_>>());
    }
}

/// Closing makes everything durable.
#[test]
fn a_clean_end_forgets_nothing() {
    let Fixture { folder, log } = Fixture::with_records(10);
    log.truncate_after(Some(7));
    log.save_committed(Some(at(1, 7)));
    drop(log);
    let log = open(folder.path(), Some(7)).unwrap();
    assert_eq!((log.extent().1, log.committed()), (Some(at(1, 7)), Some(at(1, 7))));
}

/// A snapshot was received and installed, and the process died before the log was purged up to it.
#[test]
fn a_crash_between_install_and_purge_is_no_damage() {
    let fixture = Fixture::with_records(10);
    durable(|done| fixture.log.save_received(at(3, 500), done));
    let reopened = fixture.reopened(Some(500));
    assert_eq!(reopened.extent(), (None, Some(9)));
    let forgotten = Fixture::with_records(10);
    assert!(open(forgotten.crashed().path(), Some(500)).unwrap_err().is_damage());
}

/// Whole files of purged records are given back to the disk, and reading goes on as before.
#[test]
fn a_purge_frees_the_disk() {
    let fixture = Fixture::with_records(0);
    let large = |index| Record { position: at(1, index), body: Body::Entry(Bytes::from(vec![7; 1 << 20])) };
    for index in 0..400 {
        fixture.log.append(vec![large(index)], Box::new(|_| ()));
    }
    fixture.log.purge(at(1, 390));
    fixture.vote();
    let reopened = fixture.reopened(Some(395));
    assert_eq!(reopened.extent(), (Some(390), Some(399)));
    assert!(reopened.log.read(0..400, usize::MAX).unwrap() == (391..400).map(large).collect::<Vec<_>>());
}
