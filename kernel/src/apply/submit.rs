//! `submit`: accepts tasks of one function, all or none. A repeated submit changes nothing.

use bytes::Bytes;

use super::bounds::{check_retry, within};
use super::lookup::Lookup;
use super::transition::Transition;
use crate::command::{Submit, SubmitUnder};
use crate::function::FunctionSpec;
use crate::ids::{TaskId, Token};
use crate::limit::LimitName;
use crate::limits::{ARGS_BYTES_MAX, LIMIT_KEYS_MAX, PRIORITY_MAX, SUBMIT_ITEMS_MAX, TAG_SETS_MAX};
use crate::parts::PayloadId;
use crate::reply::{Accepted, Rejection, Reply};
use crate::rows::Rows;
use crate::rules::Rules;
use crate::task::{Counters, Phase, Task, TaskOptions, TaskRow};
use crate::time::{LogTime, Millis};

impl<R: Rows> Transition<'_, R> {
    pub(super) fn submit_under(&mut self, command: &SubmitUnder) -> Reply {
        command.rules.check().map_err(Rejection::Invalid)?;
        check_spans(&command.submit.options, &command.rules)?;
        check_alone(&command.submit, &command.rules)?;
        self.submit(&command.submit, &command.rules)
    }

    pub(super) fn submit(&mut self, command: &Submit, rules: &Rules) -> Reply {
        check_bounds(command)?;
        let function =
            self.function(&command.function).ok_or(Rejection::UnknownFunction(command.function))?;
        let fresh = self.fresh_items(command, rules)?;
        if !fresh.is_empty() {
            self.check_ids(fresh.iter().map(|(id, _)| *id))?;
            if rules.after().is_some() {
                let ids: Vec<TaskId> = fresh.iter().map(|(id, _)| *id).collect();
                self.check_dependencies(&ids, rules)?;
            }
            self.check_room_for(rules)?;
        }
        if let (Some(parts), Some((id, _))) = (rules.in_parts(), fresh.first()) {
            self.take_payload(PayloadId::arguments(*id), &parts)?;
        }
        self.expect_tasks(fresh.len());
        for (id, args) in &fresh {
            self.accept(*id, command, rules, &function.spec, (self.now(), (*args).clone()));
        }
        if !fresh.is_empty() {
            self.declare(rules);
        }
        Ok(Accepted::Submitted { created: u32::try_from(fresh.len()).expect("bounded by SUBMIT_ITEMS_MAX") })
    }

    /// What the newest submit says of a limit holds for all tasks that name it, unless it is set by hand.
    pub(super) fn declare(&mut self, rules: &Rules) {
        let now = self.now();
        for (name, bound) in rules.limits() {
            self.state.live.change_limit(&name, now, |limit| limit.declared = Some(bound));
        }
    }

    /// What a task was submitted with holds again if no other says anything: it may have been submitted long ago, as the
    /// items of maps and the tasks that are redriven were, and the limit forgotten since.
    fn declare_again(&mut self, rules: &Rules) {
        let now = self.now();
        for (name, bound) in rules.limits() {
            self.state.live.change_limit(&name, now, |limit| {
                limit.declared.get_or_insert(bound);
            });
        }
    }

    /// An acquire looks at each set of tags, and each limit takes memory, so their numbers are bounded.
    pub(super) fn check_room_for(&self, rules: &Rules) -> Result<(), Rejection> {
        if !self.state.live.has_room_for(rules.tags()) {
            let what = "the number of different sets of tags that live tasks need";
            within(what, TAG_SETS_MAX + 1, TAG_SETS_MAX)?;
        }
        let limits: Vec<LimitName> = rules.limits().map(|(name, _)| name).collect();
        if !self.state.live.has_room_for_limits(&limits) {
            within("the number of limits", LIMIT_KEYS_MAX + 1, LIMIT_KEYS_MAX)?;
        }
        Ok(())
    }

    /// The items that are not there yet, in the order given, or the first one whose id is taken by another request.
    fn fresh_items<'c>(
        &self,
        command: &'c Submit,
        rules: &Rules,
    ) -> Result<Vec<(TaskId, &'c Bytes)>, Rejection> {
        let mut seen: Lookup<TaskId, &Bytes> = Lookup::default();
        let mut fresh = Vec::with_capacity(command.items.len());
        seen.reserve(command.items.len());
        for (id, args) in &command.items {
            if let Some(first) = seen.insert(*id, args) {
                if first != args {
                    return Err(Rejection::TaskConflict(*id));
                }
                continue;
            }
            match self.task_row(id) {
                None => fresh.push((*id, args)),
                Some(row)
                    if row.same_request(&command.function, &command.options, args)
                        && self.rules(id).as_ref().unwrap_or(Rules::NONE) == rules => {}
                Some(_) => return Err(Rejection::TaskConflict(*id)),
            }
        }
        Ok(fresh)
    }

    /// Makes a task of these arguments, whose deadlines count from the given moment.
    pub(super) fn accept(
        &mut self,
        id: TaskId,
        command: &Submit,
        rules: &Rules,
        function: &FunctionSpec,
        (since, args): (LogTime, Bytes),
    ) {
        let seq = self.state.next_seq();
        let options = &command.options;
        let phase = match (options.delay, rules.run_at()) {
            (delay, _) if rules.after().is_some() => self.blocked(delay),
            (_, Some(at)) if at > self.calendar => Phase::Scheduled { at },
            (_, Some(_)) | (Millis(0), None) => Phase::Ready,
            (delay, None) => Phase::Waiting { due: self.now().after(delay) },
        };
        self.put_task_row(
            id,
            TaskRow {
                function: command.function,
                options: options.clone(),
                args,
                seq,
                submitted_wall: self.state.scalars.wall_time,
                retention: function.retention,
            },
        );
        if !rules.is_empty() {
            self.put_rules(id, rules.clone());
        }
        let slot = self.state.live.insert(
            id,
            Task {
                seq,
                token: Token(0),
                phase,
                counters: Counters::default(),
                priority: options.priority,
                python: options.python.or(function.python),
                retry: options.retry.unwrap_or(function.retry),
                run_max: options.run_max.or(function.run_max),
                retention: function.retention,
                deadlines: rules.deadlines(since),
            },
            rules,
        );
        self.touch(slot);
        if let Some(after) = rules.after() {
            self.wait(id, after);
        }
        self.declare_again(rules);
        if let Some(schedule) = self.state.live.terms(slot).schedule {
            self.state.schedules.count(schedule, true);
        }
    }
}

