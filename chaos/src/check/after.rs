//! I18: a task never starts before all that it runs after have ended, and never if one of them ended without a result and it was
//! to fail then.
//!
//! A start is seen as a grant that a worker was told of, or as an effect. What somebody saw alive, by a call that began after that,
//! had not ended at the start. Neither had what the log ended in one entry with the command of a call that began after that; so
//! much only needs the log.

use raftwork_api::kernel::{Status, TaskId};

use super::dossier::{Act, Deed, Dossier, Saw, Sight};
use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Step, Story};

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::After);
    let (mut tasks, mut started) = (0_u64, 0_u64);
    for (task, dossier) in &evidence.tasks {
        let Some(after) = &dossier.after else { continue };
        tasks += 1;
        let Some((at, start)) = first_start(*task, dossier) else { continue };
        started += 1;
        for (other, dependency) in after.tasks.iter().filter_map(|other| evidence.tasks.get_key_value(other))
        {
            if let Some(deed) = alive_after(at, dependency) {
                let headline =
                    format!("task {task} starts before task {other}, which it runs after, has ended");
                inquiry.violated(|| Story { headline, steps: vec![start.clone(), deed.step(*other)] });
            }
            if let Some(end) = ended_without_result(*other, dependency).filter(|_| !after.all_the_same) {
                let headline = format!("task {task} starts, and was to fail as task {other} has no result");
                inquiry.violated(|| Story { headline, steps: vec![end, start.clone()] });
            }
        }
    }
    inquiry.close(format!("{tasks} tasks run after others, {started} of them were seen to start"))
}

/// By when the task had started for the first time, as it was seen.
fn first_start(task: TaskId, dossier: &Dossier) -> Option<(u64, Step)> {
    let grants = dossier.grants().filter_map(|(deed, ..)| Some((deed.to?, deed.step(task))));
    let effects = dossier.effects.iter().map(|(at, token, _)| {
        (*at, Step { at: Some(*at), text: format!("{task} runs under token {token}") })
    });
    grants.chain(effects).min_by_key(|(at, _)| *at)
}

/// A call that began after this moment, and shows that the task had not ended by then.
fn alive_after(at: u64, dossier: &Dossier) -> Option<&Deed> {
    let later = || dossier.deeds.iter().filter(|deed| deed.from > at);
    later().find(|deed| is_alive(deed)).or_else(|| {
        let is_over = |sight: &Sight| sight.status.is_terminal();
        let end = dossier.moments.iter().find(|moment| moment.sight.as_ref().is_some_and(is_over))?;
        let facts = dossier.facts.iter().filter(|fact| fact.index == end.index);
        // A command may be one of several calls that ask for the same: all of them came later.
        let mut late = facts.filter(|fact| {
            dossier.deeds.iter().filter(|deed| deed.act.same(fact.act)).all(|deed| deed.from > at)
        });
        late.find_map(|fact| later().find(|deed| deed.act.same(fact.act)))
    })
}

/// Whether the answer is one that only a task which has not ended gives.
const fn is_alive(deed: &Deed) -> bool {
    match (deed.act, deed.saw) {
        (_, Saw::Seen(sight)) => !deed.is_stale_read() && !sight.status.is_terminal(),
        (Act::Grant { .. } | Act::Extend { .. } | Act::Release { .. }, Saw::Ok(_)) => true,
        (Act::Complete { .. } | Act::Fail { .. } | Act::Cancel, Saw::Ok(Some(status))) => {
            !status.is_terminal()
        }
        _ => false,
    }
}

/// What shows that the task ended without a result, if it did.
fn ended_without_result(task: TaskId, dossier: &Dossier) -> Option<Step> {
    let ends = |status: Status| status.is_terminal() && status != Status::Completed;
    let told = dossier.deeds.iter().find(|deed| match deed.saw {
        Saw::Seen(sight) => ends(sight.status),
        Saw::Ok(status) => status.is_some_and(ends),
        Saw::Refused(..) | Saw::Unknown => false,
    });
    let by_log = || dossier.last_moment().filter(|last| last.sight.is_some_and(|sight| ends(sight.status)));
    told.map(|deed| deed.step(task)).or_else(|| Some(by_log()?.step(task)))
}
