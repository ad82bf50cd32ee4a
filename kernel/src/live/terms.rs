//! The terms under which tasks run. Most tasks were submitted under the same few, so each is kept once, and counted.

use std::collections::BTreeMap;

use super::slab::{Slab, Slot};
use crate::function::PythonVersion;
use crate::retry::RetryPolicy;
use crate::task::Task;
use crate::time::Millis;

/// What is fixed for a task when it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Terms {
    pub(crate) priority: u8,
    pub(crate) python: Option<PythonVersion>,
    pub(crate) retry: RetryPolicy,
    pub(crate) run_max: Option<Millis>,
    pub(crate) retention: Millis,
}

impl Terms {
    pub(super) const fn of(task: &Task) -> Self {
        Self {
            priority: task.priority,
            python: task.python,
            retry: task.retry,
            run_max: task.run_max,
            retention: task.retention,
        }
    }
}

/// Every set of terms that a live task has.
#[derive(Debug, Clone, Default)]
pub(super) struct Interned {
    kept: Slab<Kept>,
    slots: BTreeMap<Terms, Slot>,
}

#[derive(Debug, Clone)]
struct Kept {
    terms: Terms,
    /// Number of live tasks with these terms.
    tasks: u32,
}

impl Interned {
    pub(super) fn get(&self, slot: Slot) -> &Terms {
        &self.kept.get(slot).terms
    }

    pub(super) fn intern(&mut self, terms: Terms) -> Slot {
        let kept = &mut self.kept;
        let slot = *self.slots.entry(terms).or_insert_with(|| kept.insert(Kept { terms, tasks: 0 }));
        kept.get_mut(slot).tasks += 1;
        slot
    }

    /// One task less has these terms.
    pub(super) fn release(&mut self, slot: Slot) -> Terms {
        let Kept { terms, tasks } = self.kept.get_mut(slot);
        let terms = *terms;
        *tasks -= 1;
        if *tasks == 0 {
            self.kept.remove(slot);
            self.slots.remove(&terms);
        }
        terms
    }

    /// Each set of terms and its number of tasks.
    pub(super) fn counts(&self) -> BTreeMap<Terms, u32> {
        self.slots.iter().map(|(terms, slot)| (*terms, self.kept.get(*slot).tasks)).collect()
    }
}