/// Arguments in parts are those of one task.
fn check_alone(command: &Submit, rules: &Rules) -> Result<(), Rejection> {
    if rules.in_parts().is_none() || matches!(&*command.items, [(_, args)] if args.is_empty()) {
        return Ok(());
    }
    let text = "a task whose arguments are in parts is submitted alone, and with nothing in their place";
    Err(Rejection::Invalid(text.to_owned()))
}

/// Refuses deadlines that pass before the delay is over, and two ways of waiting at once.
pub(super) fn check_spans(options: &TaskOptions, rules: &Rules) -> Result<(), Rejection> {
    if options.delay != Millis(0) && rules.run_at().is_some() {
        return Err(Rejection::Invalid(
            "a task waits for its delay or for its run_at, not for both".to_owned(),
        ));
    }
    let first = rules.start_by().into_iter().chain(rules.total()).min();
    if first.is_none_or(|first| options.delay < first) {
        return Ok(());
    }
    let text = "the task could never start: its delay is not shorter than its start_by or its total_timeout";
    Err(Rejection::Invalid(text.to_owned()))
}

fn check_bounds(command: &Submit) -> Result<(), Rejection> {
    within("the number of tasks", command.items.len(), SUBMIT_ITEMS_MAX)?;
    check_options(&command.options)?;
    command
        .items
        .iter()
        .try_for_each(|(_, args)| within("the size of the arguments", args.len(), ARGS_BYTES_MAX))
}

pub(super) fn check_options(options: &TaskOptions) -> Result<(), Rejection> {
    within("the priority", usize::from(options.priority), usize::from(PRIORITY_MAX))?;
    options.retry.as_ref().map_or(Ok(()), check_retry)
}
