//! The live state: every unfinished task, and the indexes that make each command cheap.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::command::LeaseRef;
use crate::function::PythonVersion;
use crate::ids::{MapId, RequestId, ScheduleId, Seq, TaskId, Token, WorkerId};
use crate::limit::LimitName;
use crate::live::{Cell, LimitStanding, Live, Slot};
use crate::map::{MapRow, MapStanding, Unborn};
use crate::maps::{LiveMap, Maps};
use crate::parts::PayloadId;
use crate::record::Status;
use crate::rows::Rows;
use crate::rules::Tags;
use crate::schedule::{Schedule, Schedules};
use crate::task::{Lease, Phase, Task};
use crate::time::{LogTime, WallTime};
use crate::uploads::{Upload, Uploads};

/// A million a second use up 64 bits in half a million years. Stopping is right even then: a token must never repeat.
const NEVER_USED_UP: &str = "2^64 numbers are never used up";

/// The few numbers of the state that are not tasks; stored beside the applied index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scalars {
    /// The latest log time applied.
    pub log_time: LogTime,
    /// The latest wall time applied; never goes back.
    pub wall_time: WallTime,
    /// The newest token given out.
    pub last_token: Token,
    /// The newest place in the order of acceptance.
    pub last_seq: Seq,
    /// The newest schedule.
    pub last_schedule: ScheduleId,
}

/// What a ready task needs of the worker that is to run it. Tasks with the same need wait in one queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The Python; `None`: any.
    pub python: Option<PythonVersion>,
    /// Tags that the worker must offer.
    pub tags: Tags,
}

impl Need {
    /// Whether a worker with this Python and these tags has what is needed.
    pub fn is_met_by(&self, python: PythonVersion, tags: &Tags) -> bool {
        self.python.is_none_or(|needed| needed == python) && self.tags.are_in(tags)
    }
}

/// The live state of one Raft group.
///
/// Invariants, checked by [`State::check_invariants`]:
/// - every task is in exactly the indexes that its phase asks for, and no index names anything else;
/// - no token is above `last_token`, no seq above `last_seq`, and no two tasks share a seq;
/// - each schedule counts its live tasks;
/// - a leased task has a token, and no two tasks that were ever granted share one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    pub(crate) scalars: Scalars,
    pub(crate) live: Live,
    pub(crate) schedules: Schedules,
    pub(crate) maps: Maps,
    /// Large arguments and results that are being sent.
    pub(crate) payloads: Uploads<PayloadId>,
}

impl State {
    /// Rebuilds the state from what the shell stored: its numbers, its live rows in any order, their rules, and
    /// the limits.
    pub fn restore(
        scalars: Scalars,
        live: impl IntoIterator<Item = (TaskId, Task)>,
        rows: &impl Rows,
    ) -> Self {
        let mut state = Self { scalars, ..Self::default() };
        state.live.insert_all(live.into_iter().map(|(id, task)| (id, task, rows.rules(&id))), rows.limits());
        state.restore_schedules(rows);
        state.restore_maps(rows);
        for (of, upload) in rows.payload_uploads() {
            state.payloads.put(of, upload);
        }
        state.restore_dependencies(rows);
        state
    }

    fn restore_schedules(&mut self, rows: &impl Rows) {
        for (name, schedule) in rows.schedules() {
            self.schedules.restore(name, schedule);
        }
        let scheduled = self.live.slots().filter_map(|(slot, _)| self.live.terms(slot).schedule);
        for schedule in scheduled {
            self.schedules.count(schedule, true);
        }
    }

    fn restore_maps(&mut self, rows: &impl Rows) {
        for (id, upload) in rows.uploads() {
            self.maps.uploads.put(id, upload);
        }
        for (id, row, standing) in rows.live_maps() {
            self.maps.insert(id, LiveMap::new(row, standing), self.scalars.log_time);
        }
        if !self.maps.is_empty() {
            for (_, cell) in self.live.slots() {
                self.maps.adopt(&cell.id);
            }
        }
    }

    /// A live task that still waits for others learns anew which of them have ended.
    fn restore_dependencies(&mut self, rows: &impl Rows) {
        let depending = self.live.slots().filter(|(slot, _)| self.live.terms(*slot).depends);
        let depending: Vec<_> =
            depending.map(|(_, cell)| (cell.id, cell.seq, cell.standing.phase.clone())).collect();
        for (id, seq, phase) in depending {
            let rules = rows.rules(&id).expect("a task that depends on others has rules");
            let after = rules.after().expect("the task depends on others");
            let ended = |task: &TaskId| self.ended_dependency(task, rows).map(|status| (*task, status));
            let ended: Option<Vec<(TaskId, Status)>> = matches!(phase, Phase::Blocked { .. })
                .then(|| after.tasks.iter().filter_map(ended).collect());
            self.live.dependencies.enter((id, seq), after.clone(), ended.as_deref());
        }
    }

