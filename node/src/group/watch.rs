//! Waiting for tasks to end: apply tells the watchers directly, nobody polls.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raftwork_kernel::{Event, MapId, Record, Rows, TaskId};
use tokio::sync::Notify;

use crate::replica::{Replica, Standing};

/// Everybody who waits for something on this node.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    by_task: Mutex<HashMap<TaskId, Vec<Arc<Mailbox>>>>,
}

/// Where ended tasks collect until their watcher takes them.
#[derive(Debug, Default)]
struct Mailbox {
    ended: Mutex<Vec<TaskId>>,
    mail: Notify,
}

impl Mailbox {
    fn post(&self, task: TaskId) {
        lock(&self.ended).push(task);
        self.mail.notify_one();
    }
}

impl Watchers {
    /// Tells the watchers of the tasks that ended.
    pub(crate) fn notify(&self, events: &[Event]) {
        let mut by_task = lock(&self.by_task);
        if by_task.is_empty() {
            return;
        }
        for event in events {
            match event {
                Event::Finished { task, .. } => tell(&mut by_task, *task),
                Event::MapFinished { map } => {
                    // Items that never became tasks end with their map, and so do waits for the map itself.
                    let is_of_map = |task: &TaskId| MapId::of(task.as_uuid()) == *map;
                    let watched: Vec<TaskId> = by_task.keys().copied().filter(is_of_map).collect();
                    for task in watched {
                        tell(&mut by_task, task);
                    }
                }
                Event::Revoked { .. } | Event::ScheduleChanged { .. } => {}
            }
        }
    }

    /// Looks at every watched task again: the state was replaced by a snapshot, and tasks ended without an event.
    pub(crate) fn recheck(&self, replica: &Replica) {
        let watched: Vec<TaskId> = lock(&self.by_task).keys().copied().collect();
        for task in watched {
            if matches!(replica.standing(&task), Some(Standing::Finished(_))) {
                let mailboxes = lock(&self.by_task).remove(&task);
                mailboxes.into_iter().flatten().for_each(|mailbox| mailbox.post(task));
            }
        }
    }

    fn unregister(&self, task: &TaskId, gone: &Arc<Mailbox>) {
        let mut by_task = lock(&self.by_task);
        if let Some(mailboxes) = by_task.get_mut(task) {
            mailboxes.retain(|mailbox| !Arc::ptr_eq(mailbox, gone));
            if mailboxes.is_empty() {
                by_task.remove(task);
            }
        }
    }
}

/// The record of an item that was cancelled before it became a task.
fn record_of(replica: &Replica, task: &TaskId) -> Option<Record> {
    match replica.standing(task)? {
        Standing::Finished(record) => Some(record),
        Standing::Live { .. } => None,
    }
}

fn tell(by_task: &mut HashMap<TaskId, Vec<Arc<Mailbox>>>, task: TaskId) {
    by_task.remove(&task).into_iter().flatten().for_each(|mailbox| mailbox.post(task));
}

/// One watcher: any number of tasks, each reported once when it has ended. Dropping it ends the watch.
pub struct Watch {
    replica: Replica,
    watchers: Arc<Watchers>,
    mailbox: Arc<Mailbox>,
    pending: HashSet<TaskId>,
}

impl Watch {
    pub(super) fn new(replica: Replica, watchers: Arc<Watchers>) -> Self {
        Self { replica, watchers, mailbox: Arc::default(), pending: HashSet::new() }
    }

    /// Adds tasks to watch. Those that have ended, and those that do not exist on this node, are reported at once.
    pub fn add(&mut self, tasks: &[TaskId]) {
        let fresh: Vec<TaskId> = tasks.iter().filter(|task| self.pending.insert(**task)).copied().collect();
        {
            // First register, then look: a task that ends in between is reported by both, and taken once.
            let mut by_task = lock(&self.watchers.by_task);
            for task in &fresh {
                by_task.entry(*task).or_default().push(Arc::clone(&self.mailbox));
            }
        }
        for task in fresh {
            if !matches!(self.replica.standing(&task), Some(Standing::Live { .. })) {
                self.watchers.unregister(&task, &self.mailbox);
                self.mailbox.post(task);
            }
        }
    }

    /// Watches a map; its end is reported under its own id, without a record.
    pub(super) fn add_map(&mut self, map: MapId) {
        let named = TaskId::from(map.as_uuid());
        self.pending.insert(named);
        lock(&self.watchers.by_task).entry(named).or_default().push(Arc::clone(&self.mailbox));
        let lives = self.replica.map(&map).is_some_and(|(_, standing)| standing.finished.is_none());
        if !lives {
            self.watchers.unregister(&named, &self.mailbox);
            self.mailbox.post(named);
        }
    }

    /// Waits until at least one watched task has ended, and takes all that have: `None` for one that does not exist.
    ///
    /// Safe to cancel: nothing is taken before it returns.
    pub async fn next(&mut self) -> Vec<(TaskId, Option<Record>)> {
        loop {
            let ended = std::mem::take(&mut *lock(&self.mailbox.ended));
            let rows = self.replica.rows();
            let record = |task| rows.record(&task).or_else(|| record_of(&self.replica, &task));
            let taken: Vec<_> = ended
                .into_iter()
                .filter(|task| self.pending.remove(task))
                .map(|task| (task, record(task)))
                .collect();
            if !taken.is_empty() {
                return taken;
            }
            self.mailbox.mail.notified().await;
        }
    }

    /// Number of tasks that are watched and have not been reported.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for task in &self.pending {
            self.watchers.unregister(task, &self.mailbox);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
