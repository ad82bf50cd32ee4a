//! What all callers share: where the nodes are, what the run is doing, which tasks there are.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use raftwork_api::kernel::TaskId;
use rand::Rng;
use rand::seq::IndexedRandom;

use super::http::Http;
use crate::cluster::Members;
use crate::history::Recorder;

/// Tasks that readers and cancellers choose from: the newest ones, where something still happens.
const KNOWN_MAX: usize = 2_000;

/// Live tasks above which those who submit wait: what they submit is to be run while the run lasts. One number for all of
/// them: who stops earlier has no turn while the others keep the queue full.
pub(super) const LIVE_MAX: u64 = 600;
/// Until a caller looks again whether there is room.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// What callers are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Everything.
    Load,
    /// Nothing new: end what there is.
    Drain,
    /// Nothing.
    Over,
}

/// What all callers share.
pub(crate) struct Shared {
    /// The history.
    pub(crate) recorder: Recorder,
    /// Plain HTTP to every node.
    pub(crate) http: Http,
    /// Names the run in keys.
    pub(crate) seed: u64,
    stage: Mutex<Stage>,
    processes: AtomicU64,
    acknowledged: AtomicU64,
    /// Tasks that live in the cluster, as was last seen.
    live: AtomicU64,
    numbers: AtomicU64,
    known: Mutex<VecDeque<TaskId>>,
    accepted: Mutex<Vec<TaskId>>,
    surprises: Mutex<Vec<String>>,
}

impl Shared {
    /// Of a run whose nodes have these base URLs, in the order of their ids, members or not.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub(crate) fn new(
        recorder: Recorder,
        urls: Vec<String>,
        members: Members,
        seed: u64,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            recorder,
            http: Http::new(urls, members)?,
            seed,
            stage: Mutex::new(Stage::Load),
            processes: AtomicU64::new(1),
            acknowledged: AtomicU64::default(),
            live: AtomicU64::default(),
            numbers: AtomicU64::default(),
            known: Mutex::default(),
            accepted: Mutex::default(),
            surprises: Mutex::default(),
        })
    }

    /// What callers are to do now.
    pub(crate) fn stage(&self) -> Stage {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the run move on.
    pub(crate) fn enter(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// A process number that nobody had.
    pub(crate) fn new_process(&self) -> u64 {
        self.processes.fetch_add(1, Ordering::Relaxed)
    }

    /// A number that nobody had: keys and arguments are made of it.
    pub(crate) fn new_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts an operation that was carried out.
    pub(crate) fn count_acknowledged(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    /// Operations that were carried out so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Notes how many tasks live.
    pub(crate) fn set_live(&self, live: u64) {
        self.live.store(live, Ordering::Relaxed);
    }

    /// How many tasks live, as was last seen.
    pub(crate) fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// Whether no more than `max` tasks live; a moment later if more do.
    pub(super) async fn has_room(&self, max: u64) -> bool {
        let room = self.live() <= max;
        if !room {
            tokio::time::sleep(FULL_PAUSE).await;
        }
        room
    }

    /// Remembers tasks that were accepted.
    pub(crate) fn know(&self, tasks: &[TaskId]) {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).extend(tasks);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(tasks);
        let surplus = known.len().saturating_sub(KNOWN_MAX);
        known.drain(..surplus);
    }

    /// At most `count` of all tasks that were accepted, drawn.
    pub(crate) fn sample(&self, count: usize) -> Vec<TaskId> {
        let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.choose_multiple(&mut rand::rng(), count).copied().collect()
    }

    /// Some task that was submitted lately.
    pub(crate) fn some_task(&self) -> Option<TaskId> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // The newer the likelier: what is under way is worth more looks than what has ended.
        let bound = rand::rng().random_range(0..known.len().max(1));
        let back = rand::rng().random_range(0..=bound);
        known.iter().rev().nth(back).copied()
    }

    /// Notes an answer that no rule allows.
    pub(crate) fn surprised(&self, what: String) {
        self.surprises.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// Every answer that no rule allows.
    pub(crate) fn surprises(&self) -> Vec<String> {
        self.surprises.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
