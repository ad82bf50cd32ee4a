//! Every live task, and the orders in which tasks are looked up. All order is derived from the tasks themselves.
//!
//! This is the part of the node that grows with the backlog: about 80 bytes for a queued task, whatever its payload. See
//! `examples/memory.rs`.

mod by_id;
mod cell;
mod check;
mod dates;
mod dependencies;
mod interned;
mod limited;
mod limits;
mod ready;
mod slab;
mod terms;

use std::collections::BTreeMap;

use self::by_id::ById;
pub(crate) use self::cell::{Cell, Standing};
use self::dates::Dates;
use self::dependencies::Dependencies;
use self::interned::Interned;
pub use self::limited::LimitStanding;
use self::limited::Limited;
use self::ready::{Head, Needed, Ready, lane};
use self::slab::Slab;
pub(crate) use self::slab::Slot;
pub(crate) use self::terms::Terms;
use crate::function::PythonVersion;
use crate::ids::{Seq, TaskId, Token, WorkerId};
use crate::limit::{Limit, LimitName};
use crate::limits::TAG_SETS_MAX;
use crate::rules::{Rules, Tags};
use crate::state::Need;
use crate::task::{Deadlines, Phase, Task};
use crate::time::{LogTime, WallTime};

/// The live tasks and their indexes.
///
/// Invariants, checked by [`Live::check`]:
/// - every task is found by its id, and is in exactly the orders that its phase asks for; nothing else is in them;
/// - the list of a ready queue rises, and no queue is empty;
/// - terms, sets of tags and keys of limits are counted as often as tasks have them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Live {
    cells: Slab<Cell>,
    by_id: ById,
    terms: Interned<Terms>,
    tags: Interned<Tags>,
    ready: Ready,
    limited: Limited,
    /// What time alone will change, earliest first.
    due: BTreeMap<(LogTime, TaskId), Slot>,
    dates: Dates,
    pub(crate) dependencies: Dependencies,
    /// What the calendar alone will change, earliest first.
    calendar: BTreeMap<(WallTime, TaskId), Slot>,
    /// Leases by worker.
    leases: BTreeMap<(WorkerId, Token), Slot>,
}

impl Live {
    pub(crate) const fn len(&self) -> usize {
        self.cells.len()
    }

    pub(crate) fn leased_len(&self) -> usize {
        self.leases.len()
    }

    pub(crate) fn find(&self, id: &TaskId) -> Option<Slot> {
        self.by_id.find(&self.cells, id)
    }

    pub(crate) fn cell(&self, slot: Slot) -> &Cell {
        self.cells.get(slot)
    }

    pub(crate) fn terms(&self, slot: Slot) -> &Terms {
        self.terms.get(self.cell(slot).terms)
    }

    /// The task as rows and readers have it.
    pub(crate) fn task(&self, slot: Slot) -> Task {
        let cell = self.cell(slot);
        assemble(cell.seq, cell.standing.clone(), self.terms.get(cell.terms), self.deadlines(slot))
    }

    /// What must have happened to a task by when; `None` for most.
    pub(crate) fn deadlines(&self, slot: Slot) -> Option<&Deadlines> {
        if self.terms(slot).dated { self.dates.of(slot) } else { None }
    }

