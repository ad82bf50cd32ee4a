//! What the rest of the kernel asks of limits by key.

use super::Live;
use super::limited::LimitStanding;
use super::slab::Slot;
use crate::limit::{Limit, LimitName};
use crate::limits::LIMIT_KEYS_MAX;
use crate::time::LogTime;

impl Live {
    /// Whether these limits keep the number of those that are known within its bound.
    pub(crate) fn has_room_for_limits<'n>(&self, names: impl IntoIterator<Item = &'n LimitName>) -> bool {
        let new = names.into_iter().filter(|name| !self.limited.contains(name)).count();
        new == 0 || self.limited.len() + new <= LIMIT_KEYS_MAX
    }

    /// Changes what a limit says, if it says something else.
    pub(crate) fn change_limit(&mut self, name: &LimitName, now: LogTime, change: impl Fn(&mut Limit)) {
        let before = self.limited.standing(name).map(|standing| standing.limit).unwrap_or_default();
        let mut after = before.clone();
        change(&mut after);
        if after != before {
            self.limited.change(name, now, change);
        }
    }

    /// A task that is being granted starts.
    pub(crate) fn start(&mut self, slot: Slot, now: LogTime) {
        if let Some(gate) = self.terms(slot).gate {
            self.limited.start(gate, now);
        }
    }

    /// Does what is due with the limits, up to `most` of it.
    pub(crate) fn relax_limits(&mut self, now: LogTime, most: usize) {
        for _ in 0..most {
            if !self.limited.relax(now) {
                return;
            }
        }
    }

    /// The limits that changed since the last call; `None`: dropped.
    pub(crate) fn take_changed_limits(&mut self) -> Vec<(LimitName, Option<Limit>)> {
        self.limited.take_changed()
    }

    pub(crate) fn limit(&self, name: &LimitName) -> Option<LimitStanding> {
        self.limited.standing(name)
    }

    pub(crate) fn limits(&self) -> impl Iterator<Item = LimitStanding> {
        self.limited.standings()
    }

    pub(crate) fn limits_after(&self, name: &LimitName) -> impl Iterator<Item = LimitStanding> {
        self.limited.standings_after(name)
    }

    /// The limits that a task is under.
    pub(crate) fn limits_of(&self, slot: Slot) -> impl Iterator<Item = &LimitName> {
        self.terms(slot).gate.into_iter().flat_map(|gate| self.limited.names(gate))
    }
}
