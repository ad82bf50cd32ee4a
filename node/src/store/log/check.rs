//! What must hold when a log is opened; whatever does not is refused, never repaired.
//!
//! `RocksDB` finds a flipped bit in its files, but opens happily when a whole file is gone. So the log is read once from end
//! to end, and compared with what the node knows from elsewhere: its state machine (how far it has applied) and its
//! identity file (whether there was a log at all). A node that fails here has perhaps forgotten what it promised to others, and
//! must not vote again under its old name.

use super::record::{Ballot, DecodeError, Position};

/// What to do about a damaged log, said with every variant of [`Damage`].
const REMEDY: &str =
    "rebuild this node: remove it from the cluster, move its data folder away, and add it as a new node";

/// What the node knows about its log from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witness {
    /// Index of the last entry whose effects the state machine holds.
    pub applied: Option<u64>,
    /// Whether the identity file says that this folder has had a log before.
    pub existed: bool,
}

/// What was found on disk, except for the records themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether the format key is there.
    pub(super) format: bool,
    /// The vote.
    pub(super) ballot: Option<Ballot>,
    /// The last record that was purged.
    pub(super) purged: Option<Position>,
    /// What was committed when it was last noted.
    pub(super) committed: Option<Position>,
    /// The snapshot that was last received, up to which the log may be behind the state machine.
    pub(super) received: Option<Position>,
    /// The last record, or the purged one if there is none.
    pub(super) last: Option<Position>,
}

/// How a log contradicts itself, or what the node knows from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The folder had a log, and it is gone or was emptied.
    #[error("the log is gone, though this data folder has had one; {REMEDY}")]
    Vanished,
    /// The write-ahead log that was being written is gone.
    #[error("the write-ahead log {0:06}.log is gone, and with it the end of the log; {REMEDY}")]
    WalGone(u64),
    /// There is something, but not what makes it a log.
    #[error("the log has no format mark, so a part of it is gone; {REMEDY}")]
    Unmarked,
    /// A record is missing between others.
    #[error("the log has a hole: after record {expected} was to come, {found} was found; {REMEDY}")]
    Hole {
        /// The index that should have come.
        expected: u64,
        /// The index that came.
        found: u64,
    },
    /// A record is not what was written.
    #[error("record {index} of the log is damaged: {error}; {REMEDY}")]
    Record {
        /// Its index.
        index: u64,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A key of the log is not an index, or a value beside it is not what was written.
    #[error("the log's {what} is damaged: {error}; {REMEDY}")]
    Meta {
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The state machine has applied records that the log does not have.
    #[error("the log ends at {last:?}, but record {applied} was applied, so its end is gone; {REMEDY}")]
    BehindState {
        /// Index of the last record.
        last: Option<u64>,
        /// Index that the state machine has applied.
        applied: u64,
    },
    /// The state machine needs records that were purged.
    #[error(
        "the log was purged up to {purged}, but only {applied:?} was applied, so state is gone; {REMEDY}"
    )]
    PurgedPastState {
        /// Index of the last purged record.
        purged: u64,
        /// Index that the state machine has applied.
        applied: Option<u64>,
    },
    /// There are records, but no vote for the leader that wrote them.
    #[error("the log holds records of term {term}, but no vote, so the vote is gone; {REMEDY}")]
    NoVote {
        /// Term of the last record.
        term: u64,
    },
    /// The vote is older than the leader of the last record.
    #[error(
        "the vote is for term {vote_term} node {vote_node}, but the last record is of term {term} node {node}, \
         so a later vote is gone; {REMEDY}"
    )]
    VoteBehindLog {
        /// Term of the vote.
        vote_term: u64,
        /// Node of the vote.
        vote_node: u64,
        /// Term of the last record.
        term: u64,
        /// Node of the last record's leader.
        node: u64,
    },
    /// Records that were committed are missing at the end.
    #[error("record {committed} was committed, but the log ends at {last:?}, so its end is gone; {REMEDY}")]
    BehindCommitted {
        /// Index that was committed.
        committed: u64,
        /// Index of the last record.
        last: Option<u64>,
    },
}

/// Compares what was found with itself and with the witness.
pub(super) fn verify(found: &Found, witness: Witness) -> Result<(), Damage> {
    verify_presence(found, witness)?;
    verify_vote(found)?;
    verify_extent(found, witness)
}

fn verify_presence(found: &Found, witness: Witness) -> Result<(), Damage> {
    let holds_something = found.last.is_some() || found.ballot.is_some();
    // A log that was never marked may be one whose making was cut short, before anything depended on it.
    let had_log = witness.applied.is_some() || (witness.existed && !found.format);
    if holds_something && !found.format {
        return Err(Damage::Unmarked);
    }
    if !holds_something && had_log {
        return Err(Damage::Vanished);
    }
    Ok(())
}

