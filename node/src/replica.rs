//! What this node has applied: the live state and the rows, changed by the state machine alone and read by everybody.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use raftwork_kernel::mutants::mutant;
use raftwork_kernel::{
    Applied, Entry, LeaseRef, LimitName, LimitStanding, LogTime, MapId, MapRow, MapStanding, Need, Phase,
    PythonVersion, Record, RequestId, Rows, Rules, Schedule, State, Status, Tags, Task, TaskId, TaskRow,
    Token, Unborn, WallTime, WorkerId,
};

use crate::store::log::Position;
use crate::store::rows::{OpenRowsError, Progress, RowStore, StoredMembers};

/// Where a task stands on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It lives.
    Live {
        /// In one word.
        status: Status,
        /// In full.
        task: Task,
    },
    /// It has ended.
    Finished(Record),
}

impl Standing {
    fn of_unborn(row: &MapRow, unborn: Unborn) -> Self {
        match unborn {
            Unborn::Queued => {
                let task = row.task_to_be();
                let status = if task.phase == Phase::Ready { Status::Queued } else { Status::Waiting };
                Self::Live { status, task }
            }
            Unborn::Cancelled(record) => Self::Finished(*record),
        }
    }
}

/// When a task may be forgotten, and which.
pub(crate) type Expiry = (LogTime, TaskId);

/// The applied state of one group on this node; a clone is another handle on it.
#[derive(Clone)]
pub struct Replica {
    inner: Arc<RwLock<Inner>>,
}

struct Inner {
    state: State,
    rows: Arc<RowStore>,
    progress: Progress,
    members: StoredMembers,
}

impl Replica {
    /// Takes over rows that were just opened.
    ///
    /// # Errors
    /// When a row that the state is made of is damaged.
    pub fn new(rows: RowStore) -> Result<Self, OpenRowsError> {
        Ok(Self { inner: Arc::new(RwLock::new(Inner::load(rows)?)) })
    }

    /// Applies one entry and writes its rows; readers see all of it or nothing.
    pub(crate) fn apply(&self, position: Position, entry: &Entry) -> Applied {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let Inner { state, rows, progress, .. } = &mut *inner;
        let local = mutant("M8").then(|| by_local_clock(entry));
        let applied = state.apply(local.as_ref().unwrap_or(entry), rows.as_ref());
        *progress = Progress { applied: Some(position), scalars: state.scalars() };
        rows.write(&applied.changes, progress, None);
        applied
    }

