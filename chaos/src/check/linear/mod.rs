//! L: for each task and each key, one order of all calls explains all answers.
//!
//! Linearizability is local (Herlihy and Wing, 1990, theorem 1): a history is linearizable if that of each object is. So
//! the search runs task by task and key by key. It does not trust the log; the log only says which calls without an answer
//! surely never happened, as etcd's robustness tests do it.

mod key;
mod search;
mod task;

use raftwork_api::kernel::TaskId;

use self::key::{KeySpec, Use};
use self::search::{Found, Interval, search};
use self::task::TaskSpec;
use super::dossier::{Act, Deed, Dossier, Saw};
use super::evidence::{Evidence, Keyed};
use super::verdict::{Finding, Inquiry, Invariant, Step, Story};

/// Steps after which a search gives up: a few seconds, and far more than any task of a run has needed.
const BUDGET: usize = 500_000;

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Linearizable);
    let is_logged = evidence.log.whole().is_ok();
    let mut calls = 0;
    for (task, dossier) in &evidence.tasks {
        calls += of_task(*task, dossier, is_logged, &mut inquiry);
    }
    for (key, uses) in &evidence.keys {
        calls += of_key(key, uses, &mut inquiry);
    }
    let (tasks, keys) = (evidence.tasks.len(), evidence.keys.len());
    inquiry.close(format!("{calls} calls of {tasks} tasks and {keys} keys"))
}

fn of_task(task: TaskId, dossier: &Dossier, is_logged: bool, inquiry: &mut Inquiry) -> usize {
    // A task that was forgotten is unknown again, which these rules have no word for; the replay has.
    if dossier.moments.iter().any(|moment| moment.sight.is_none()) {
        return 0;
    }
    let deeds: Vec<&Deed> = dossier.deeds.iter().filter(|deed| counts(dossier, deed, is_logged)).collect();
    let interval = |deed: &&Deed| Interval { from: deed.from, to: deed.to, op: (deed.act, deed.saw) };
    let ops: Vec<_> = deeds.iter().map(interval).collect();
    let (spec, first) = TaskSpec::of(dossier);
    match search(&spec, first, &ops, BUDGET) {
        Found::Linearizable => {}
        Found::GaveUp => inquiry.missing(format!("the search for an order gave up on task {task}")),
        Found::Not { explained, stuck } => inquiry.violated(|| {
            let steps = told(&explained, stuck, |n| deeds[n].step(task));
            Story { headline: format!("no order of the calls on task {task} explains their answers"), steps }
        }),
    }
    ops.len()
}

/// Whether a deed must, or may, have its place in the order.
fn counts(dossier: &Dossier, deed: &Deed, is_logged: bool) -> bool {
    if deed.is_stale_read() {
        return false;
    }
    let never_happened =
        is_logged && deed.saw == Saw::Unknown && !dossier.facts.iter().any(|fact| fact.act == deed.act);
    !(never_happened || deed.saw == Saw::Unknown && matches!(deed.act, Act::Read { .. }))
}

fn of_key(key: &str, uses: &[Keyed], inquiry: &mut Inquiry) -> usize {
    let interval = |keyed: &Keyed| Interval {
        from: keyed.from,
        to: keyed.to,
        op: Use { request: keyed.request, tasks: keyed.tasks.clone(), saw: keyed.saw },
    };
    let ops: Vec<_> = uses.iter().map(interval).collect();
    match search(&KeySpec, None, &ops, BUDGET) {
        Found::Linearizable => {}
        Found::GaveUp => inquiry.missing(format!("the search for an order gave up on key '{key}'")),
        Found::Not { explained, stuck } => inquiry.violated(|| {
            let step = |n: usize| {
                let Keyed { process, request, saw, .. } = &uses[n];
                let text = format!("process {process} submits request {request} under it: {saw:?}");
                Step { at: Some(uses[n].from), text }
            };
            let headline = format!("no order of the submits under key '{key}' explains their answers");
            Story { headline, steps: told(&explained, stuck, step) }
        }),
    }
    ops.len()
}

/// The end of the longest order that could be explained, and what does not follow from it.
fn told(explained: &[usize], stuck: usize, step: impl Fn(usize) -> Step) -> Vec<Step> {
    const KEPT: usize = 8;
    let kept = &explained[explained.len().saturating_sub(KEPT)..];
    let mut steps: Vec<Step> = kept.iter().map(|n| step(*n)).collect();
    if stuck != usize::MAX {
        let Step { at, text } = step(stuck);
        steps.push(Step { at, text: format!("cannot follow: {text}") });
    }
    steps
}
