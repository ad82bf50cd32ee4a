//! Sorted keys with values, and which of the last changes a crash would lose.

use std::collections::{BTreeMap, VecDeque};

use raftwork_kernel::{decode, encode};
use raftwork_node::store::disk::RawRow;
use serde::{Deserialize, Serialize};

/// A family and a key in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Key {
    family: String,
    key: Vec<u8>,
}

impl Key {
    pub(super) fn new(family: &str, key: &[u8]) -> Self {
        Self { family: family.to_owned(), key: key.to_owned() }
    }
}

/// One change.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Put(Key, Vec<u8>),
    Delete(Key),
    DeleteRange(Key, Vec<u8>),
}

impl Op {
    /// The change as whoever watches hears it.
    pub(super) fn told(&self) -> Option<super::Change> {
        match self {
            Self::Put(key, value) => Some((key.family.clone(), key.key.clone(), Some(value.clone()))),
            Self::Delete(key) => Some((key.family.clone(), key.key.clone(), None)),
            Self::DeleteRange(..) => None,
        }
    }
}

type Rows = BTreeMap<Key, Vec<u8>>;

/// What is written, and what of it would survive.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    rows: Rows,
    durable: Rows,
    /// Batches on top of `durable`, oldest first.
    unsynced: VecDeque<Vec<Op>>,
}

impl Table {
    pub(super) fn write(&mut self, changes: Vec<Op>) {
        apply(&mut self.rows, &changes);
        self.unsynced.push_back(changes);
    }

    /// Number of batches that a crash may lose.
    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Makes the oldest so many of them durable.
    pub(super) fn make_durable(&mut self, batches: usize) {
        for _ in 0..batches {
            let Some(changes) = self.unsynced.pop_front() else { return };
            apply(&mut self.durable, &changes);
        }
    }

    /// Loses what is not durable, except for its oldest so many batches.
    pub(super) fn crash(&mut self, kept: usize) {
        self.make_durable(kept);
        self.unsynced.clear();
        self.rows = self.durable.clone();
    }

    /// The last key of a family that a crash now would leave.
    pub(super) fn durable_end(&self, family: &str) -> Option<&[u8]> {
        let beyond = Key { family: format!("{family}\0"), key: Vec::new() };
        let (key, _) = self.durable.range(..beyond).next_back()?;
        (key.family == family).then_some(key.key.as_slice())
    }

    pub(super) fn get(&self, family: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.rows.get(&Key::new(family, key)).cloned()
    }

    pub(super) fn ascend(&self, family: &str, from: &[u8], to: Option<&[u8]>) -> Vec<RawRow> {
        let found = self.rows.range(Key::new(family, from)..);
        let found =
            found.take_while(|(key, _)| key.family == family && to.is_none_or(|to| key.key.as_slice() < to));
        found.map(row).collect()
    }

    pub(super) fn descend(&self, family: &str, from: &[u8]) -> Vec<RawRow> {
        let found = self.rows.range(..=Key::new(family, from)).rev();
        found.take_while(|(key, _)| key.family == family).map(row).collect()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        encode(&self.rows)
    }

    pub(super) fn decode(bytes: &[u8]) -> Self {
        let rows: Rows = decode("copy", bytes).expect("a copy is what was written");
        Self { durable: rows.clone(), rows, unsynced: VecDeque::new() }
    }
}

fn row((key, value): (&Key, &Vec<u8>)) -> RawRow {
    (key.key.clone().into(), value.clone().into())
}

fn apply(rows: &mut Rows, changes: &[Op]) {
    for change in changes {
        match change {
            Op::Put(key, value) => {
                rows.insert(key.clone(), value.clone());
            }
            Op::Delete(key) => {
                rows.remove(key);
            }
            Op::DeleteRange(from, to) => {
                let end = Key::new(&from.family, to);
                let gone: Vec<Key> = rows.range(from.clone()..end).map(|(key, _)| key.clone()).collect();
                for key in gone {
                    rows.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(keys: &[u8]) -> Table {
        let mut table = Table::default();
        for key in keys {
            table.write(vec![Op::Put(Key::new("logs", &[*key]), vec![*key])]);
        }
        table
    }

    fn keys(table: &Table) -> Vec<u8> {
        table.ascend("logs", &[], None).iter().map(|(key, _)| key[0]).collect()
    }

    #[test]
    fn a_crash_keeps_what_is_durable_and_a_prefix_of_the_rest() {
        for (durable, kept, left) in
            [(0, 0, &[][..]), (2, 0, &[1, 2]), (2, 1, &[1, 2, 3]), (4, 9, &[1, 2, 3, 4])]
        {
            let mut table = written(&[1, 2, 3, 4]);
            table.make_durable(durable);
            assert_eq!(keys(&table), [1, 2, 3, 4]);
            table.crash(kept);
            assert_eq!((keys(&table).as_slice(), table.unsynced()), (left, 0));
        }
    }

    #[test]
    fn a_removed_range_comes_back_unless_its_removal_was_durable() {
        let mut table = written(&[1, 2, 3]);
        table.make_durable(3);
        table.write(vec![Op::DeleteRange(Key::new("logs", &[1]), vec![3])]);
        assert_eq!((keys(&table), table.durable_end("logs")), (vec![3], Some(&[3][..])));
        table.crash(0);
        assert_eq!(keys(&table), [1, 2, 3]);
    }

    #[test]
    fn a_copy_reads_back_as_durable() {
        let mut copy = Table::decode(&written(&[5, 7]).encode());
        copy.crash(0);
        assert_eq!(keys(&copy), [5, 7]);
        assert_eq!(copy.descend("logs", &[6]).len(), 1);
        assert!(copy.ascend("meta", &[], None).is_empty());
    }
}
