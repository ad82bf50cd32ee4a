//! `fire`: submits the tasks of nominal times that have come. Each nominal time is dealt with once.

use super::transition::Transition;
use crate::command::{Fire, Firing, Submit, Trigger};
use crate::ids::TaskId;
use crate::reply::{Accepted, Rejection, Reply};
use crate::rows::Rows;
use crate::rules::{Rule, Rules};
use crate::schedule::{Overlap, Schedule};
use crate::time::WallTime;

impl<R: Rows> Transition<'_, R> {
    /// Firings that are not as of the schedule that stands are left out: another leader was there first.
    pub(super) fn fire(&mut self, command: &Fire) -> Accepted {
        let mut submitted = 0;
        for firing in &command.firings {
            let now = self.calendar;
            let kept = self.state.schedules.get(&firing.name);
            let Some(kept) = kept.filter(|kept| is_next(firing, &kept.schedule, now)) else { continue };
            let schedule = kept.schedule.clone();
            self.state.schedules.update(&firing.name, |schedule| schedule.last = firing.until);
            for nominal in &firing.nominal {
                submitted += u32::from(self.fire_one(&firing.name, &schedule, *nominal));
            }
        }
        Accepted::Fired { submitted }
    }

    /// Submits the task of a nominal time, unless tasks of the schedule that have not ended forbid it.
    fn fire_one(&mut self, name: &str, schedule: &Schedule, nominal: WallTime) -> bool {
        let live = self.state.schedules.get(name).map_or(0, |kept| kept.live);
        let most = match schedule.spec.overlap {
            Overlap::Allow => u32::MAX,
            Overlap::Skip => 1,
            Overlap::Queue => 2,
        };
        let submitted =
            live < most && self.submit_scheduled(name, schedule, nominal, schedule.task(nominal)).is_ok();
        self.state.schedules.update(name, |schedule| {
            schedule.fired += u64::from(submitted);
            schedule.skipped += u64::from(!submitted);
        });
        submitted
    }

    /// `trigger`: submits a task of a schedule now, whatever else of it lives, and leaves its nominal times as they are.
    pub(super) fn trigger(&mut self, command: &Trigger) -> Reply {
        let kept = self.state.schedules.get(&command.name);
        let schedule = kept.map(|kept| kept.schedule.clone());
        let schedule = schedule.ok_or_else(|| Rejection::UnknownSchedule(command.name.clone()))?;
        if self.task_row(&command.task).is_some() {
            // A repeat: whether it is of the same schedule, its nominal time would not tell.
            return Ok(Accepted::Submitted { created: 0 });
        }
        self.submit_scheduled(&command.name, &schedule, self.calendar, command.task)
    }

    fn submit_scheduled(
        &mut self,
        name: &str,
        schedule: &Schedule,
        nominal: WallTime,
        task: TaskId,
    ) -> Reply {
        let spec = &schedule.spec;
        let queue = (spec.overlap == Overlap::Queue)
            .then(|| Rule::Concurrency { key: format!("schedule: {name}"), max: 1 });
        let from = Rule::Scheduled { name: name.to_owned(), schedule: schedule.id, nominal };
        let rules: Rules = spec.rules.iter().cloned().chain(queue).chain([from]).collect();
        let submit = Submit {
            function: spec.function,
            options: spec.options.clone(),
            items: vec![(task, spec.args.clone())],
        };
        self.submit(&submit, &rules)
    }
}

/// Whether the firing begins where the schedule stands, and names rising times that have come.
fn is_next(firing: &Firing, schedule: &Schedule, now: WallTime) -> bool {
    let rises = firing.nominal.is_sorted_by(|one, next| one < next);
    let within = firing.nominal.iter().all(|nominal| (*nominal > firing.after) && (*nominal <= firing.until));
    let is_same = schedule.id == firing.schedule && schedule.last == firing.after && !schedule.paused;
    is_same && rises && within && firing.until > firing.after && firing.until <= now
}