/// Records of term 0 are the first membership, which a node writes before it votes for the first time.
fn verify_vote(found: &Found) -> Result<(), Damage> {
    let Some(last) = found.last.filter(|last| last.term > 0) else {
        return Ok(());
    };
    let Some(ballot) = found.ballot else {
        return Err(Damage::NoVote { term: last.term });
    };
    if (ballot.term, ballot.node) >= (last.term, last.node) {
        return Ok(());
    }
    Err(Damage::VoteBehindLog {
        vote_term: ballot.term,
        vote_node: ballot.node,
        term: last.term,
        node: last.node,
    })
}

/// A received snapshot is installed before the log is purged up to it. A crash between the two leaves a log that ends
/// before the snapshot, which is no damage: nothing of it is needed.
fn verify_extent(found: &Found, Witness { applied, .. }: Witness) -> Result<(), Damage> {
    let index = |position: Option<Position>| position.map(|position| position.index);
    let last = index(found.last);
    let reached = last.max(index(found.received));
    if let Some(committed) = index(found.committed)
        && Some(committed) > reached
    {
        return Err(Damage::BehindCommitted { committed, last });
    }
    if let Some(applied) = applied
        && Some(applied) > reached
    {
        return Err(Damage::BehindState { last, applied });
    }
    if let Some(purged) = index(found.purged)
        && applied < Some(purged)
    {
        return Err(Damage::PurgedPastState { purged, applied });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(term: u64, index: u64) -> Position {
        Position { term, node: 1, index }
    }

    fn healthy() -> Found {
        Found {
            format: true,
            ballot: Some(Ballot { term: 3, node: 1, committed: true }),
            purged: Some(at(2, 10)),
            committed: Some(at(3, 18)),
            received: None,
            last: Some(at(3, 20)),
        }
    }

    fn applied(index: u64) -> Witness {
        Witness { applied: Some(index), existed: true }
    }

    const NEW: Witness = Witness { applied: None, existed: false };

    #[test]
    fn healthy_logs_pass() {
        for index in [10, 15, 20] {
            assert_eq!(verify(&healthy(), applied(index)), Ok(()));
        }
        assert_eq!(verify(&Found::default(), NEW), Ok(()));
        let marked = Found { format: true, ..Found::default() };
        assert_eq!(verify(&marked, NEW), Ok(()));
        assert_eq!(verify(&marked, Witness { existed: true, ..NEW }), Ok(()));
    }

    #[test]
    fn a_lost_log_is_found() {
        let marked = Found { format: true, ..Found::default() };
        assert_eq!(verify(&marked, applied(7)), Err(Damage::Vanished));
        assert_eq!(verify(&Found::default(), applied(7)), Err(Damage::Vanished));
        assert_eq!(verify(&Found::default(), Witness { existed: true, ..NEW }), Err(Damage::Vanished));
        assert_eq!(verify(&Found { format: false, ..healthy() }, applied(15)), Err(Damage::Unmarked));
    }

    #[test]
    fn a_lost_end_is_found() {
        assert_eq!(verify(&healthy(), applied(21)), Err(Damage::BehindState { last: Some(20), applied: 21 }));
        let committed = Found { committed: Some(at(3, 21)), ..healthy() };
        let damage = Damage::BehindCommitted { committed: 21, last: Some(20) };
        assert_eq!(verify(&committed, applied(15)), Err(damage));
    }

    /// Between the install of a snapshot and the purge of the log, the log may be behind both.
    #[test]
    fn a_received_snapshot_excuses_a_short_log() {
        let received = Found { received: Some(at(3, 500)), committed: Some(at(3, 500)), ..healthy() };
        assert_eq!(verify(&received, applied(500)), Ok(()));
        assert!(matches!(verify(&received, applied(501)), Err(Damage::BehindState { .. })));
    }

    #[test]
    fn lost_state_is_found() {
        assert_eq!(
            verify(&healthy(), applied(9)),
            Err(Damage::PurgedPastState { purged: 10, applied: Some(9) })
        );
        let witness = Witness { applied: None, existed: true };
        assert_eq!(verify(&healthy(), witness), Err(Damage::PurgedPastState { purged: 10, applied: None }));
    }

    #[test]
    fn a_lost_vote_is_found() {
        assert_eq!(
            verify(&Found { ballot: None, ..healthy() }, applied(15)),
            Err(Damage::NoVote { term: 3 })
        );
        let older = Ballot { term: 2, node: 3, committed: true };
        assert!(matches!(
            verify(&Found { ballot: Some(older), ..healthy() }, applied(15)),
            Err(Damage::VoteBehindLog { vote_term: 2, term: 3, .. })
        ));
    }

    /// The first membership is written before the first vote.
    #[test]
    fn a_first_membership_needs_no_vote() {
        let found = Found { format: true, last: Some(at(0, 0)), ..Found::default() };
        assert_eq!(verify(&found, Witness { applied: None, existed: true }), Ok(()));
    }

    #[test]
    fn every_damage_says_what_to_do() {
        assert!(Damage::Vanished.to_string().contains("rebuild this node"));
    }
}
