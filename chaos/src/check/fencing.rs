//! I4: no report under a token that is not the newest is accepted.

use raftwork_api::kernel::TaskId;

use super::dossier::{Act, Deed, Dossier, Saw};
use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Step, Story};

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Fencing);
    let is_replayed = evidence.log.whole().is_ok();
    let mut reports = 0_u64;
    for (task, dossier) in &evidence.tasks {
        for report in &dossier.deeds {
            let (Some(token), Saw::Ok(_)) = (report.act.reports_under(), report.saw) else { continue };
            reports += 1;
            if let Some(newer) = newer_before(dossier, report, token) {
                inquiry.violated(|| story(*task, token, newer.step(*task), report));
            } else if let Some(step) = is_replayed.then(|| refused_by_log(*task, dossier, report)).flatten() {
                inquiry.violated(|| story(*task, token, step, report));
            }
        }
    }
    inquiry.close(format!("{reports} accepted reports, {} stale ones refused", evidence.counts.stale))
}

/// Somebody who learnt of a newer token before the report was made.
fn newer_before<'d>(dossier: &'d Dossier, report: &Deed, token: u64) -> Option<&'d Deed> {
    dossier.deeds.iter().find(|deed| {
        let known = match (deed.act, deed.saw) {
            (Act::Grant { token, .. }, Saw::Ok(_)) => Some(token),
            (Act::Read { .. }, Saw::Seen(sight)) => sight.token,
            (_, Saw::Refused(_, current)) => current,
            _ => None,
        };
        deed.to.is_some_and(|to| to < report.from) && known.is_some_and(|known| known > token)
    })
}

/// The log's answer, if by the log no such report was ever to be accepted.
fn refused_by_log(task: TaskId, dossier: &Dossier, report: &Deed) -> Option<Step> {
    let mut alike = dossier.facts.iter().filter(|fact| fact.act == report.act).peekable();
    let first = alike.peek().map(|fact| fact.step(task))?;
    alike.all(|fact| matches!(fact.saw, Saw::Refused(..))).then_some(first)
}

fn story(task: TaskId, token: u64, newer: Step, report: &Deed) -> Story {
    let headline = format!("a report on task {task} was accepted under token {token}, which was over");
    Story { headline, steps: vec![newer, report.step(task)] }
}
