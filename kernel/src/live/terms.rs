//! The terms under which tasks run. Most tasks were submitted under the same few, so they are interned.

use super::slab::Slot;
use crate::function::PythonVersion;
use crate::ids::ScheduleId;
use crate::retry::RetryPolicy;
use crate::rules::Rules;
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
    /// Tags that a worker must offer, where they are interned.
    pub(super) tags: Option<Slot>,
    /// Keys of limits, where they are interned.
    pub(super) gate: Option<Slot>,
    /// The schedule that submitted it.
    pub(crate) schedule: Option<ScheduleId>,
    /// Whether the rules name exceptions that are final: they are looked up when it comes to that.
    pub(crate) no_retry: bool,
    /// Whether the task has deadlines, which are in a table of their own.
    pub(crate) dated: bool,
    /// Whether it runs after others, which are in a table of their own.
    pub(crate) depends: bool,
}

impl Terms {
    pub(super) fn of(task: &Task, tags: Option<Slot>, gate: Option<Slot>, rules: &Rules) -> Self {
        Self {
            priority: task.priority,
            python: task.python,
            retry: task.retry,
            run_max: task.run_max,
            retention: task.retention,
            tags,
            gate,
            schedule: rules.origin().map(|(_, schedule, _)| schedule),
            no_retry: rules.no_retry().is_some(),
            dated: task.deadlines.is_some(),
            depends: rules.after().is_some(),
        }
    }

    /// Whether the task names keys of limits.
    pub(crate) const fn is_limited(&self) -> bool {
        self.gate.is_some()
    }
}
