//! I2: a task ends once, and its outcome never changes.

use raftwork_api::kernel::TaskId;

use super::dossier::{Act, Deed, Dossier, Saw, Sight};
use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Story};

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::OneEnding);
    let (mut tasks, mut readings) = (0_u64, 0_u64);
    for (task, dossier) in &evidence.tasks {
        let endings: Vec<(&Deed, Sight)> = endings(dossier).collect();
        tasks += u64::from(!endings.is_empty());
        readings += endings.len() as u64;
        for (n, (deed, ending)) in endings.iter().enumerate() {
            // Against the first that says something else: what one ending does not say, another does.
            if let Some((first, _)) = endings[..n].iter().find(|(_, before)| !before.agrees(ending)) {
                inquiry.violated(|| story(*task, first, deed, "has two outcomes"));
            }
        }
        let over = endings.iter().filter_map(|(deed, _)| Some((deed.to?, *deed))).min_by_key(|(to, _)| *to);
        let Some((over, ended)) = over else { continue };
        for (deed, sight) in dossier.sights() {
            if deed.from > over && !sight.status.is_terminal() && !deed.is_stale_read() {
                inquiry.violated(|| story(*task, ended, deed, "lives again after it had ended"));
            }
        }
    }
    inquiry.close(format!("{readings} readings of {tasks} tasks that ended"))
}

/// What somebody learnt of how the task ended: by reading, or by an accepted report.
fn endings(dossier: &Dossier) -> impl Iterator<Item = (&Deed, Sight)> {
    dossier.deeds.iter().filter_map(|deed| Some((deed, ending(deed)?)))
}

fn ending(deed: &Deed) -> Option<Sight> {
    use raftwork_api::kernel::Status;
    let sight = |status, token, result| Sight { status, token, attempts: None, result };
    match (deed.act, deed.saw) {
        (Act::Read { .. }, Saw::Seen(seen)) => seen.status.is_terminal().then_some(seen),
        // The result of a repeated report is not the recorded one, so only the token counts.
        (Act::Complete { token, .. }, Saw::Ok(_)) => Some(sight(Status::Completed, Some(token), None)),
        (Act::Cancel, Saw::Ok(_)) => Some(sight(Status::Cancelled, None, None)),
        (Act::Fail { token }, Saw::Ok(Some(status))) if status.is_terminal() => {
            Some(sight(status, Some(token), None))
        }
        _ => None,
    }
}

fn story(task: TaskId, first: &Deed, second: &Deed, what: &str) -> Story {
    Story { headline: format!("task {task} {what}"), steps: vec![first.step(task), second.step(task)] }
}
