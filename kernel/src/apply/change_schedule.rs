//! `change_schedule`: pauses, resumes or deletes a schedule. Its tasks go on.

use super::transition::Transition;
use crate::command::{ChangeSchedule, ScheduleChange};
use crate::reply::{Accepted, Rejection, Reply};
use crate::rows::Rows;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn change_schedule(&mut self, command: &ChangeSchedule) -> Reply {
        let name = &command.name;
        let now = self.calendar;
        let paused = self.state.schedules.get(name).map(|kept| kept.schedule.paused);
        let paused = paused.ok_or_else(|| Rejection::UnknownSchedule(name.clone()))?;
        match command.change {
            ScheduleChange::Pause if !paused => {
                self.state.schedules.update(name, |schedule| schedule.paused = true);
            }
            // What passed meanwhile was meant to pass.
            ScheduleChange::Resume if paused => self.state.schedules.update(name, |schedule| {
                schedule.paused = false;
                schedule.last = schedule.last.max(now);
            }),
            ScheduleChange::Pause | ScheduleChange::Resume => {}
            ScheduleChange::Delete => self.state.schedules.remove(name),
        }
        Ok(Accepted::ScheduleChanged)
    }
}
