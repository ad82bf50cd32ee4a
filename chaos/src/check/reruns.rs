//! I16: no task is run again whose worker lived and could be heard.
//!
//! Runs are told apart by the effects that they offer at their beginning. A second one is explained by the death of the
//! first one's worker, or by a time without a majority, in which workers rightly give up what they hold.

use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Step, Story};
use crate::history::FaultStep;

/// Faults of this name begin so, and are all kills.
const KILLS: &str = "dev-";
/// The one that kills every node, and the one that kills the leader.
const ALL_NODES: &str = "dev-kill-all-nodes";
const LEADER: &str = "dev-kill-leader";
/// A cluster of fewer nodes has no majority without its leader.
const NODES_MIN: usize = 3;

/// What explains runs: killed processes, each with when that began, and times without a majority.
struct Excuses {
    killed: Vec<(u64, u32)>,
    outages: Vec<(u64, u64)>,
}

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Reruns);
    if evidence.run.faults.iter().any(|name| !name.starts_with(KILLS)) {
        inquiry.untried("workers that live are paused or cut off, too");
        return inquiry.close("");
    }
    let excuses = Excuses::of(evidence);
    let (mut runs, mut again) = (0_u64, 0_u64);
    for (task, dossier) in &evidence.tasks {
        runs += dossier.runs.len() as u64;
        for ((pair, pids), n) in dossier.effects.windows(2).zip(&dossier.runs).zip(1_u64..) {
            let [(first, token, _), (second, newer, _)] = pair else { continue };
            if newer <= token {
                continue;
            }
            again += 1;
            if !excuses.explain(*first, pids, *second) {
                let step =
                    |at: u64, token: u64| Step { at: Some(at), text: format!("runs under token {token}") };
                let steps = vec![step(*first, *token), step(*second, *newer)];
                let headline = format!("task {task} was run again after run {n}, though its worker lived");
                inquiry.violated(|| Story { headline, steps });
            }
        }
    }
    inquiry.close(format!("{runs} runs, {again} of them repeats"))
}

impl Excuses {
    fn of(evidence: &Evidence) -> Self {
        let mut excuses = Self { killed: Vec::new(), outages: Vec::new() };
        for (at, fault) in &evidence.faults {
            match fault.step {
                FaultStep::Start => excuses.killed.extend(fault.workers.iter().map(|pid| (*at, *pid))),
                FaultStep::Stop { .. } => {
                    let silences = fault.name == ALL_NODES
                        || (fault.name == LEADER && evidence.run.nodes.len() < NODES_MIN);
                    let began = evidence.faults.iter().find(|(_, other)| other.id == fault.id);
                    if let (true, Some((began, _))) = (silences, began) {
                        excuses.outages.push((*began, *at));
                    }
                }
            }
        }
        excuses
    }

    /// Whether a second run had to be, after a first one by a process with these ancestors.
    fn explain(&self, first: u64, pids: &[u32], second: u64) -> bool {
        self.killed.iter().any(|(at, pid)| *at <= second && pids.contains(pid))
            || self.outages.iter().any(|(from, to)| *from <= second && first <= *to)
    }
}