    /// How a task ended that another depends on; `None` if it has not.
    fn ended_dependency(&self, id: &TaskId, rows: &impl Rows) -> Option<Status> {
        if self.live.find(id).is_some() || matches!(self.unborn(id), Some((_, Unborn::Queued))) {
            return None;
        }
        // Without a record, it is an item of a map that was cancelled before its turn.
        Some(rows.record(id).map_or(Status::Cancelled, |record| record.outcome.status()))
    }

    /// Whether a live task depends on this one, so that it must not be forgotten.
    pub fn is_needed(&self, id: &TaskId) -> bool {
        self.live.dependencies.is_needed(id)
    }

    /// The tasks that this one still waits for, by id.
    pub fn waits_for(&self, id: &TaskId) -> impl Iterator<Item = TaskId> {
        self.live.dependencies.left(id)
    }

    /// Whether any live task depends on another.
    pub fn has_dependencies(&self) -> bool {
        !self.live.dependencies.is_empty()
    }

    /// The tasks whose results this one, which lives, is to be given along with its arguments, by id.
    pub fn results_for(&self, id: &TaskId) -> impl Iterator<Item = TaskId> {
        self.live.dependencies.results(id)
    }

    /// The numbers to store with the applied index.
    pub const fn scalars(&self) -> Scalars {
        self.scalars
    }

    /// A live task.
    pub fn task(&self, id: &TaskId) -> Option<Task> {
        self.live.find(id).map(|slot| self.live.task(slot))
    }

    /// Every live task, by id. Sorts them all: for tests and tools.
    pub fn tasks(&self) -> impl Iterator<Item = (TaskId, Task)> {
        let tasks: BTreeMap<TaskId, Slot> = self.live.slots().map(|(slot, cell)| (cell.id, slot)).collect();
        tasks.into_iter().map(|(id, slot)| (id, self.live.task(slot)))
    }

    /// Status of a live task; finished ones have a record instead.
    pub fn status(&self, id: &TaskId) -> Option<Status> {
        self.cell(id).map(|cell| match cell.standing.phase {
            Phase::Waiting { .. } | Phase::Scheduled { .. } | Phase::Blocked { .. } => Status::Waiting,
            Phase::Ready => Status::Queued,
            Phase::Leased(_) => Status::Running,
        })
    }

    /// Number of live tasks.
    pub const fn live_len(&self) -> usize {
        self.live.len()
    }

    /// Number of leases.
    pub fn leased_len(&self) -> usize {
        self.live.leased_len()
    }

    /// Number of ready tasks that a worker with this Python and these tags may run.
    pub fn ready_len_for(&self, python: PythonVersion, tags: &Tags) -> usize {
        let fits = |(need, _): &(Need, usize)| need.is_met_by(python, tags);
        self.ready_by_need().filter(fits).map(|(_, count)| count).sum()
    }

    /// Number of ready tasks, by what they need, those whose limits are reached included.
    pub fn ready_by_need(&self) -> impl Iterator<Item = (Need, usize)> {
        self.live.ready_by_need()
    }

    /// Number of tasks that could be granted now, by what they need: those whose limits are reached are left out. An upper
    /// bound where many limits have room.
    pub fn grantable_by_need(&self) -> impl Iterator<Item = (Need, usize)> {
        self.live.grantable_by_need()
    }

    /// A limit that something speaks of.
    pub fn limit(&self, name: &LimitName) -> Option<LimitStanding> {
        self.live.limit(name)
    }

    /// Every limit that something speaks of, by kind and key.
    pub fn limits(&self) -> impl Iterator<Item = LimitStanding> {
        self.live.limits()
    }

    /// The limits that come after this one.
    pub fn limits_after(&self, name: &LimitName) -> impl Iterator<Item = LimitStanding> {
        self.live.limits_after(name)
    }

    /// The limits that a live task is under; none if it does not live.
    pub fn limits_of(&self, id: &TaskId) -> impl Iterator<Item = LimitStanding> {
        let names = self.live.find(id).into_iter().flat_map(|slot| self.live.limits_of(slot));
        names.filter_map(|name| self.live.limit(name))
    }

