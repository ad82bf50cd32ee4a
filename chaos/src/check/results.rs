//! I15: what completes has the result of its function for its arguments.

use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Story};

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Results);
    let (mut tasks, mut read) = (0_u64, 0_u64);
    for (task, dossier) in &evidence.tasks {
        let Some(due) = dossier.due else { continue };
        tasks += 1;
        for (deed, sight) in dossier.sights() {
            let Some(result) = sight.result else { continue };
            read += 1;
            if result != due {
                let headline = format!("task {task} has result {result}, and must have {due}");
                inquiry.violated(|| Story { headline, steps: vec![deed.step(*task)] });
            }
        }
    }
    inquiry.close(format!("{read} results of {tasks} tasks"))
}
