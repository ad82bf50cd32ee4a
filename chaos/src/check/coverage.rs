//! I14: every planned fault happened, and enough was asked; otherwise a run proves nothing, whatever it did not find.

use std::collections::BTreeMap;

use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant};
use crate::history::FaultStep;

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Coverage);
    let happened = happened(evidence);
    let absent: Vec<&str> = evidence
        .run
        .faults
        .iter()
        .map(String::as_str)
        .filter(|name| !happened.contains_key(name) && !evidence.run.skipped.contains_key(*name))
        .collect();
    if !absent.is_empty() {
        inquiry.missing(format!("planned faults that never happened: {}", absent.join(", ")));
    }
    let (wanted, parts) = (evidence.run.wanted, evidence.log.parts);
    let got = [
        ("answered operations", evidence.counts.answered(), wanted.operations),
        ("leader changes", leader_changes(evidence), wanted.leader_changes),
        ("expired leases", evidence.log.expiries, wanted.expiries),
        ("refused stale reports", evidence.counts.stale, wanted.stale_refusals),
        ("effects of tasks", effects(evidence), wanted.effects),
        ("tasks released by others", evidence.log.released, wanted.released),
        ("tasks failed by others", evidence.log.broken, wanted.broken),
        ("arguments in parts", parts.arguments, wanted.arguments_in_parts),
        ("results in parts", parts.results, wanted.results_in_parts),
        ("payloads with parts under two leaders", parts.across, wanted.parts_across_leaders),
    ];
    for (what, got, wanted) in got {
        if got < wanted {
            inquiry.missing(format!("{got} {what}, where {wanted} were wanted"));
        }
    }
    if evidence.torn {
        inquiry.missing("the history is torn: the harness was stopped while it wrote");
    }
    let skipped: Vec<String> =
        evidence.run.skipped.iter().map(|(name, why)| format!("{name} ({why})")).collect();
    let skipped =
        if skipped.is_empty() { String::new() } else { format!("; skipped: {}", skipped.join(", ")) };
    let numbers: Vec<String> = got.iter().map(|(what, got, _)| format!("{got} {what}")).collect();
    inquiry.close(format!("{} kinds of fault, {}{skipped}", happened.len(), numbers.join(", ")))
}

/// How often each fault took effect, by its name.
pub(crate) fn happened(evidence: &Evidence) -> BTreeMap<&str, u64> {
    let took_effect = |step| matches!(step, FaultStep::Stop { happened: true });
    let mut happened = BTreeMap::new();
    for (_, fault) in evidence.faults.iter().filter(|(_, fault)| took_effect(fault.step)) {
        *happened.entry(fault.name.as_str()).or_insert(0) += 1;
    }
    happened
}

/// Effects that were taken.
fn effects(evidence: &Evidence) -> u64 {
    let taken = |(.., accepted): &&(u64, u64, bool)| *accepted;
    evidence.tasks.values().map(|dossier| dossier.effects.iter().filter(taken).count() as u64).sum()
}

/// Times that the leadership was seen to change.
pub(crate) fn leader_changes(evidence: &Evidence) -> u64 {
    evidence.leaders.windows(2).filter(|pair| pair[0].1 != pair[1].1).count() as u64
}
