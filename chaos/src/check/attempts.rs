//! I9: a task is tried as often as its policy allows, and every attempt is counted once.

use super::dossier::{Act, Dossier};
use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Story};

/// Crashes and losses that a task survives, whatever its policy.
const OTHERS_MAX: u32 = 2 + 19;
/// Failed attempts that no policy can ask for more of.
const FAILURES_MAX: u32 = 1000;

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Attempts);
    let mut attempts = 0_u64;
    for (task, dossier) in &evidence.tasks {
        let mut grants: Vec<_> = dossier.grants().collect();
        attempts += grants.len() as u64;
        grants.sort_by_key(|(_, token, _)| *token);
        for pair in grants.windows(2) {
            let [(first, _, before), (second, _, after)] = pair else { continue };
            if after < before {
                let headline = format!("task {task}: attempt {after} was granted after attempt {before}");
                let steps = vec![first.step(*task), second.step(*task)];
                inquiry.violated(|| Story { headline, steps });
            }
        }
        for (deed, token, attempt) in &grants {
            if *attempt == 0 || u32::from(*attempt) > FAILURES_MAX + OTHERS_MAX {
                let headline = format!("task {task} has attempt {attempt}, which no policy allows");
                inquiry.violated(|| Story { headline, steps: vec![deed.step(*task)] });
            } else if let Some(counted) = by_the_log(dossier, *token).filter(|counted| counted != attempt) {
                let headline =
                    format!("task {task}: attempt {attempt} by its grant is attempt {counted} by the log");
                let fact = dossier.facts.iter().find(|fact| is_grant(fact.act, *token));
                let steps = fact.map(|fact| fact.step(*task)).into_iter().chain([deed.step(*task)]);
                inquiry.violated(|| Story { headline, steps: steps.collect() });
            }
        }
    }
    if let Err(why) = evidence.log.whole() {
        evidence.lacks_log(&mut inquiry, why);
    }
    inquiry.close(format!("{attempts} attempts of recorded workers"))
}

/// The number of the attempt that the log grants under this token.
fn by_the_log(dossier: &Dossier, token: u64) -> Option<u16> {
    dossier.facts.iter().find_map(|fact| {
        let Act::Grant { token: granted, attempt } = fact.act else { return None };
        (granted == token).then_some(attempt)
    })
}

const fn is_grant(act: Act, token: u64) -> bool {
    matches!(act, Act::Grant { token: granted, .. } if granted == token)
}
