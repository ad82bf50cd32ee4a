//! What must hold, looked at with every entry that a node applies and every answer that somebody gets.
//!
//! It sees what no client can: the rows that each node writes, and what each disk would still hold after a crash. The
//! names I1 to I18 are those of `docs/testing.md`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raftwork_kernel::{
    After, FailureKind, LeaseRef, OnFailure, Outcome, Phase, Record, Rules, Scalars, Status, Task, TaskError,
    TaskId, Token, decode,
};
use raftwork_node::raft::RaftLeadership;
use raftwork_node::raft::handle::Role;
use raftwork_node::store::log::Ballot;
use raftwork_node::store::rows::Progress;

use crate::chance::Chance;
use crate::clock;
use crate::disk::{Change, SimDisk, Watch};
use crate::net::Place;
use crate::trace::Trace;

/// The auditor; a clone is another handle on it.
#[derive(Clone)]
pub(crate) struct Audit {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Hash over the rows that applying each entry wrote.
    applied: BTreeMap<u64, u64>,
    /// Where each node is, and changes of its that still lack their position.
    nodes: BTreeMap<Place, (Option<u64>, Vec<Change>)>,
    /// Hash of each committed entry, and its log time.
    entries: BTreeMap<u64, (u64, Option<u64>)>,
    tasks: BTreeMap<TaskId, Tracked>,
    /// How many of them have not ended.
    unfinished: usize,
    /// Tasks that were accepted or have ended lately, the newest last.
    recent: VecDeque<TaskId>,
    /// How often each node has started, and the greatest vote that it has said to be durable.
    votes: BTreeMap<Place, (u64, Vote)>,
    /// Nodes that have lost what they voted, with their folder.
    forgetful: BTreeSet<Place>,
    /// Under each vote, who led, and in which of its lives.
    reigns: BTreeMap<Vote, (Place, u64)>,
    scalars: Scalars,
    /// When each lease that is over ended.
    over: BTreeMap<LeaseRef, u64>,
    disks: BTreeMap<Place, SimDisk>,
    /// How often what a run is to exercise has happened.
    coverage: BTreeMap<&'static str, u64>,
    violation: Option<String>,
    trace: Option<Trace>,
}

/// A term and a node: the order of votes.
type Vote = (u64, Place);
/// Changes that are looked at more than once.
const RECENT: usize = 6;

/// One task, as the cluster has decided about it.
#[derive(Debug, Clone, Default)]
struct Tracked {
    live: Option<Task>,
    token: Token,
    record: Option<Record>,
    /// What it runs after.
    after: Option<After>,
}

/// What somebody who reads now must at least see of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) exists: bool,
    pub(crate) ended: bool,
}

/// One node's writes of rows, as its disk reports them.
pub(crate) struct NodeWatch {
    pub(crate) node: Place,
    pub(crate) audit: Audit,
}

impl Watch for NodeWatch {
    fn rows_written(&self, changes: &[Change]) {
        self.audit.applied(self.node, changes);
    }
}

