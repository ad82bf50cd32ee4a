//! I3: tokens rise with every grant in the whole cluster and are never given twice.

use std::collections::BTreeMap;

use raftwork_api::kernel::TaskId;

use super::dossier::Deed;
use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Story};

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Tokens);
    let mut grants: Vec<(TaskId, &Deed, u64)> = Vec::new();
    for (task, dossier) in &evidence.tasks {
        grants.extend(dossier.grants().map(|(deed, token, _)| (*task, deed, token)));
    }
    let mut holders: BTreeMap<u64, (TaskId, &Deed)> = BTreeMap::new();
    for (task, deed, token) in &grants {
        let (before, first) = holders.entry(*token).or_insert((*task, deed));
        // A repeated acquire gets the same grant again: then both began with the same first request.
        if before != task || first.from != deed.from {
            inquiry.violated(|| story(*token, "was given twice", (*before, first), (*task, deed)));
        }
    }
    grants.sort_by_key(|(_, deed, _)| deed.from);
    check_order(&grants, &mut inquiry);
    inquiry.close(format!("{} grants, {} tokens", grants.len(), holders.len()))
}

/// A grant that was answered before another was asked for has the lower token.
fn check_order(by_invocation: &[(TaskId, &Deed, u64)], inquiry: &mut Inquiry) {
    let mut by_return: Vec<&(TaskId, &Deed, u64)> = by_invocation.iter().collect();
    by_return.sort_by_key(|(_, deed, _)| deed.to);
    let mut returned = by_return.into_iter().peekable();
    let mut highest: Option<&(TaskId, &Deed, u64)> = None;
    for (task, deed, token) in by_invocation {
        while let Some(grant) = returned.next_if(|(_, other, _)| other.to.is_some_and(|to| to < deed.from)) {
            if highest.is_none_or(|highest| highest.2 < grant.2) {
                highest = Some(grant);
            }
        }
        if let Some((other, first, higher)) = highest.filter(|highest| highest.2 >= *token) {
            let what = format!("was given after {higher}");
            inquiry.violated(|| story(*token, &what, (*other, first), (*task, deed)));
        }
    }
}

fn story(token: u64, what: &str, first: (TaskId, &Deed), second: (TaskId, &Deed)) -> Story {
    let steps = [first, second].map(|(task, deed)| deed.step(task)).into();
    Story { headline: format!("token {token} {what}"), steps }
}