    /// Every task, in an order that means nothing.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (Slot, &Cell)> {
        self.cells.iter()
    }

    pub(crate) fn insert(&mut self, id: TaskId, task: Task, rules: &Rules) -> Slot {
        let slot = self.add(id, task, rules);
        self.index(slot);
        slot
    }

    /// Takes in tasks and limits in any order.
    pub(crate) fn insert_all(
        &mut self,
        tasks: impl IntoIterator<Item = (TaskId, Task, Option<Rules>)>,
        limits: impl IntoIterator<Item = (LimitName, Limit)>,
    ) {
        let mut add = |(id, task, rules): (TaskId, Task, Option<Rules>)| {
            (task.seq, self.add(id, task, rules.as_ref().unwrap_or(Rules::NONE)))
        };
        let mut added: Vec<(Seq, Slot)> = tasks.into_iter().map(&mut add).collect();
        // After the tasks that name them, which keep them.
        for (name, limit) in limits {
            self.limited.restore(&name, limit);
        }
        // In the order of acceptance, so that ready tasks join the ends of their lists.
        added.sort_unstable_by_key(|(seq, _)| *seq);
        for (_, slot) in added {
            self.index(slot);
        }
    }

    fn add(&mut self, id: TaskId, task: Task, rules: &Rules) -> Slot {
        assert!(self.find(&id).is_none(), "task {id} was inserted twice");
        let tags = rules.tags();
        let tags = (!tags.is_empty()).then(|| self.tags.intern(tags.clone()));
        let gate = if rules.is_empty() { None } else { self.limited.enter(rules) };
        let terms = self.terms.intern(Terms::of(&task, tags, gate, rules));
        let deadlines = task.deadlines.as_deref().copied();
        let slot = self.cells.insert(Cell::new(id, task, terms));
        if let Some(deadlines) = deadlines {
            self.dates.set(slot, deadlines);
        }
        self.by_id.insert(&mut self.cells, slot);
        slot
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Task {
        self.unindex(slot);
        self.by_id.remove(&mut self.cells, slot);
        let Cell { id, seq, standing, terms: place, .. } = self.cells.remove(slot);
        let terms = *self.terms.get(place);
        self.terms.release(place);
        if let Some(tags) = terms.tags {
            self.tags.release(tags);
        }
        if let Some(gate) = terms.gate {
            self.limited.leave(gate);
        }
        if terms.depends {
            self.dependencies.leave(&id);
        }
        let deadlines = if terms.dated { self.dates.take(slot) } else { None };
        assemble(seq, standing, &terms, deadlines.as_ref())
    }

    /// Changes a task and keeps the orders true.
    pub(crate) fn update(&mut self, slot: Slot, change: impl FnOnce(&mut Standing)) {
        self.unindex(slot);
        change(&mut self.cells.get_mut(slot).standing);
        self.index(slot);
    }

    fn index(&mut self, slot: Slot) {
        if self.terms(slot).dated {
            self.dates.index(self.cells.get(slot), slot);
        }
        let Cell { id, standing, terms, .. } = self.cells.get(slot);
        match &standing.phase {
            Phase::Waiting { due } => {
                self.due.insert((*due, *id), slot);
            }
            Phase::Ready => {
                let terms = self.terms.get(*terms);
                let (needed, rank) = lane(terms);
                match terms.gate {
                    None => self.ready.insert(&mut self.cells, (needed, rank), slot),
                    Some(gate) => self.limited.insert(&mut self.cells, (needed, gate, rank), slot),
                }
            }
            Phase::Leased(lease) => {
                self.leases.insert((lease.worker, standing.token), slot);
                self.due.extend(lease.run_until.map(|until| ((until, *id), slot)));
                if let Some(gate) = self.terms.get(*terms).gate {
                    self.limited.hold(gate, true);
                }
            }
            Phase::Scheduled { at } => {
                self.calendar.insert((*at, *id), slot);
            }
            Phase::Blocked { .. } => {}
        }
    }

    fn unindex(&mut self, slot: Slot) {
        if self.terms(slot).dated {
            self.dates.unindex(self.cells.get(slot), slot);
        }
        let Cell { id, standing, terms, .. } = self.cells.get(slot);
        match &standing.phase {
            Phase::Waiting { due } => {
                self.due.remove(&(*due, *id));
            }
            Phase::Ready => {
                let terms = self.terms.get(*terms);
                let (needed, rank) = lane(terms);
                match terms.gate {
                    None => self.ready.remove(&mut self.cells, (needed, rank), slot),
                    Some(gate) => self.limited.remove(&mut self.cells, (needed, gate, rank), slot),
                }
            }
            Phase::Leased(lease) => {
                self.leases.remove(&(lease.worker, standing.token));
                if let Some(until) = lease.run_until {
                    self.due.remove(&(until, *id));
                }
                if let Some(gate) = self.terms.get(*terms).gate {
                    self.limited.hold(gate, false);
                }
            }
            Phase::Scheduled { at } => {
                self.calendar.remove(&(*at, *id));
            }
            Phase::Blocked { .. } => {}
        }
    }

    /// When log time alone will change something.
    pub(crate) fn next_change(&self) -> Option<LogTime> {
        let task = self.next_due().map(|(due, ..)| due);
        task.into_iter().chain(self.limited.next_due()).min()
    }

    /// The first task that time alone will change, when, and how. Of one moment, what is missed comes first.
    pub(crate) fn next_due(&self) -> Option<(LogTime, Slot, Due)> {
        let due = self.due.first_key_value().map(|((due, _), slot)| (*due, *slot, Due::Phase));
        let missed = self.dates.first().map(|(at, slot)| (at, slot, Due::Deadline));
        missed.into_iter().chain(due).min_by_key(|(at, ..)| *at)
    }

    /// The first task that the calendar alone will change, and when.
    pub(crate) fn next_dated(&self) -> Option<(WallTime, Slot)> {
        self.calendar.first_key_value().map(|((at, _), slot)| (*at, *slot))
    }

    /// The ready task that a worker with this Python and these tags should run next.
    pub(crate) fn best_for(&mut self, python: PythonVersion, tags: &Tags) -> Option<Slot> {
        let plain = self.best_unlimited_for(python, tags);
        if self.limited.is_empty() {
            return plain.map(|head| head.slot);
        }
        let sets = self.tags.iter().filter(|(needed, _)| needed.are_in(tags)).map(|(_, slot)| Some(slot));
        let sets: Vec<Option<Slot>> = sets.chain([None]).collect();
        let needs = sets.iter().flat_map(|tags| [(*tags, Some(python)), (*tags, None)]);
        let limited = needs.filter_map(|needed| self.limited.best_for(&self.cells, needed));
        limited.chain(plain).min_by_key(Head::place).map(|head| head.slot)
    }

    fn best_unlimited_for(&self, python: PythonVersion, tags: &Tags) -> Option<Head> {
        let plain = self.ready.best_for(&self.cells, python, None);
        if tags.is_empty() {
            return plain;
        }
        let needed = self.tags.iter().filter(|(needed, _)| needed.are_in(tags));
        let tagged = needed.filter_map(|(_, slot)| self.ready.best_for(&self.cells, python, Some(slot)));
        tagged.chain(plain).min_by_key(Head::place)
    }

    pub(crate) fn ready_by_need(&self) -> impl Iterator<Item = (Need, usize)> {
        let mut numbers = self.ready.by_need();
        for (needed, count) in self.limited.ready() {
            *numbers.entry(needed).or_default() += count;
        }
        numbers.into_iter().map(|(needed, count)| (self.needing(needed), count))
    }

    pub(crate) fn grantable_by_need(&self) -> impl Iterator<Item = (Need, usize)> {
        let mut numbers = self.ready.by_need();
        for (needed, count) in self.limited.grantable() {
            *numbers.entry(needed).or_default() += count;
        }
        numbers.into_iter().map(|(needed, count)| (self.needing(needed), count))
    }

    fn needing(&self, (tags, python): Needed) -> Need {
        Need { python, tags: self.tags_of(tags).clone() }
    }

    pub(crate) fn need(&self, slot: Slot) -> Need {
        let terms = self.terms(slot);
        Need { python: terms.python, tags: self.tags_of(terms.tags).clone() }
    }

    fn tags_of(&self, slot: Option<Slot>) -> &Tags {
        slot.map_or(Tags::NONE, |slot| self.tags.get(slot))
    }

    /// Whether tasks with these tags keep the number of different sets within its bound.
    pub(crate) fn has_room_for(&self, tags: &Tags) -> bool {
        tags.is_empty() || self.tags.len() < TAG_SETS_MAX || self.tags.contains(tags)
    }

    pub(crate) fn ahead_of(&self, slot: Slot, most: usize) -> Option<usize> {
        let cell = self.cell(slot);
        let (needed, rank) = lane(self.terms(slot));
        matches!(cell.standing.phase, Phase::Ready).then(|| match self.terms(slot).gate {
            None => self.ready.ahead_of(&self.cells, (needed, rank), cell.seq, most),
            Some(gate) => self.limited.ahead_of(&self.cells, (needed, gate, rank), cell.seq, most),
        })
    }

    /// Every lease, by worker and then by token.
    pub(crate) fn leases(&self) -> impl Iterator<Item = (WorkerId, Token, Slot)> {
        self.leases.iter().map(|((worker, token), slot)| (*worker, *token, *slot))
    }

    /// The leases of one worker, by token.
    pub(crate) fn leases_of(&self, worker: WorkerId) -> impl Iterator<Item = (Token, Slot)> {
        let from = self.leases.range((worker, Token(0))..);
        let of_it = from.take_while(move |((holder, _), _)| *holder == worker);
        of_it.map(|((_, token), slot)| (*token, *slot))
    }
}