impl Audit {
    pub(crate) fn new(trace: Trace) -> Self {
        let inner = Inner { trace: Some(trace), ..Inner::default() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    pub(crate) fn watch_disk(&self, node: Place, disk: SimDisk) {
        self.lock().disks.insert(node, disk);
    }

    /// What is wrong, if anything is.
    pub(crate) fn violation(&self) -> Option<String> {
        self.lock().violation.clone()
    }

    /// Says that something is wrong. The first finding counts: the rest may follow from it.
    pub(crate) fn violate(&self, finding: String) {
        self.lock().violate(finding);
    }

    /// A node starts again from what its disk has kept: nothing, if its folder was emptied.
    pub(crate) fn restarted(&self, node: Place, emptied: bool) {
        let mut inner = self.lock();
        inner.nodes.remove(&node);
        inner.votes.entry(node).or_default().0 += 1;
        if emptied {
            inner.forgetful.insert(node)
        } else {
            inner.forgetful.remove(&node)
        };
    }

    /// A node has read this vote from its disk. Votes are promises: it must know of every one that it has given, or give none
    /// any more.
    pub(crate) fn remembers(&self, node: Place, vote: Option<Ballot>) {
        let mut inner = self.lock();
        if inner.forgetful.contains(&node) {
            return;
        }
        let (found, given) = (vote.map(order).unwrap_or_default(), inner.votes.entry(node).or_default().1);
        if found < given {
            inner.violate(format!(
                "E: node {node} has voted {given:?}, and after a restart knows of {found:?}"
            ));
        }
    }

    /// A node says this of the leadership; true if it has voted since it last did. At most one life of one node leads
    /// under a vote.
    pub(crate) fn voted(&self, node: Place, told: &RaftLeadership) -> bool {
        let mut inner = self.lock();
        let vote = order(told.vote);
        if inner.forgetful.contains(&node) {
            // In term 0, nobody has voted.
            if told.vote.term > 0 {
                inner.violate(format!(
                    "E: node {node} takes part under vote {vote:?}, and knows of none of those that went with its folder"
                ));
            }
            return false;
        }
        let (life, given) = inner.votes.entry(node).or_default();
        let life = *life;
        let voted = vote > *given;
        *given = vote.max(*given);
        if told.role == Role::Leader && told.vote.committed && vote.1 == node {
            let reign = *inner.reigns.entry(vote).or_insert((node, life));
            if reign != (node, life) {
                inner.violate(format!("E: node {node} leads twice under one vote, {vote:?}"));
            }
        }
        voted
    }

    /// A task that something was decided about lately.
    pub(crate) fn recent(&self, chance: &mut Chance) -> Option<TaskId> {
        let inner = self.lock();
        let place = usize::try_from(chance.within(0..inner.recent.len().max(1) as u64)).ok()?;
        inner.recent.get(place).copied()
    }

    fn applied(&self, node: Place, changes: &[Change]) {
        let mut inner = self.lock();
        let entry = inner.nodes.entry(node).or_default();
        entry.1.extend_from_slice(changes);
        let position =
            changes.iter().rev().find(|(family, key, _)| family == "progress" && key == b"applied");
        let Some(bytes) = position.and_then(|(_, _, value)| value.as_ref()) else { return };
        let progress: Progress = decode("progress", bytes).expect("the node wrote it");
        let Some(position) = progress.applied else { return };
        let (last, changes) = std::mem::take(entry);
        *entry = (Some(position.index), Vec::new());
        match last {
            Some(last) if last >= position.index => {
                return inner
                    .violate(format!("I8: node {node} applied entry {} after {last}", position.index));
            }
            Some(last) if position.index > last + 1 => inner.count("snapshots installed"),
            Some(_) | None => {}
        }
        let hash = hash_of(&changes);
        if let Some(trace) = &inner.trace {
            trace.event("applied", &[node, position.index, hash], &[]);
        }
        match inner.applied.get(&position.index) {
            None => {
                inner.applied.insert(position.index, hash);
                inner.first_applied(node, position.index, &progress.scalars, &changes);
            }
            Some(known) if *known == hash => {}
            Some(_) => inner.violate(format!(
                "I8: node {node} made something else of entry {} than the node before it",
                position.index
            )),
        }
    }

    /// A node has this entry in its log, and has applied it.
    pub(crate) fn committed(&self, node: Place, index: u64, bytes: &[u8], log_time: Option<u64>) {
        let mut inner = self.lock();
        let found = (crate::trace::hash_bytes(bytes), log_time);
        match inner.entries.get(&index) {
            Some(known) if *known != found => {
                inner.violate(format!("I8: node {node} has another entry {index} than the others"));
            }
            Some(_) => {}
            None => {
                let before = inner.entries.range(..index).rev().find_map(|(_, (_, time))| *time);
                if log_time.is_some() && log_time < before {
                    inner.violate(format!(
                        "I10: log time goes back from {before:?} to {log_time:?} at entry {index}"
                    ));
                }
                inner.entries.insert(index, found);
            }
        }
    }

    /// What a read that begins now must at least see.
    pub(crate) fn known(&self, task: &TaskId) -> Known {
        let inner = self.lock();
        let tracked = inner.tasks.get(task);
        Known { exists: tracked.is_some(), ended: tracked.is_some_and(|tracked| tracked.record.is_some()) }
    }

    /// A read that began when `known` was known says this; it must have been the truth at some moment since.
    pub(crate) fn read(&self, task: &TaskId, known: Known, exists: bool, record: Option<&Record>) {
        let mut inner = self.lock();
        if known.exists && !exists {
            return inner.violate(format!("I5: a read does not know task {task}, which was there before"));
        }
        if known.ended && record.is_none() {
            return inner.violate(format!("I5: a read says that task {task} lives, but it had ended before"));
        }
        let truth = inner.tasks.get(task).and_then(|tracked| tracked.record.as_ref());
        if let Some(record) = record
            && truth != Some(record)
        {
            inner.violate(format!("I2: a read of task {task} shows {record:?}, the truth is another"));
        }
    }

    /// A submit was acknowledged.
    pub(crate) fn submit_acknowledged(&self, task: &TaskId) {
        let mut inner = self.lock();
        if !inner.tasks.contains_key(task) {
            inner.violate(format!("I1: task {task} was acknowledged, but no node has applied it"));
        }
    }

    /// A worker was told that its result is the task's one result.
    pub(crate) fn complete_acknowledged(&self, lease: &LeaseRef, result: &[u8]) {
        let mut inner = self.lock();
        let record = inner.tasks.get(&lease.task).and_then(|tracked| tracked.record.clone());
        let is_ours = |record: &Record| {
            record.token == lease.token
                && matches!(&record.outcome, Outcome::Completed(found) if found == result)
        };
        if !record.as_ref().is_some_and(is_ours) {
            inner.violate(format!("I4: the result of {lease:?} was accepted, but the record is {record:?}"));
        }
    }

    /// A worker's heartbeat was answered: the leases of `held` that are not in `lost` are still its own.
    pub(crate) fn beat_answered(&self, sent: u64, held: &[LeaseRef], lost: &[LeaseRef]) {
        let mut inner = self.lock();
        for lease in held.iter().filter(|lease| !lost.contains(lease)) {
            if inner.over.get(lease).is_some_and(|over| *over < sent) {
                inner.violate(format!(
                    "I4: a heartbeat was answered as if {lease:?} lived, which had ended before"
                ));
            }
        }
    }

    /// Tasks that have not ended.
    pub(crate) fn unfinished(&self) -> Vec<TaskId> {
        let inner = self.lock();
        inner.tasks.iter().filter(|(_, tracked)| tracked.record.is_none()).map(|(id, _)| *id).collect()
    }

    /// Their number.
    pub(crate) fn unfinished_count(&self) -> usize {
        self.lock().unfinished
    }

    /// Every task with its record, as decided.
    pub(crate) fn records(&self) -> Vec<(TaskId, Option<Record>)> {
        self.lock().tasks.iter().map(|(id, tracked)| (*id, tracked.record.clone())).collect()
    }

    /// How often what a run is to exercise has happened.
    pub(crate) fn coverage(&self) -> BTreeMap<&'static str, u64> {
        self.lock().coverage.clone()
    }

    /// Something that a run is to exercise has happened.
    pub(crate) fn count(&self, what: &'static str) {
        self.lock().count(what);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn count(&mut self, what: &'static str) {
        *self.coverage.entry(what).or_insert(0) += 1;
    }

    fn violate(&mut self, finding: String) {
        if let Some(trace) = &self.trace {
            trace.note(&finding);
        }
        self.violation.get_or_insert(finding);
    }

    /// The first node applies an entry: it is decided now.
    fn first_applied(&mut self, node: Place, index: u64, scalars: &Scalars, changes: &[Change]) {
        self.check_majority(index);
        if scalars.log_time < self.scalars.log_time {
            self.violate(format!("I10: node {node} puts log time back at entry {index}"));
        }
        if scalars.last_token < self.scalars.last_token {
            self.violate(format!("I3: node {node} puts the newest token back at entry {index}"));
        }
        for (family, key, value) in changes {
            let Ok(key) = key.as_slice().try_into() else { continue };
            let id = TaskId::from_bytes(key);
            match (family.as_str(), value) {
                ("tasks", Some(_)) => self.accepted(id),
                ("live", Some(value)) => {
                    let task: Task = decode("task", value).expect("written so");
                    self.moved(id, Some(&task), scalars);
                }
                ("live", None) => self.moved(id, None, scalars),
                ("records", Some(value)) => self.ended(id, &decode("record", value).expect("written so")),
                _ => {}
            }
        }
        // Nothing is granted by the entry that accepts it, if it waits for others.
        for (family, key, value) in changes {
            if let ("rules", Ok(key), Some(value)) = (family.as_str(), key.as_slice().try_into(), value) {
                self.depends(TaskId::from_bytes(key), &decode("rules", value).expect("written so"));
            }
        }
        self.scalars = *scalars;
    }

    /// Nothing counts as committed but what a crash of everything would leave on a majority.
    fn check_majority(&mut self, index: u64) {
        let holders = self.disks.values().filter(|disk| disk.durable_log_end() >= Some(index)).count();
        let nodes = self.disks.len();
        if holders <= nodes / 2 {
            self.violate(format!("I1: entry {index} is applied, but durable on {holders} of {nodes} nodes"));
        }
    }

    fn accepted(&mut self, id: TaskId) {
        if self.tasks.contains_key(&id) {
            self.violate(format!("I6: task {id} was accepted twice"));
        }
        if self.tasks.insert(id, Tracked::default()).is_none() {
            self.unfinished += 1;
        }
        self.note_recent(id);
    }

    fn depends(&mut self, id: TaskId, rules: &Rules) {
        if let Some(tracked) = self.tasks.get_mut(&id) {
            tracked.after = rules.after().cloned();
        }
    }

    /// Something that a task which was granted now was to run after, and does not permit it.
    fn hindrance(&self, id: &TaskId) -> Option<String> {
        let after = self.tasks.get(id)?.after.as_ref()?;
        let ends =
            after.tasks.iter().map(|task| (task, self.tasks.get(task).and_then(|of| of.record.as_ref())));
        let permits = |record: Option<&Record>| {
            let runs = |record: &Record| {
                after.on_failure == OnFailure::Run || record.outcome.status() == Status::Completed
            };
            record.is_some_and(runs)
        };
        let (task, record) = ends.into_iter().find(|(_, record)| !permits(*record))?;
        Some(format!("I18: task {id} was granted, and runs after {task}, which has {record:?}"))
    }

    fn note_recent(&mut self, id: TaskId) {
        self.recent.push_back(id);
        let surplus = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..surplus);
    }

    fn moved(&mut self, id: TaskId, to: Option<&Task>, scalars: &Scalars) {
        let now = clock::true_now();
        let Some(tracked) = self.tasks.get_mut(&id) else {
            return self.violate(format!("I1: task {id} moves, but was never accepted"));
        };
        let mut findings = Vec::new();
        let from = std::mem::replace(&mut tracked.live, to.cloned());
        if let (Some(_), Some(record)) = (to, &tracked.record) {
            findings.push(format!("I2: task {id} lives again after {record:?}"));
        }
        let (old, new) = (tracked.token, to.map_or(tracked.token, |task| task.token));
        tracked.token = new;
        if new < old || (new > old && new <= self.scalars.last_token) {
            findings.push(format!(
                "I3: task {id} goes from token {old} to {new}, newest {}",
                self.scalars.last_token
            ));
        }
        let lease = LeaseRef { task: id, token: old };
        let was_leased = from.as_ref().is_some_and(|task| matches!(task.phase, Phase::Leased(_)));
        let still = to.is_some_and(|task| matches!(task.phase, Phase::Leased(_)) && new == old);
        if was_leased && !still {
            self.over.insert(lease, now);
        }
        if let (Some(Phase::Waiting { due }), true) = (from.as_ref().map(|task| &task.phase), new > old)
            && scalars.log_time < *due
        {
            findings.push(format!("I10: task {id} was granted at {:?}, due at {due:?}", scalars.log_time));
        }
        let is_granted = new > old;
        let losses = |task: Option<&Task>| task.map_or(0, |task| task.counters.losses);
        if losses(to) > losses(from.as_ref()) {
            *self.coverage.entry("leases lost").or_insert(0) += 1;
        }
        if is_granted && self.tasks[&id].after.is_some() {
            self.count("starts after others");
            findings.extend(self.hindrance(&id));
        }
        for finding in findings {
            self.violate(finding);
        }
    }

    fn ended(&mut self, id: TaskId, record: &Record) {
        let last = self.scalars.last_token;
        let Some(tracked) = self.tasks.get_mut(&id) else {
            return self.violate(format!("I1: task {id} ends, but was never accepted"));
        };
        let told = match &record.outcome {
            Outcome::Completed(result) => crate::worker::token_of(result),
            Outcome::CompletedInParts(_) | Outcome::Failed(_) | Outcome::Parked(_) | Outcome::Cancelled => {
                Some(record.token)
            }
        };
        let (token, before) = (tracked.token, tracked.record.replace(record.clone()));
        if before.is_none() {
            self.unfinished -= 1;
        }
        if let Outcome::Failed(TaskError { kind: FailureKind::Dependency { .. }, .. }) = &record.outcome {
            self.count("failures with others");
        }
        self.note_recent(id);
        if before.is_some() {
            return self.violate(format!("I2: task {id} ended as {before:?} and then as {record:?}"));
        }
        // Granted and ended in one entry: a token that is new.
        let is_new = record.token > last;
        if told != Some(record.token) || (record.token != token && !is_new) {
            self.violate(format!("I4: task {id}, newest grant {token}, ended by {told:?}: {record:?}"));
        }
    }
}

const fn order(Ballot { term, node, .. }: Ballot) -> Vote {
    (term, node)
}

fn hash_of(changes: &[Change]) -> u64 {
    let mut bytes = Vec::new();
    for (family, key, value) in changes {
        for part in [Some(family.as_bytes()), Some(key.as_slice()), value.as_deref()] {
            bytes.extend_from_slice(&part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part.unwrap_or_default());
        }
    }
    crate::trace::hash_bytes(&bytes)
}