    /// Moves on by an entry that is not the kernel's: a blank one, or a new membership.
    pub(crate) fn skip(&self, position: Position, members: Option<StoredMembers>) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.progress.applied = Some(position);
        inner.rows.write(&[], &inner.progress, members.as_ref());
        if let Some(members) = members {
            inner.members = members;
        }
    }

    /// Replaces everything by the rows of a snapshot.
    ///
    /// # Errors
    /// When they are damaged; nothing has changed then.
    pub(crate) fn replace(&self, rows: RowStore) -> Result<(), OpenRowsError> {
        let loaded = Inner::load(rows)?;
        *self.inner.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// The position and the membership that the rows are worth.
    pub(crate) fn progress(&self) -> (Progress, StoredMembers) {
        let inner = self.read();
        (inner.progress, inner.members.clone())
    }

    /// Where a task stands; `None` if there is no such task.
    pub fn standing(&self, id: &TaskId) -> Option<Standing> {
        let inner = self.read();
        if let (Some(status), Some(task)) = (inner.state.status(id), inner.state.task(id)) {
            return Some(Standing::Live { status, task });
        }
        if let Some((row, unborn)) = inner.state.unborn(id) {
            return Some(Standing::of_unborn(row, unborn));
        }
        // Taken under the lock: a task that lives no more has its record in these rows.
        let rows = Arc::clone(&inner.rows);
        drop(inner);
        if let Some(record) = rows.record(id) {
            return Some(Standing::Finished(record));
        }
        // Of a map that has ended, so that it can be so no longer.
        rows.unborn(id).map(|(row, _, unborn)| Standing::of_unborn(&row, unborn))
    }

    /// The row of a task, or the row that an item of a map would have without its arguments; `None` if there is none.
    pub fn task_row(&self, id: &TaskId) -> Option<TaskRow> {
        let rows = self.rows();
        let to_be = || rows.unborn(id).map(|(row, ..)| row.task_row_to_be());
        // Looked for again: it may have had its turn in between.
        rows.task(id).or_else(to_be).or_else(|| rows.task(id))
    }

    /// The rules of a task, or of the map whose item it is.
    pub fn rules(&self, id: &TaskId) -> Rules {
        let rows = self.rows();
        let to_be = || rows.unborn(id).map(|(row, ..)| row.rules);
        rows.rules(id).or_else(to_be).or_else(|| rows.rules(id)).unwrap_or_default()
    }

    /// Whether the task is an item of a map that has not had its turn, and how many of the map's items come before it.
    pub fn turns_before(&self, id: &TaskId) -> Option<u32> {
        let (_, index) = id.as_item()?;
        let (_, standing, unborn) = self.rows().unborn(id)?;
        (unborn == Unborn::Queued).then(|| index - standing.next)
    }

    /// A map's row and where it stands; `None` if there is no such map.
    pub fn map(&self, id: &MapId) -> Option<(MapRow, MapStanding)> {
        // Under the lock: row and standing are of one moment.
        self.read().rows.map(id)
    }

    /// Live items of a map, by status.
    pub fn map_counts(&self, id: &MapId) -> BTreeMap<Status, u64> {
        self.read().state.map_counts(id)
    }

    /// The rows, as they stand and as they will be changed, until a snapshot replaces them.
    pub fn rows(&self) -> Arc<RowStore> {
        Arc::clone(&self.read().rows)
    }

    /// Index of the last applied entry; 0 before the first.
    pub fn applied_index(&self) -> u64 {
        self.read().progress.applied.map_or(0, |position| position.index)
    }

    /// The latest log time applied.
    pub fn log_time(&self) -> LogTime {
        self.read().state.scalars().log_time
    }

    /// The next moment at which time alone changes something.
    pub fn next_due(&self) -> Option<LogTime> {
        self.read().state.next_due()
    }

    /// The next moment at which the calendar alone changes something.
    pub fn next_dated(&self) -> Option<WallTime> {
        self.read().state.next_dated()
    }

    /// Number of live tasks.
    pub fn live_len(&self) -> usize {
        self.read().state.live_len()
    }

    /// Live tasks by status. Cheap: nothing is scanned.
    pub fn counts(&self) -> BTreeMap<Status, u64> {
        let inner = self.read();
        let leased = inner.state.leased_len();
        let ready: usize = inner.state.ready_by_need().map(|(_, count)| count).sum();
        let waiting = inner.state.live_len() - leased - ready;
        let queued = ready as u64 + inner.state.unborn_len();
        [(Status::Waiting, waiting as u64), (Status::Queued, queued), (Status::Running, leased as u64)].into()
    }

    /// Tasks that could be granted now, by what they need, and items of maps that the next entry will make ready.
    pub fn grantable_by_need(&self) -> Vec<(Need, usize)> {
        let inner = self.read();
        inner.state.grantable_by_need().chain(inner.state.expandable_by_need()).collect()
    }

    /// Ready tasks by what they need.
    pub fn ready_by_need(&self) -> Vec<(Need, usize)> {
        self.read().state.ready_by_need().collect()
    }

    /// Number of ready tasks that a worker with this Python and these tags may run.
    pub fn ready_len_for(&self, python: PythonVersion, tags: &Tags) -> usize {
        self.read().state.ready_len_for(python, tags)
    }

    /// A limit that something speaks of, and up to so many of the leases under it.
    pub fn limit(&self, name: &LimitName, most: usize) -> Option<(LimitStanding, Vec<(WorkerId, TaskId)>)> {
        let inner = self.read();
        let standing = inner.state.limit(name)?;
        let most = most.min(standing.held as usize);
        let leases = inner.state.leases_under_limit(name).take(most);
        Some((standing, leases.map(|(worker, lease)| (worker, lease.task)).collect()))
    }

    /// Up to so many limits, by kind and key, those after this one.
    pub fn limits_after(&self, name: Option<&LimitName>, most: usize) -> Vec<LimitStanding> {
        let inner = self.read();
        match name {
            None => inner.state.limits().take(most).collect(),
            Some(name) => inner.state.limits_after(name).take(most).collect(),
        }
    }

    /// The limits that a live task is under.
    pub fn limits_of(&self, id: &TaskId) -> Vec<LimitStanding> {
        self.read().state.limits_of(id).collect()
    }

    /// A schedule, and how many of its tasks live.
    pub fn schedule(&self, name: &str) -> Option<(Schedule, u32)> {
        self.read().state.schedule(name).map(|(schedule, live)| (schedule.clone(), live))
    }

    /// Up to so many schedules, by name, those after this one; each with the number of its tasks that live.
    pub fn schedules_after(&self, name: Option<&str>, most: usize) -> Vec<(String, Schedule, u32)> {
        let inner = self.read();
        let found = inner.state.schedules_after(name).take(most);
        found.map(|(name, schedule, live)| (name.to_owned(), schedule.clone(), live)).collect()
    }

    /// The tasks that this one still waits for, by id.
    pub fn waits_for(&self, id: &TaskId) -> Vec<TaskId> {
        self.read().state.waits_for(id).collect()
    }

    /// Whether any live task depends on another.
    pub(crate) fn has_dependencies(&self) -> bool {
        self.read().state.has_dependencies()
    }

    /// The tasks whose results this one, which lives, is to be given along with its arguments, by id.
    pub(crate) fn results_for(&self, id: &TaskId) -> Vec<TaskId> {
        self.read().state.results_for(id).collect()
    }

    /// Of these tasks, those that a live task runs after, and the others, which may be forgotten.
    pub(crate) fn split_needed(&self, tasks: Vec<Expiry>) -> (Vec<Expiry>, Vec<Expiry>) {
        let inner = self.read();
        tasks.into_iter().partition(|(_, task)| inner.state.is_needed(task))
    }

    /// What a live task needs of its worker.
    pub fn need(&self, id: &TaskId) -> Option<Need> {
        self.read().state.need(id)
    }

    /// Number of tasks with the same needs that are granted before a ready one, counted up to `most`.
    pub fn ahead_of(&self, id: &TaskId, most: usize) -> Option<usize> {
        self.read().state.ahead_of(id, most)
    }

    /// Every lease.
    pub fn leases(&self) -> Vec<(WorkerId, LeaseRef)> {
        self.read().state.leases().collect()
    }

    /// Whether the worker holds leases that it was granted under this request.
    pub fn has_leases_under(&self, worker: WorkerId, request: RequestId) -> bool {
        self.read().state.has_leases_under(worker, request)
    }

    /// Those of `leases` that are over.
    pub fn lost<'l>(&self, leases: impl IntoIterator<Item = &'l LeaseRef>) -> Vec<LeaseRef> {
        let inner = self.read();
        leases.into_iter().filter(|lease| !inner.state.holds(lease)).copied().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An entry as if it said what this node's own calendar says: what only a planted bug does.
fn by_local_clock(entry: &Entry) -> Entry {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    Entry { log_time: LogTime(u64::try_from(now.as_millis()).unwrap_or(u64::MAX)), ..entry.clone() }
}

impl Inner {
    fn load(rows: RowStore) -> Result<Self, OpenRowsError> {
        let mut progress = rows.progress()?;
        if mutant("M7") {
            progress.scalars.last_token = Token(0);
        }
        let members = rows.members()?;
        let state = rows.restore(progress.scalars)?;
        Ok(Self { state, rows: Arc::new(rows), progress, members })
    }
}
