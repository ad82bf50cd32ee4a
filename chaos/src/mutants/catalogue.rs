//! Every bug that can be planted, and what is to catch it.

/// What can meet a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    /// The simulator: network, disks and clocks of its own, from one seed.
    Simulation,
    /// Real processes under these faults.
    Processes(&'static str),
}

/// A bug that can be planted: `RAFTWORK_MUTANT` names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mutant {
    pub(super) name: &'static str,
    /// What is wrong then.
    pub(super) bug: &'static str,
    pub(super) means: Means,
}

const fn simulated(name: &'static str, bug: &'static str) -> Mutant {
    Mutant { name, bug, means: Means::Simulation }
}

const fn real(name: &'static str, bug: &'static str, faults: &'static str) -> Mutant {
    Mutant { name, bug, means: Means::Processes(faults) }
}

/// All of them.
pub(super) const CATALOGUE: [Mutant; 24] = [
    simulated("M1", "a write is called durable before the flush"),
    simulated("M2", "a vote is given before it is durable"),
    simulated("M3", "whoever came during a flush is told that it covered them"),
    simulated("M4", "reads ask no majority"),
    simulated("M5", "reads trust a lease that a restarted follower has forgotten"),
    simulated("M6", "a report under a token that is over is accepted"),
    simulated("M7", "tokens begin anew at a start"),
    simulated("M8", "leases end by each node's own clock"),
    simulated("M9", "rows are written without the position that they are worth"),
    real("M10", "families of rows reach the disk one by one", "kill-follower,kill-leader,kill-all"),
    simulated("M11", "snapshots lack what has ended, and so the keys that were used"),
    simulated("M12", "the order of a hash map decides who is next"),
    simulated("M13", "what a new leader cuts off the log stays"),
    simulated("M14", "the log is dropped before the rows have it"),
    real("M15", "a damaged log opens without its end", "corrupt-wal"),
    simulated("M16", "an emptied folder is taken for the old node"),
    real("M17", "clients repeat a submit under new ids", "cut-frames"),
    simulated("M18", "a submit is answered when it is proposed"),
    real("M19", "a failed fsync is taken for a success", "fsync-fails"),
    real("M20", "a received snapshot is neither checked nor synced", "snapshot-power"),
    simulated("M21", "a late result replaces a cancellation"),
    simulated("M22", "followers acknowledge what they have not written"),
    simulated("M23", "heartbeats keep leases that are over"),
    simulated("M24", "a new leader's clock begins at zero"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::nemesis;

    #[test]
    fn every_bug_has_a_name_of_its_own() {
        let names: BTreeSet<_> = CATALOGUE.iter().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
    }

    #[test]
    fn every_fault_that_a_bug_needs_is_there() {
        let known: BTreeSet<_> = nemesis::all(&[]).iter().map(|nemesis| nemesis.name().to_owned()).collect();
        for mutant in CATALOGUE {
            if let Means::Processes(faults) = mutant.means {
                assert!(faults.split(',').all(|fault| known.contains(fault)), "{faults}");
            }
        }
    }
}
