//! Equal applied index, equal digest: replicas that applied the same log must be equal, byte for byte.

use std::collections::BTreeMap;

use raftwork_api::cluster::DigestInfo;

/// What one look at all nodes shows.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All nodes are at the same index and have the same digest.
    Equal {
        /// The index.
        applied: u64,
    },
    /// Two nodes at the same index differ: they have diverged, and will never agree again.
    Diverged {
        /// The index.
        applied: u64,
        /// Every digest seen there, by node.
        digests: BTreeMap<u64, String>,
    },
    /// The nodes are at different indexes: look again.
    Unsettled,
}

/// Judges one look.
pub fn judge(looks: &[DigestInfo]) -> Verdict {
    let mut by_index: BTreeMap<u64, BTreeMap<u64, String>> = BTreeMap::new();
    for look in looks {
        by_index.entry(look.applied).or_default().insert(look.node, look.digest.clone());
    }
    let diverged = by_index
        .iter()
        .find(|(_, digests)| digests.values().any(|digest| Some(digest) != digests.values().next()));
    if let Some((applied, digests)) = diverged {
        return Verdict::Diverged { applied: *applied, digests: digests.clone() };
    }
    match by_index.first_key_value() {
        Some((applied, _)) if by_index.len() == 1 => Verdict::Equal { applied: *applied },
        Some(_) | None => Verdict::Unsettled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(node: u64, applied: u64, digest: &str) -> DigestInfo {
        DigestInfo { node, applied, digest: digest.to_owned() }
    }

    #[test]
    fn equal_replicas_pass() {
        assert_eq!(judge(&[look(1, 7, "a"), look(2, 7, "a")]), Verdict::Equal { applied: 7 });
    }

    #[test]
    fn replicas_at_different_indexes_prove_nothing() {
        assert_eq!(judge(&[look(1, 7, "a"), look(2, 8, "b")]), Verdict::Unsettled);
        assert_eq!(judge(&[]), Verdict::Unsettled);
    }

    #[test]
    fn two_that_differ_at_one_index_are_named_even_while_a_third_lags() {
        let digests = BTreeMap::from([(1, "a".to_owned()), (2, "b".to_owned())]);
        assert_eq!(
            judge(&[look(1, 7, "a"), look(2, 7, "b"), look(3, 5, "a")]),
            Verdict::Diverged { applied: 7, digests }
        );
    }
}
