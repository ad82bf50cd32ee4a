//! I7: the tasks that exist are those that were asked for and that the log accepted, and stand where it left them.

use super::dossier::{Act, Dossier, Saw};
use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Story};
use crate::history::Phase;

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Conservation);
    if let Err(why) = evidence.log.whole() {
        evidence.lacks_log(&mut inquiry, why);
        return inquiry.close("");
    }
    let settled = evidence.phase(Phase::Settled).unwrap_or(u64::MAX);
    let (mut accepted, mut ended, mut read) = (0_u64, 0_u64, 0_u64);
    for (task, dossier) in &evidence.tasks {
        let last = dossier.last_moment();
        accepted += u64::from(last.is_some());
        ended +=
            u64::from(last.is_some_and(|last| last.sight.is_none_or(|sight| sight.status.is_terminal())));
        if nobody_asked(evidence, dossier) {
            let headline = format!("the log accepted task {task}, which nobody submitted");
            let steps = dossier.facts.iter().take(3).map(|fact| fact.step(*task)).collect();
            inquiry.violated(|| Story { headline, steps });
        }
        for (deed, sight) in dossier.sights() {
            let Some(last) = last else {
                let headline = format!("task {task} is seen, but the log never accepted it");
                inquiry.violated(|| Story { headline, steps: vec![deed.step(*task)] });
                continue;
            };
            // Once all has settled, nothing moves any more: stale reads show the end of the log, too.
            if deed.from > settled && matches!(deed.act, Act::Read { .. }) {
                read += 1;
                if last.sight.is_some_and(|expected| !expected.agrees(&sight)) {
                    let headline = format!("task {task} does not stand where the log left it");
                    let steps = vec![last.step(*task), deed.step(*task)];
                    inquiry.violated(|| Story { headline, steps });
                }
            }
        }
        debug_assert!(dossier.facts.iter().all(|fact| !matches!(fact.saw, Saw::Unknown)));
    }
    let live = accepted - ended;
    inquiry
        .close(format!("{accepted} accepted = {ended} ended + {live} live, {read} of them read at the end"))
}

/// Whether a task came to be that no caller wanted. Callers whose functions are their own, such as the SDK's, are not recorded.
fn nobody_asked(evidence: &Evidence, dossier: &Dossier) -> bool {
    let is_recorded = dossier.function.is_some_and(|function| evidence.functions.contains(&function));
    is_recorded && !dossier.deeds.iter().any(|deed| matches!(deed.act, Act::Submit { .. }))
}
