//! `put_schedule`: makes a schedule, or replaces one. A repeat changes nothing.

use super::bounds::within;
use super::submit::{check_options, check_spans};
use super::transition::Transition;
use crate::command::PutSchedule;
use crate::limits::{SCHEDULES_BYTES_MAX, SCHEDULES_MAX};
use crate::reply::{Accepted, Rejection, Reply};
use crate::rows::Rows;
use crate::schedule::{Schedule, check_schedule_name};

impl<R: Rows> Transition<'_, R> {
    /// A schedule that is replaced goes on where it was, unless it fires at other times now: those count from this moment.
    pub(super) fn put_schedule(&mut self, command: &PutSchedule) -> Reply {
        let PutSchedule { name, spec } = command;
        check_schedule_name(name).and_then(|()| spec.check()).map_err(Rejection::Invalid)?;
        check_options(&spec.options)?;
        check_spans(&spec.options, &spec.rules)?;
        self.function(&spec.function).ok_or(Rejection::UnknownFunction(spec.function))?;
        let bytes = self.state.schedules.bytes_beside(name) + spec.args.len();
        within("the size of the arguments of all schedules", bytes, SCHEDULES_BYTES_MAX)?;
        let now = self.calendar;
        let before = self.state.schedules.get(name).map(|kept| kept.schedule.clone());
        let created = before.is_none();
        let schedule = match before {
            Some(before) if before.spec == *spec => return Ok(Accepted::SchedulePut { created }),
            Some(before) => {
                let last = if before.spec.timing == spec.timing { before.last } else { now };
                Schedule { spec: spec.clone(), last, ..before }
            }
            None => {
                within("the number of schedules", self.state.schedules.len() + 1, SCHEDULES_MAX)?;
                let (id, spec) = (self.state.next_schedule(), spec.clone());
                Schedule {
                    id,
                    spec,
                    last: now,
                    paused: false,
                    fired: 0,
                    skipped: 0,
                    made_wall: self.state.scalars.wall_time,
                }
            }
        };
        self.state.schedules.put(name, schedule);
        Ok(Accepted::SchedulePut { created })
    }
}
