//! I13: tasks are granted by priority and age, as the log orders them.

use std::collections::HashMap;

use raftwork_api::kernel::TaskId;

use super::dossier::{Act, Fact};
use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Story};

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Order);
    if let Err(why) = evidence.log.whole() {
        evidence.lacks_log(&mut inquiry, why);
        return inquiry.close("");
    }
    let mut granted: HashMap<u64, (TaskId, &Fact)> = HashMap::new();
    for (task, dossier) in &evidence.tasks {
        for fact in &dossier.facts {
            if let Act::Grant { token, .. } = fact.act {
                granted.entry(token).or_insert((*task, fact));
            }
        }
    }
    let mut wrong = Vec::new();
    let mut grants = 0_u64;
    for (task, dossier) in &evidence.tasks {
        for (deed, token, _) in dossier.grants() {
            grants += 1;
            match granted.get(&token) {
                Some((turn, fact)) if turn != task => wrong.push((token, *task, deed, *turn, *fact)),
                Some(_) | None => {}
            }
        }
    }
    // The first one by token: everything after it is a consequence.
    wrong.sort_by_key(|(token, ..)| *token);
    for (token, task, deed, turn, fact) in wrong {
        let headline = format!("token {token} went to task {task}, though it was the turn of task {turn}");
        inquiry.violated(|| Story { headline, steps: vec![fact.step(turn), deed.step(task)] });
    }
    inquiry.close(format!("{grants} grants to recorded workers, of {} in the log", granted.len()))
}
