//! I11: after the last fault there is a leader soon, and every accepted task ends.

use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Step, Story, seconds};
use crate::history::Phase;

/// Microseconds within which an answer must come after the last fault was taken back.
const ANSWERED_WITHIN: u64 = 10_000_000;

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Liveness);
    if let Some(at) = evidence.phase(Phase::Stuck) {
        inquiry.violated(|| unfinished(evidence, at));
    }
    let Some(settled) = evidence.phase(Phase::Settled) else {
        inquiry.missing("the run did not come to its end");
        return inquiry.close("the run never settled");
    };
    if let Some(healed) = evidence.phase(Phase::Heal) {
        let second = |at: u64| usize::try_from(at / 1_000_000).unwrap_or(usize::MAX);
        let after = second(healed)..=second(healed + ANSWERED_WITHIN);
        let is_silent = evidence.end > healed + ANSWERED_WITHIN
            && after
                .into_iter()
                .all(|second| evidence.rates.seconds.get(second).is_none_or(|second| second.answered == 0));
        if is_silent {
            let step = Step { at: Some(healed), text: "the last fault was taken back".to_owned() };
            let headline = format!("no request was answered within {}", seconds(ANSWERED_WITHIN));
            inquiry.violated(|| Story { headline, steps: vec![step] });
        }
    }
    let mut ended = 0_u64;
    for (task, dossier) in &evidence.tasks {
        let by_log = dossier.last_moment().and_then(|moment| moment.sight);
        let live = by_log.is_some_and(|sight| !sight.status.is_terminal());
        let last = dossier.sights().filter(|(deed, _)| deed.from > settled).last();
        let seen_live = last.filter(|(_, sight)| !sight.status.is_terminal());
        if let Some((deed, _)) = seen_live {
            let headline = format!("task {task} has not ended");
            inquiry.violated(|| Story { headline, steps: vec![deed.step(*task)] });
        } else if live && evidence.log.whole().is_ok() {
            let steps = dossier.last_moment().map(|moment| moment.step(*task)).into_iter().collect();
            inquiry.violated(|| Story { headline: format!("task {task} has not ended"), steps });
        } else {
            ended += 1;
        }
    }
    inquiry.close(format!("{ended} tasks ended"))
}

fn unfinished(evidence: &Evidence, at: u64) -> Story {
    let live = evidence.tasks.iter().filter_map(|(task, dossier)| {
        let last =
            dossier.last_moment().filter(|last| last.sight.is_some_and(|s| !s.status.is_terminal()))?;
        Some(last.step(*task))
    });
    let gave_up = Step { at: Some(at), text: "the harness gave up waiting".to_owned() };
    let headline = "not every accepted task ended".to_owned();
    Story { headline, steps: live.take(5).chain([gave_up]).collect() }
}