    /// The leases of tasks under a limit, by worker and then by token. Looks at every lease.
    pub fn leases_under_limit(&self, name: &LimitName) -> impl Iterator<Item = (WorkerId, LeaseRef)> {
        let under = move |slot: &Slot| self.live.limits_of(*slot).any(|other| other == name);
        let leases = self.live.leases().filter(move |(_, _, slot)| under(slot));
        leases.map(|(worker, token, slot)| (worker, LeaseRef { task: self.live.cell(slot).id, token }))
    }

    /// A schedule, and how many of its tasks live.
    pub fn schedule(&self, name: &str) -> Option<(&Schedule, u32)> {
        self.schedules.get(name).map(|kept| (&kept.schedule, kept.live))
    }

    /// Every schedule by name, or those after this one; each with the number of its tasks that live.
    pub fn schedules_after(&self, name: Option<&str>) -> impl Iterator<Item = (&str, &Schedule, u32)> {
        self.schedules.after(name).map(|(name, kept)| (name, &kept.schedule, kept.live))
    }

    /// Items of maps that would become tasks in the next entry, by what they need; and for each need how many at most.
    pub fn expandable_by_need(&self) -> impl Iterator<Item = (Need, usize)> {
        let need = |row: &MapRow| Need { python: row.python, tags: row.rules.tags().clone() };
        self.maps.expandable().map(move |(map, count)| (need(&map.row), count))
    }

    /// Number of items of maps that had no turn.
    pub fn unborn_len(&self) -> u64 {
        self.maps.iter().map(|(_, map)| u64::from(map.unborn())).sum()
    }

    /// A map that has items that have not ended: its row, and where it stands.
    pub fn map(&self, id: &MapId) -> Option<(&MapRow, &MapStanding)> {
        self.maps.get(id).map(|map| (&*map.row, &map.standing))
    }

    /// What becomes of an item of such a map that has had no turn.
    pub fn unborn(&self, id: &TaskId) -> Option<(&MapRow, Unborn)> {
        let (map, index) = id.as_item()?;
        let (row, standing) = self.map(&map)?;
        Some((row, standing.unborn(row, index)?))
    }

    /// Items of a map that live as tasks, by status.
    pub fn map_counts(&self, id: &MapId) -> BTreeMap<Status, u64> {
        let mut counts = BTreeMap::new();
        for index in self.maps.get(id).iter().flat_map(|map| &map.tasks) {
            if let Some(status) = self.status(&id.item(*index)) {
                *counts.entry(status).or_default() += 1;
            }
        }
        counts
    }

    /// Every map that has items that have not ended, by id.
    pub fn maps(&self) -> impl Iterator<Item = (MapId, &MapRow, &MapStanding)> {
        self.maps.iter().map(|(id, map)| (*id, &*map.row, &map.standing))
    }

    /// Every map that is being sent, by id.
    pub fn uploads(&self) -> impl Iterator<Item = (MapId, &Upload)> {
        self.maps.uploads.iter().map(|(id, upload)| (*id, upload))
    }

    /// Every large payload that is being sent, by task and token.
    pub fn payload_uploads(&self) -> impl Iterator<Item = (PayloadId, &Upload)> {
        self.payloads.iter().map(|(of, upload)| (*of, upload))
    }

    /// What a live task needs of its worker.
    pub fn need(&self, id: &TaskId) -> Option<Need> {
        self.live.find(id).map(|slot| self.live.need(slot))
    }

    /// Number of ready tasks that are granted before this one among those with the same need, counted up to `most`;
    /// `None` if it is not ready. Walks the queue: not for every request.
    pub fn ahead_of(&self, id: &TaskId, most: usize) -> Option<usize> {
        self.live.find(id).and_then(|slot| self.live.ahead_of(slot, most))
    }

    /// The next moment at which time alone would change something.
    pub fn next_due(&self) -> Option<LogTime> {
        let map = self.maps.uploads.next_end().map(|(end, _)| end);
        let payload = self.payloads.next_end().map(|(end, _)| end);
        let ripe = self.live.dependencies.next_ripe().map(|_| self.scalars.log_time);
        self.live
            .next_change()
            .into_iter()
            .chain(self.maps.next_start())
            .chain(map)
            .chain(payload)
            .chain(ripe)
            .min()
    }

    /// The next moment at which the calendar alone would change something.
    pub fn next_dated(&self) -> Option<WallTime> {
        self.live.next_dated().map(|(at, _)| at)
    }

