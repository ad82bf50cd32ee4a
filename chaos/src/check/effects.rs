//! I12: effects fenced by the token come in order, and the last one is of the attempt that completed.

use raftwork_api::kernel::{Status, TaskId};

use super::dossier::Dossier;
use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Step, Story};

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Effects);
    let (mut effects, mut tasks) = (0_u64, 0_u64);
    for (task, dossier) in &evidence.tasks {
        effects += dossier.effects.len() as u64;
        tasks += u64::from(!dossier.effects.is_empty());
        check_order(*task, dossier, &mut inquiry);
        let accepted = dossier.effects.iter().rfind(|(.., accepted)| *accepted);
        let (Some((at, token, _)), Some(completed)) = (accepted, completed_under(dossier)) else { continue };
        if *token != completed {
            let headline =
                format!("task {task} completed under token {completed}, its last effect is of token {token}");
            inquiry.violated(|| Story { headline, steps: vec![step(*task, *at, *token, true)] });
        }
    }
    inquiry.close(format!("{effects} effects of {tasks} tasks"))
}

/// The register takes what is not below the highest token that it took before, and nothing else.
fn check_order(task: TaskId, dossier: &Dossier, inquiry: &mut Inquiry) {
    let mut highest: Option<(u64, u64)> = None;
    for (at, token, accepted) in &dossier.effects {
        let fits = highest.is_none_or(|(_, highest)| *token >= highest);
        if fits != *accepted {
            let before = highest.map(|(at, token)| step(task, at, token, true));
            let what = if *accepted { "accepted" } else { "refused" };
            let headline = format!("an effect of task {task} under token {token} was wrongly {what}");
            let steps = before.into_iter().chain([step(task, *at, *token, *accepted)]).collect();
            inquiry.violated(|| Story { headline, steps });
        }
        if *accepted {
            highest = Some((*at, *token));
        }
    }
}

fn completed_under(dossier: &Dossier) -> Option<u64> {
    let by_log = dossier.last_moment().and_then(|moment| moment.sight);
    let seen = dossier.sights().map(|(_, sight)| sight);
    by_log
        .into_iter()
        .chain(seen)
        .filter(|sight| sight.status == Status::Completed)
        .find_map(|sight| sight.token)
}

fn step(task: TaskId, at: u64, token: u64, accepted: bool) -> Step {
    let what = if accepted { "accepted" } else { "refused" };
    Step { at: Some(at), text: format!("effect of {task} under token {token}: {what}") }
}
