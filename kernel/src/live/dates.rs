//! Deadlines of the few tasks that have some, and the order in which they pass.

use std::collections::BTreeMap;

use super::cell::Cell;
use super::slab::Slot;
use crate::ids::TaskId;
use crate::task::Deadlines;
use crate::time::LogTime;

/// The table of deadlines.
///
/// Invariant, checked by [`Live::check`](super::Live::check): a task is in the order exactly at the deadline that it will
/// miss first as it stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Dates {
    of: BTreeMap<Slot, Deadlines>,
    order: BTreeMap<(LogTime, TaskId), Slot>,
}

impl Dates {
    pub(super) fn of(&self, slot: Slot) -> Option<&Deadlines> {
        self.of.get(&slot)
    }

    pub(super) fn set(&mut self, slot: Slot, deadlines: Deadlines) {
        self.of.insert(slot, deadlines);
    }

    pub(super) fn take(&mut self, slot: Slot) -> Option<Deadlines> {
        self.of.remove(&slot)
    }

    pub(super) fn index(&mut self, cell: &Cell, slot: Slot) {
        let next = self.of.get(&slot).and_then(|deadlines| next(deadlines, cell));
        self.order.extend(next.map(|at| ((at, cell.id), slot)));
    }

    pub(super) fn unindex(&mut self, cell: &Cell, slot: Slot) {
        if let Some(at) = self.of.get(&slot).and_then(|deadlines| next(deadlines, cell)) {
            self.order.remove(&(at, cell.id));
        }
    }

    /// The first deadline that will be missed, and by which task.
    pub(super) fn first(&self) -> Option<(LogTime, Slot)> {
        self.order.first_key_value().map(|((at, _), slot)| (*at, *slot))
    }

    pub(super) fn listing(&self) -> impl Iterator<Item = (LogTime, TaskId)> {
        self.order.keys().copied()
    }
}

/// The deadline that a task will miss first as it stands.
pub(super) fn next(deadlines: &Deadlines, cell: &Cell) -> Option<LogTime> {
    let standing = &cell.standing;
    let start_by = deadlines.start_by.filter(|_| standing.phase.is_before_any_start(standing.counters));
    start_by.into_iter().chain(deadlines.end_by).min()
}