    /// Whether this is the lease under which its task runs now.
    pub fn holds(&self, lease: &LeaseRef) -> bool {
        self.cell(&lease.task)
            .map(|cell| &cell.standing)
            .is_some_and(|now| now.token == lease.token && matches!(now.phase, Phase::Leased(_)))
    }

    /// Every lease, by worker and then by token.
    pub fn leases(&self) -> impl Iterator<Item = (WorkerId, LeaseRef)> {
        self.live
            .leases()
            .map(|(worker, token, slot)| (worker, LeaseRef { task: self.live.cell(slot).id, token }))
    }

    /// The leases of one worker, by token.
    pub fn leases_of(&self, worker: WorkerId) -> impl Iterator<Item = LeaseRef> {
        self.live.leases_of(worker).map(|(token, slot)| LeaseRef { task: self.live.cell(slot).id, token })
    }

    /// Whether the worker holds leases that it was granted under this request.
    pub fn has_leases_under(&self, worker: WorkerId, request: RequestId) -> bool {
        self.leases_under(worker, request).next().is_some()
    }

    /// The tasks that the worker holds under this request, by token.
    pub(crate) fn leases_under(&self, worker: WorkerId, request: RequestId) -> impl Iterator<Item = Slot> {
        let held = self.live.leases_of(worker).map(|(_, slot)| slot);
        held.filter(move |slot| self.lease(*slot).is_some_and(|lease| lease.request == request))
    }

    fn cell(&self, id: &TaskId) -> Option<&Cell> {
        self.live.find(id).map(|slot| self.live.cell(slot))
    }

    pub(crate) fn lease(&self, slot: Slot) -> Option<&Lease> {
        match &self.live.cell(slot).standing.phase {
            Phase::Leased(lease) => Some(lease),
            Phase::Waiting { .. } | Phase::Scheduled { .. } | Phase::Blocked { .. } | Phase::Ready => None,
        }
    }

    pub(crate) fn next_seq(&mut self) -> Seq {
        let next = Seq(self.scalars.last_seq.0.checked_add(1).expect(NEVER_USED_UP));
        self.scalars.last_seq = next.max(Seq::first_at(self.scalars.log_time));
        self.scalars.last_seq
    }

    pub(crate) const fn next_schedule(&mut self) -> ScheduleId {
        self.scalars.last_schedule.0 = self.scalars.last_schedule.0.checked_add(1).expect(NEVER_USED_UP);
        self.scalars.last_schedule
    }

    pub(crate) const fn next_token(&mut self) -> Token {
        self.scalars.last_token.0 = self.scalars.last_token.0.checked_add(1).expect(NEVER_USED_UP);
        self.scalars.last_token
    }

    /// Recomputes everything that is derived and compares.
    ///
    /// # Errors
    /// The first broken invariant, in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        for (_, Cell { id, seq, standing, .. }) in self.live.slots() {
            if standing.token > self.scalars.last_token || *seq > self.scalars.last_seq {
                return Err(format!("{id} has a token or seq that was never given out"));
            }
            if matches!(standing.phase, Phase::Leased(_)) && standing.token == Token(0) {
                return Err(format!("{id} is leased without a token"));
            }
        }
        self.live.check()?;
        let mut live = BTreeMap::new();
        for schedule in self.live.slots().filter_map(|(slot, _)| self.live.terms(slot).schedule) {
            *live.entry(schedule).or_default() += 1;
        }
        self.schedules.check(&live)?;
        self.maps.check(self.scalars.log_time)?;
        self.payloads.check()?;
        self.check_items()?;
        self.check_uniqueness()
    }

    fn check_items(&self) -> Result<(), String> {
        for (id, map) in self.maps.iter() {
            if let Some(index) = map.tasks.iter().find(|index| self.live.find(&id.item(**index)).is_none()) {
                return Err(format!("map {id} counts item {index}, which does not live"));
            }
        }
        Ok(())
    }

    fn check_uniqueness(&self) -> Result<(), String> {
        let seqs: BTreeSet<Seq> = self.live.slots().map(|(_, cell)| cell.seq).collect();
        if seqs.len() != self.live.len() {
            return Err("two tasks share a seq".to_owned());
        }
        let tokens = self.live.slots().map(|(_, cell)| cell.standing.token);
        let mut seen = BTreeSet::new();
        for token in tokens.filter(|token| *token != Token(0)) {
            if !seen.insert(token) {
                return Err(format!("two tasks share the token {token}"));
            }
        }
        Ok(())
    }
}
