//! I8: nodes that applied the same entries hold the same log and the same state.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Step, Story};
use crate::history::{LogEntry, NodeDigest};

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Replicas);
    let mut by_index: BTreeMap<u64, Vec<&(u64, NodeDigest)>> = BTreeMap::new();
    for told in &evidence.digests {
        by_index.entry(told.1.applied).or_default().push(told);
    }
    for (applied, told) in &by_index {
        let Some((first, rest)) = told.split_first() else { continue };
        if let Some(other) = rest.iter().find(|other| other.1.digest != first.1.digest) {
            let headline = format!("as of entry {applied}, two nodes hold different states");
            inquiry.violated(|| Story { headline, steps: vec![digest(first), digest(other)] });
        }
    }
    for (one, other) in &evidence.log.forks {
        let headline = format!("nodes hold different entries under index {}", one.index);
        inquiry.violated(|| Story { headline, steps: vec![entry(one), entry(other)] });
    }
    let most = by_index.values().map(|told| nodes(told).len()).max().unwrap_or(0);
    if most < 2 && evidence.run.nodes.len() > 1 {
        inquiry.missing("no two nodes told the digest of their state as of the same entry");
    }
    let last = evidence.log.last;
    inquiry.close(format!(
        "{} digests, up to {most} nodes at one entry; {last} log entries",
        evidence.digests.len()
    ))
}

fn nodes(told: &[&(u64, NodeDigest)]) -> BTreeSet<u64> {
    told.iter().map(|(_, digest)| digest.node).collect()
}

fn digest((at, told): &(u64, NodeDigest)) -> Step {
    Step { at: Some(*at), text: format!("node {}: {}", told.node, told.digest) }
}

fn entry(entry: &LogEntry) -> Step {
    let LogEntry { index, term, nodes, log_ms, wall_ms: _, commands } = entry;
    let text = format!("entry {index} on nodes {nodes:?}: term {term}, log time {log_ms:?}, {commands:?}");
    Step { at: None, text }
}
