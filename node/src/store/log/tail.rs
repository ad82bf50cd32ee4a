//! The newest records in memory, so that a healthy cluster never reads the log from disk.
//!
//! Invariants (held by [`Tail::check_invariants`]):
//! - indexes are contiguous;
//! - `bytes` is the sum of the costs;
//! - the cost is within the bound, or one record is held.

use std::collections::VecDeque;
use std::ops::Range;

use super::record::Record;

/// A bounded run of records that ends with the log's last one.
#[derive(Debug)]
pub(super) struct Tail {
    records: VecDeque<Record>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    /// An empty tail that holds at most `bytes_max` (but always one record).
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { records: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Index of the oldest record held.
    pub(super) fn first(&self) -> Option<u64> {
        self.records.front().map(|record| record.position.index)
    }

    /// The newest record held.
    pub(super) fn last(&self) -> Option<&Record> {
        self.records.back()
    }

    /// Adds the log's new last record; drops the oldest ones over the bound.
    pub(super) fn push(&mut self, record: Record) {
        let follows = self.last().is_none_or(|last| last.position.index + 1 == record.position.index);
        if !follows {
            self.clear();
        }
        self.bytes += record.cost();
        self.records.push_back(record);
        while self.bytes > self.bytes_max && self.records.len() > 1 {
            self.pop_front();
        }
    }

    /// Drops the records from `index` on.
    pub(super) fn truncate_from(&mut self, index: u64) {
        while self.last().is_some_and(|last| last.position.index >= index) {
            let record = self.records.pop_back().expect("it was just looked at");
            self.bytes -= record.cost();
        }
    }

    /// Drops the records up to `index`, inclusive.
    pub(super) fn purge(&mut self, index: u64) {
        while self.first().is_some_and(|first| first <= index) {
            self.pop_front();
        }
    }

    /// The records of `range` that are held, from its start, up to `bytes_max` (but at least one).
    ///
    /// `None` if the start is older than what is held.
    pub(super) fn read(&self, range: Range<u64>, bytes_max: usize) -> Option<Vec<Record>> {
        let skip = usize::try_from(range.start.checked_sub(self.first()?)?).ok()?;
        let mut budget = bytes_max;
        let records = self.records.iter().skip(skip).take_while(|record| record.position.index < range.end);
        Some(records.take_while(|record| within(&mut budget, bytes_max, record)).cloned().collect())
    }

    fn pop_front(&mut self) {
        if let Some(record) = self.records.pop_front() {
            self.bytes -= record.cost();
        }
    }

    fn clear(&mut self) {
        self.records.clear();
        self.bytes = 0;
    }

    #[cfg(test)]
    fn check_invariants(&self) {
        let indexes: Vec<u64> = self.records.iter().map(|record| record.position.index).collect();
        assert!(indexes.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{indexes:?}");
        assert_eq!(self.bytes, self.records.iter().map(Record::cost).sum::<usize>());
        assert!(self.bytes <= self.bytes_max || self.records.len() == 1);
    }
}

/// Takes `record` from `budget` (of `full`); false if it does not fit. The first one always fits.
pub(super) fn within(budget: &mut usize, full: usize, record: &Record) -> bool {
    let first = *budget == full;
    let cost = record.cost();
    let fits = first || cost <= *budget;
    *budget = budget.saturating_sub(cost);
    fits
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::record::{Body, Position};
    use super::*;

    fn record(index: u64, size: usize) -> Record {
        let position = Position { term: 1, node: 1, index };
        Record { position, body: Body::Entry(Bytes::from(vec![0; size])) }
    }

    fn indexes(records: Option<Vec<Record>>) -> Option<Vec<u64>> {
        Some(records?.iter().map(|record| record.position.index).collect())
    }

    fn tail(range: Range<u64>) -> Tail {
        let mut tail = Tail::new(1 << 20);
        range.for_each(|index| tail.push(record(index, 10)));
        tail.check_invariants();
        tail
    }

    #[test]
    fn reads_what_it_holds_and_knows_what_it_does_not() {
        let tail = tail(5..10);
        assert_eq!(indexes(tail.read(6..8, usize::MAX)), Some(vec![6, 7]));
        assert_eq!(indexes(tail.read(8..20, usize::MAX)), Some(vec![8, 9]));
        assert_eq!(indexes(tail.read(4..8, usize::MAX)), None);
        assert_eq!(indexes(tail.read(10..12, usize::MAX)), Some(vec![]));
    }

    #[test]
    fn a_read_stops_at_its_bytes_but_gives_at_least_one() {
        let tail = tail(0..10);
        let cost = record(0, 10).cost();
        assert_eq!(indexes(tail.read(0..10, cost * 2)), Some(vec![0, 1]));
        assert_eq!(indexes(tail.read(3..10, 1)), Some(vec![3]));
    }

    #[test]
    fn stays_within_its_bytes_but_keeps_the_last() {
        let mut tail = Tail::new(record(0, 100).cost() * 3);
        for index in 0..10 {
            tail.push(record(index, 100));
            tail.check_invariants();
        }
        assert_eq!(tail.first(), Some(7));
        tail.push(record(10, 10_000));
        tail.check_invariants();
        assert_eq!((tail.first(), tail.last().map(|last| last.position.index)), (Some(10), Some(10)));
    }

    #[test]
    fn truncation_purge_and_a_gap() {
        let mut tail = tail(0..10);
        tail.truncate_from(8);
        tail.purge(2);
        tail.check_invariants();
        assert_eq!(indexes(tail.read(3..10, usize::MAX)), Some(vec![3, 4, 5, 6, 7]));
        tail.push(record(100, 1));
        tail.check_invariants();
        assert_eq!((tail.first(), tail.bytes), (Some(100), record(100, 1).cost()));
        tail.truncate_from(0);
        assert_eq!(tail.first(), None);
    }
}
