//! The code of functions: kept by content hash up to a bound in bytes, the least recently used forgotten first.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use raftwork_api::kernel::{CodeHash, FunctionId};

use super::Moment;

#[derive(Debug)]
pub(super) struct Codes {
    bytes_max: usize,
    bytes: usize,
    entries: BTreeMap<CodeHash, Entry>,
    /// Last use to hash; uses are unique.
    by_use: BTreeMap<u64, CodeHash>,
    uses: u64,
    /// Asked for and not there yet: its hash, which the answer does not name, and when it was last asked for.
    wanted: BTreeMap<FunctionId, (CodeHash, Moment)>,
}

#[derive(Debug)]
struct Entry {
    last_use: u64,
    code: Bytes,
}

impl Codes {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            entries: BTreeMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            wanted: BTreeMap::new(),
        }
    }

    pub(super) fn get(&mut self, hash: &CodeHash) -> Option<Bytes> {
        let entry = self.entries.get_mut(hash)?;
        // A flood is of one function.
        if entry.last_use == self.uses {
            return Some(entry.code.clone());
        }
        self.by_use.remove(&entry.last_use);
        self.uses += 1;
        entry.last_use = self.uses;
        self.by_use.insert(self.uses, *hash);
        Some(entry.code.clone())
    }

    /// Notes that a function's code is needed; true if it has to be asked for.
    pub(super) fn want(&mut self, now: Moment, function: FunctionId, hash: CodeHash) -> bool {
        let asked = self.wanted.values().any(|(wanted, _)| *wanted == hash);
        if !asked {
            self.wanted.insert(function, (hash, now));
        }
        !asked
    }

    /// What was last asked for `patience` ago or longer, and not answered; it counts as asked for now.
    pub(super) fn repeat(&mut self, now: Moment, patience: Duration) -> Vec<FunctionId> {
        let unanswered = self.wanted.iter_mut().filter(|(_, (_, asked))| *asked + patience <= now);
        let asked_again = unanswered.map(|(function, (_, asked))| {
            *asked = now;
            *function
        });
        asked_again.collect()
    }

    /// The answer came; says under which hash, if it was asked for.
    pub(super) fn arrived(&mut self, function: &FunctionId, code: Option<&Bytes>) -> Option<CodeHash> {
        let (hash, _) = self.wanted.remove(function)?;
        if let Some(code) = code {
            self.put(hash, code.clone());
        }
        Some(hash)
    }

    fn put(&mut self, hash: CodeHash, code: Bytes) {
        self.uses += 1;
        self.bytes += code.len();
        self.by_use.insert(self.uses, hash);
        if let Some(old) = self.entries.insert(hash, Entry { last_use: self.uses, code }) {
            self.bytes -= old.code.len();
            self.by_use.remove(&old.last_use);
        }
        while self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            let entry = self.entries.remove(&oldest).expect("every use names an entry");
            self.bytes -= entry.code.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u8) -> CodeHash {
        CodeHash([n; 32])
    }

    fn arrive(codes: &mut Codes, n: u8, size: usize) {
        let function = FunctionId::from_u128(n.into());
        assert!(codes.want(Duration::ZERO, function, hash(n)));
        assert_eq!(codes.arrived(&function, Some(&vec![n; size].into())), Some(hash(n)));
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut codes = Codes::new(10);
        arrive(&mut codes, 1, 4);
        arrive(&mut codes, 2, 4);
        assert!(codes.get(&hash(1)).is_some());
        arrive(&mut codes, 3, 4);
        assert!(codes.get(&hash(2)).is_none());
        assert!(codes.get(&hash(1)).is_some() && codes.get(&hash(3)).is_some());
        arrive(&mut codes, 4, 11);
        assert!(codes.get(&hash(4)).is_none(), "larger than the whole cache");
        assert_eq!((codes.bytes, codes.entries.len(), codes.by_use.len()), (0, 0, 0));
    }

    #[test]
    fn two_functions_with_the_same_code_are_fetched_once() {
        let mut codes = Codes::new(10);
        let now = Duration::ZERO;
        assert!(codes.want(now, FunctionId::from_u128(1), hash(1)));
        assert!(!codes.want(now, FunctionId::from_u128(2), hash(1)));
        assert_eq!(codes.repeat(now, Duration::ZERO), [FunctionId::from_u128(1)]);
    }
}