/// What becomes due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// A deadline of the task passes.
    Deadline,
    /// Its pause is over, or its run.
    Phase,
}

/// Two are equal when their tasks are: where they lie, and how they hang together, is of no account.
impl PartialEq for Live {
    fn eq(&self, other: &Self) -> bool {
        let same = |(slot, cell): (Slot, &Cell)| {
            let same = |there| {
                other.task(there) == self.task(slot)
                    && other.need(there) == self.need(slot)
                    && other.limits_of(there).eq(self.limits_of(slot))
            };
            other.find(&cell.id).is_some_and(same)
        };
        self.len() == other.len()
            && self.slots().all(same)
            && self.limits().eq(other.limits())
            && self.dependencies == other.dependencies
    }
}

impl Eq for Live {}

fn assemble(seq: Seq, standing: Standing, terms: &Terms, deadlines: Option<&Deadlines>) -> Task {
    let Standing { token, counters, phase } = standing;
    let Terms { priority, python, retry, run_max, retention, .. } = *terms;
    let deadlines = deadlines.map(|deadlines| Box::new(*deadlines));
    Task { seq, token, phase, counters, priority, python, retry, run_max, retention, deadlines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RETENTION_DEFAULT;
    use crate::retry::RetryPolicy;
    use crate::task::{Counters, Lease};
    use crate::time::Millis;

    /// More than a block of the slab and a run of the hash table.
    const MANY: u64 = 10_000;

    fn task(seq: u64, phase: Phase) -> Task {
        Task {
            seq: Seq(seq),
            token: Token(seq),
            phase,
            counters: Counters::default(),
            priority: 5,
            python: None,
            retry: RetryPolicy::default(),
            run_max: seq.is_multiple_of(2).then_some(Millis(seq / 1000)),
            retention: RETENTION_DEFAULT,
            deadlines: seq.is_multiple_of(5).then(|| {
                let (start_by, end_by) =
                    (Some(LogTime(seq / 3)), seq.is_multiple_of(2).then_some(LogTime(seq)));
                Box::new(Deadlines { start_by, end_by })
            }),
        }
    }

    /// The tasks 1 to `MANY`, in every phase.
    fn many() -> Vec<(TaskId, Task)> {
        let (worker, request) = (WorkerId::from_u128(1), crate::ids::RequestId::from_u128(1));
        let phase = |n: u64| match n % 4 {
            3 => Phase::Scheduled { at: WallTime(n / 7) },
            0 => Phase::Waiting { due: LogTime(n / 7) },
            1 => Phase::Ready,
            _ => Phase::Leased(Box::new(Lease { worker, request, run_until: None })),
        };
        (1..=MANY).map(|n| (TaskId::from_u128(n.into()), task(n, phase(n)))).collect()
    }

    #[test]
    fn a_table_that_grows_and_shrinks_keeps_its_invariants() {
        let mut live = Live::default();
        for (n, (id, task)) in (1..).zip(many()) {
            live.insert(id, task, Rules::NONE);
            if n % 1777 == 0 {
                live.check().unwrap();
            }
        }
        for (n, (id, task)) in (1..).zip(many()) {
            let slot = live.find(&id).unwrap();
            assert_eq!(live.remove(slot), task);
            assert_eq!(live.find(&id), None);
            if n % 1777 == 0 {
                live.check().unwrap();
            }
        }
        assert_eq!((live.len(), live.next_due(), live.leased_len()), (0, None, 0));
    }

    #[test]
    fn a_table_that_was_filled_in_another_order_is_equal() {
        let mut one = Live::default();
        one.insert_all(many().into_iter().map(|(id, task)| (id, task, None)), []);
        let mut other = Live::default();
        for (id, task) in many().into_iter().rev() {
            other.insert(id, task, Rules::NONE);
        }
        other.check().unwrap();
        assert_eq!(one, other);
        let slot = other.find(&TaskId::from_u128(1)).unwrap();
        other.update(slot, |standing| standing.counters.returns += 1);
        assert_ne!(one, other);
    }

    #[test]
    fn ready_tasks_come_in_the_order_of_acceptance_whenever_they_became_ready() {
        let mut live = Live::default();
        for n in (1..=MANY).map(|n| n * 7919 % (MANY + 1)).filter(|n| *n != 0) {
            live.insert(TaskId::from_u128(n.into()), task(n, Phase::Ready), Rules::NONE);
        }
        live.check().unwrap();
        let python = PythonVersion { major: 3, minor: 11 };
        let granted =
            core::iter::from_fn(|| live.best_for(python, Tags::NONE).map(|slot| live.remove(slot).seq));
        assert!(granted.eq((1..=MANY).map(Seq)));
    }
}
