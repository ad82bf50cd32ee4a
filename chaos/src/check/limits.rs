//! I17: no more tasks under a key are leased at a time than its limit, as their workers saw it.
//!
//! A lease was surely live from the answer that gave it until somebody asked for its end. Whose end came by time alone, says the log,
//! and is left out: when that was in real time, nobody saw. So nothing is said of clusters that keep their log to themselves.

use std::collections::{BTreeMap, BTreeSet};

use raftwork_api::kernel::{Status, TaskId};

use super::dossier::{Act, Deed, Dossier, Sight};
use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Story};

/// A lease that was surely live from `from` until just before `until`.
#[derive(Clone, Copy)]
struct Lease<'e> {
    task: TaskId,
    max: u32,
    from: u64,
    until: u64,
    grant: &'e Deed,
}

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Limits);
    if evidence.run.without_log {
        evidence.lacks_log(&mut inquiry, String::new());
        return inquiry.close("");
    }
    let mut by_key: BTreeMap<String, Vec<Lease<'_>>> = BTreeMap::new();
    for (task, dossier) in &evidence.tasks {
        if let Some(limit) = dossier.limit {
            let leases = leases(*task, limit.max, dossier, evidence.end);
            by_key.entry(limit.key.to_string()).or_default().extend(leases);
        }
    }
    let (mut examined, mut most) = (0, 0);
    for (key, leases) in &mut by_key {
        leases.sort_by_key(|lease| (lease.from, lease.until));
        examined += leases.len();
        // Those that began so far and have not ended, by their end.
        let mut live = BTreeSet::new();
        for (n, lease) in leases.iter().enumerate() {
            while live.first().is_some_and(|(until, _)| *until <= lease.from) {
                live.pop_first();
            }
            if lease.until > lease.from {
                live.insert((lease.until, n));
            }
            most = most.max(live.len());
            if live.len() > lease.max as usize {
                inquiry.violated(|| story(key, leases, n, &live));
            }
        }
    }
    if let (true, Err(why)) = (examined > 0, evidence.log.whole()) {
        evidence.lacks_log(&mut inquiry, why);
    }
    inquiry.close(format!("{examined} leases of recorded workers under limits, {most} of them at a time"))
}

/// What shows that a lease was one too many, when those were live.
fn story(key: &str, leases: &[Lease<'_>], last: usize, live: &BTreeSet<(u64, usize)>) -> Story {
    let (count, max) = (live.len(), leases[last].max);
    let headline = format!("{count} tasks under the key {key} are leased at a time, and {max} may be");
    let mut began: Vec<usize> = live.iter().map(|(_, n)| *n).collect();
    began.sort_unstable();
    let steps = began.iter().map(|n| leases[*n].grant.step(leases[*n].task)).collect();
    Story { headline, steps }
}

fn leases(task: TaskId, max: u32, dossier: &Dossier, end: u64) -> impl Iterator<Item = Lease<'_>> {
    let mut granted: BTreeMap<u64, &Deed> = BTreeMap::new();
    for (deed, token, _) in dossier.grants() {
        // A repeated acquire tells of the same lease again.
        granted.entry(token).or_insert(deed);
    }
    granted.into_iter().filter(|(token, _)| !ended_by_time(dossier, *token)).filter_map(
        move |(token, grant)| {
            let asked = dossier.deeds.iter().filter(|deed| ends(deed.act, token)).map(|deed| deed.from);
            Some(Lease { task, max, from: grant.to?, until: asked.min().unwrap_or(end), grant })
        },
    )
}

/// Whether this asks for the end of the lease under a token.
fn ends(act: Act, token: u64) -> bool {
    act == Act::Cancel || (act != Act::Extend { token } && act.reports_under() == Some(token))
}

/// Whether the log ended the lease without anybody asking for it. Who has the task next may have it by the same entry.
fn ended_by_time(dossier: &Dossier, token: u64) -> bool {
    let is_over = |sight: &Sight| match sight.token {
        Some(newest) if newest == token => sight.status != Status::Running,
        newest => newest > Some(token),
    };
    let ended = dossier.moments.iter().find(|moment| moment.sight.as_ref().is_some_and(is_over));
    ended.is_some_and(|ended| {
        !dossier.facts.iter().any(|fact| fact.index == ended.index && ends(fact.act, token))
    })
}
