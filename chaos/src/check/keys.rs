//! I6: one idempotency key names one request and its tasks.

use super::dossier::{Act, Saw};
use super::evidence::{Evidence, Keyed};
use super::verdict::{Finding, Inquiry, Invariant, Step, Story};

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Keys);
    let mut submits = 0_u64;
    for (key, uses) in &evidence.keys {
        let accepted: Vec<&Keyed> = uses.iter().filter(|keyed| matches!(keyed.saw, Saw::Ok(_))).collect();
        submits += accepted.len() as u64;
        let Some((first, rest)) = accepted.split_first() else { continue };
        if first.tasks != first.expected {
            let what = "was answered with tasks that it does not stand for";
            inquiry.violated(|| story(key, what, &[first]));
        }
        for other in rest {
            if other.tasks != first.tasks {
                inquiry.violated(|| story(key, "names two sets of tasks", &[first, other]));
            } else if other.request != first.request {
                inquiry.violated(|| story(key, "was accepted with two requests", &[first, other]));
            }
        }
    }
    for (task, dossier) in &evidence.tasks {
        let mut accepted = dossier
            .deeds
            .iter()
            .filter(|deed| matches!((deed.act, deed.saw), (Act::Submit { .. }, Saw::Ok(_))));
        let Some(first) = accepted.next() else { continue };
        if let Some(other) = accepted.find(|other| other.act != first.act) {
            let headline = format!("task {task} was accepted with two requests");
            inquiry.violated(|| Story { headline, steps: vec![first.step(*task), other.step(*task)] });
        }
    }
    inquiry.close(format!("{} keys, {submits} accepted submits under them", evidence.keys.len()))
}

fn story(key: &str, what: &str, uses: &[&Keyed]) -> Story {
    let step = |keyed: &&Keyed| Step {
        at: Some(keyed.from),
        text: format!(
            "process {} submits request {} under it, operation {}: {:?}",
            keyed.process,
            keyed.request,
            keyed.op,
            keyed.tasks.iter().map(ToString::to_string).collect::<Vec<_>>()
        ),
    };
    Story { headline: format!("key '{key}' {what}"), steps: uses.iter().map(step).collect() }
}
