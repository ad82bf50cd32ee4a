//! How many bytes of records the log holds, to about a mebibyte, so that it can be kept short by size as well as by number.

use std::collections::VecDeque;

/// Bytes between two marks. Counts are this much too high at the most, for each end that was cut off since.
const GRAIN: u64 = 1 << 20;

/// The running sum of the records' bytes.
#[derive(Debug, Default)]
pub(super) struct Weights {
    /// Index of a record, and the bytes of everything before it; in both orders.
    marks: VecDeque<(u64, u64)>,
    /// Bytes of everything until now.
    end: u64,
}

impl Weights {
    /// Counts the log's new last record.
    pub(super) fn push(&mut self, index: u64, bytes: usize) {
        if self.marks.back().is_none_or(|(_, before)| self.end - before >= GRAIN) {
            self.marks.push_back((index, self.end));
        }
        self.end += bytes as u64;
    }

    /// The records from `index` on are gone.
    pub(super) fn truncate_from(&mut self, index: u64) {
        while let Some((_, before)) = self.marks.pop_back_if(|(marked, _)| *marked >= index) {
            self.end = before;
        }
    }

    /// The records up to `index`, inclusive, are gone.
    pub(super) fn purge(&mut self, index: u64) {
        while self.marks.get(1).is_some_and(|(marked, _)| *marked <= index + 1) {
            self.marks.pop_front();
        }
    }

    /// Bytes of the records that are left.
    pub(super) fn held(&self) -> u64 {
        self.marks.front().map_or(0, |(_, before)| self.end - before)
    }

    /// The last record that can go so that at least `bytes` are left.
    pub(super) fn leaving(&self, bytes: u64) -> Option<u64> {
        let end = self.end.checked_sub(bytes)?;
        let marked = self.marks.partition_point(|(_, before)| *before <= end).checked_sub(1)?;
        self.marks[marked].0.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// Ten records of a mebibyte, 1 to 10.
    fn ten() -> Weights {
        let mut weights = Weights::default();
        (1..=10).for_each(|index| weights.push(index, MIB));
        weights
    }

    #[test]
    fn counts_what_is_left_when_either_end_is_cut_off() {
        let mut weights = ten();
        assert_eq!(weights.held(), 10 << 20);
        weights.truncate_from(9);
        assert_eq!(weights.held(), 8 << 20);
        weights.purge(3);
        assert_eq!(weights.held(), 5 << 20);
        weights.push(9, MIB);
        assert_eq!(weights.held(), 6 << 20);
    }

    #[test]
    fn finds_what_can_go() {
        let mut weights = ten();
        assert_eq!(weights.leaving(4 << 20), Some(6));
        assert_eq!(weights.leaving(11 << 20), None);
        weights.purge(6);
        assert_eq!(weights.leaving(4 << 20), Some(6), "what has gone already");
        assert_eq!(weights.leaving(3 << 20), Some(7));
    }

    #[test]
    fn small_records_share_a_mark() {
        let mut weights = Weights::default();
        (1..=10_000).for_each(|index| weights.push(index, 1000));
        assert!(weights.marks.len() <= 10);
        assert_eq!(weights.held(), 10_000_000);
        let gone = weights.leaving(5_000_000).unwrap();
        weights.purge(gone);
        assert!((5_000_000..7_000_000).contains(&weights.held()), "{}", weights.held());
    }
}
