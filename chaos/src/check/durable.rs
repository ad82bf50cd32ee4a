//! I1: every acknowledged submit is there at the end, on every node, with its arguments.

use raftwork_api::kernel::TaskId;

use super::dossier::{Act, Deed, Dossier, Saw};
use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Story};
use crate::history::{Phase, Refusal};

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Durable);
    let settled = evidence.phase(Phase::Settled);
    let log = evidence.log.whole();
    if let (Err(why), None) = (&log, settled) {
        inquiry.missing(format!("{why}, and no node was read after everything had settled"));
    }
    let (mut submits, mut reads) = (0_u64, 0_u64);
    for (task, dossier) in &evidence.tasks {
        let Some(submit) = dossier.acknowledged() else { continue };
        submits += 1;
        if log.is_ok() && !is_logged(dossier, submit) {
            inquiry.violated(|| story(*task, submit, None, "the log does not hold it"));
        }
        for read in reads_after(dossier, submit, settled) {
            reads += 1;
            if matches!(read.saw, Saw::Refused(Refusal::UnknownTask, _)) && !was_forgotten(dossier) {
                inquiry.violated(|| story(*task, submit, Some(read), "a node does not know it afterwards"));
            }
        }
    }
    inquiry.close(format!("{submits} acknowledged tasks, {reads} later reads of them"))
}

/// Whether the log holds a submit of the same request that was accepted.
fn is_logged(dossier: &Dossier, submit: &Deed) -> bool {
    dossier.facts.iter().any(|fact| matches!(fact.saw, Saw::Ok(_)) && fact.act == submit.act)
}

/// Reads that must know the task: linearizable ones after the acknowledgement, stale ones once all had settled.
fn reads_after<'d>(
    dossier: &'d Dossier,
    submit: &'d Deed,
    settled: Option<u64>,
) -> impl Iterator<Item = &'d Deed> {
    let acknowledged = submit.to.unwrap_or(u64::MAX);
    dossier.deeds.iter().filter(move |deed| {
        let Act::Read { stale, .. } = deed.act else { return false };
        let from = if stale { settled.map(|settled| settled.max(acknowledged)) } else { Some(acknowledged) };
        from.is_some_and(|from| deed.from > from)
    })
}

fn was_forgotten(dossier: &Dossier) -> bool {
    dossier.moments.iter().any(|moment| moment.sight.is_none())
}

fn story(task: TaskId, submit: &Deed, read: Option<&Deed>, what: &str) -> Story {
    let steps = core::iter::once(submit).chain(read).map(|deed| deed.step(task)).collect();
    Story { headline: format!("task {task} was acknowledged, and {what}"), steps }
}
