//! I10: log time never goes back, and nothing starts before its time.

use super::dossier::Act;
use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Step, Story};

/// Milliseconds by which a delay may seem shorter: both ends are rounded down to whole ones.
const ROUNDING_MS: u64 = 3;
/// Share of a delay, in per cent, by which the clocks of harness and leader may run apart.
const DRIFT_PERCENT: u64 = 6;

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Time);
    for (index, log_ms, before) in &evidence.log.back_in_time {
        let text = format!("entry {index} has log time {log_ms} ms after {before} ms");
        inquiry.violated(|| Story {
            headline: "log time goes back".to_owned(),
            steps: vec![Step { at: None, text }],
        });
    }
    let mut delayed = 0_u64;
    for (task, dossier) in &evidence.tasks {
        let submits = dossier.deeds.iter().filter_map(|deed| {
            let Act::Submit { delay_ms, .. } = deed.act else { return None };
            (delay_ms > 0).then_some((deed, delay_ms))
        });
        let Some((submit, delay_ms)) = submits.min_by_key(|(deed, _)| deed.from) else { continue };
        delayed += 1;
        let least = (delay_ms * (100 - DRIFT_PERCENT) / 100).saturating_sub(ROUNDING_MS);
        for (grant, ..) in dossier.grants() {
            let waited = grant.to.map_or(u64::MAX, |to| to.saturating_sub(submit.from)) / 1000;
            if waited < least {
                let headline = format!(
                    "task {task} was granted {waited} ms after its submit, with a delay of {delay_ms} ms"
                );
                let steps = vec![submit.step(*task), grant.step(*task)];
                inquiry.violated(|| Story { headline, steps });
            }
        }
    }
    inquiry.close(format!("{} log entries, {delayed} delayed tasks", evidence.log.last))
}
