//! One entry's work in progress: the state, the rows with this entry's own changes on top, and what came of it.

use std::rc::Rc;

use super::expand::Expanded;
use super::lookup::Lookup;
use super::map_changes::MapChanges;
use super::part_changes::PartChanges;
use crate::command::LeaseRef;
use crate::event::Event;
use crate::function::Function;
use crate::ids::{FunctionId, TaskId, Token};
use crate::live::Slot;
use crate::mutants::mutant;
use crate::parts::PayloadId;
use crate::record::{Outcome, Output, Record};
use crate::reply::Rejection;
use crate::rows::{Change, Rows};
use crate::rules::Rules;
use crate::state::State;
use crate::task::{Phase, Task, TaskRow};
use crate::time::{LogTime, WallTime};

pub(super) struct Transition<'a, R> {
    pub(super) state: &'a mut State,
    pub(super) rows: &'a R,
    /// What the entry's calendar says.
    pub(super) calendar: WallTime,
    /// Functions that this entry wrote, or looked up: many of its submits are of the same one.
    functions: Lookup<FunctionId, Rc<Function>>,
    /// Rows that this entry wrote, as places in `changes`; `None` says dropped.
    task_rows: Lookup<TaskId, Option<usize>>,
    records: Lookup<TaskId, Option<usize>>,
    rules: Lookup<TaskId, Option<Rules>>,
    /// Live tasks that this entry moved: each is written once, as it stands at the end of the entry.
    touched: Vec<TaskId>,
    pub(super) maps: Option<Box<MapChanges>>,
    pub(super) parts: Option<Box<PartChanges>>,
    pub(super) expanded: Expanded,
    events: Vec<Event>,
    pub(super) changes: Vec<Change>,
}

impl<'a, R: Rows> Transition<'a, R> {
    /// For an entry of so many commands.
    pub(super) fn new(state: &'a mut State, rows: &'a R, commands: usize) -> Self {
        Self {
            state,
            rows,
            calendar: WallTime(0),
            functions: Lookup::default(),
            task_rows: Lookup::default(),
            records: Lookup::default(),
            rules: Lookup::default(),
            touched: Vec::with_capacity(commands),
            maps: None,
            parts: None,
            expanded: Expanded::default(),
            events: Vec::new(),
            // Most commands are about one task, whose row or record is written, and where it stands.
            changes: Vec::with_capacity(2 * commands),
        }
    }

    pub(super) fn finish_entry(mut self) -> (Vec<Event>, Vec<Change>) {
        self.touched.sort_unstable();
        self.touched.dedup();
        self.changes.reserve(self.touched.len());
        for id in self.touched {
            match self.state.task(&id) {
                Some(task) => self.changes.push(Change::PutLive { id, task }),
                None => self.changes.push(Change::DeleteLive { id }),
            }
        }
        self.changes.extend(self.state.live.take_changed_limits().into_iter().map(
            |(name, limit)| match limit {
                Some(limit) => Change::PutLimit { name, limit },
                None => Change::DeleteLimit { name },
            },
        ));
        for (name, schedule) in self.state.schedules.take_changed() {
            self.events.push(Event::ScheduleChanged { name: name.clone() });
            self.changes.push(match schedule {
                Some(schedule) => Change::PutSchedule { name, schedule },
                None => Change::DeleteSchedule { name },
            });
        }
        if let Some(maps) = self.maps {
            self.changes.extend(maps.rows(self.state));
        }
        if let Some(parts) = self.parts {
            self.changes.extend(parts.rows(self.state));
        }
        (self.events, self.changes)
    }

    pub(super) const fn now(&self) -> LogTime {
        self.state.scalars.log_time
    }

    pub(super) fn function(&mut self, id: &FunctionId) -> Option<Rc<Function>> {
        if let Some(function) = self.functions.get(id) {
            return Some(Rc::clone(function));
        }
        let function = Rc::new(self.rows.function(id)?);
        self.functions.insert(*id, Rc::clone(&function));
        Some(function)
    }

    pub(super) fn task_row(&self, id: &TaskId) -> Option<TaskRow> {
        let Some(written) = self.task_rows.get(id) else { return self.rows.task(id) };
        written.map(|place| {
            let Change::PutTask { row, .. } = &self.changes[place] else {
                unreachable!("a task's row was written there")
            };
            row.clone()
        })
    }

    pub(super) fn record(&self, id: &TaskId) -> Option<Record> {
        let Some(written) = self.records.get(id) else { return self.rows.record(id) };
        written.map(|place| {
            let Change::PutRecord { record, .. } = &self.changes[place] else {
                unreachable!("a record was written there")
            };
            record.clone()
        })
    }

    pub(super) fn rules(&self, id: &TaskId) -> Option<Rules> {
        self.rules.get(id).cloned().unwrap_or_else(|| self.rows.rules(id))
    }

    pub(super) fn push_event(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(super) fn put_rules(&mut self, id: TaskId, rules: Rules) {
        self.rules.insert(id, Some(rules.clone()));
        self.changes.push(Change::PutRules { id, rules });
    }

    pub(super) fn put_function(&mut self, id: FunctionId, function: Function, code: bytes::Bytes) {
        self.functions.insert(id, Rc::new(function.clone()));
        self.changes.push(Change::PutFunction { id, function, code });
    }

    /// Makes room for what accepting so many tasks will write.
    pub(super) fn expect_tasks(&mut self, tasks: usize) {
        self.touched.reserve(tasks);
        self.changes.reserve(2 * tasks);
    }

    pub(super) fn put_task_row(&mut self, id: TaskId, row: TaskRow) {
        self.task_rows.insert(id, Some(self.changes.len()));
        self.changes.push(Change::PutTask { id, row });
    }

    pub(super) fn put_output(&mut self, lease: LeaseRef, output: &Output) {
        if !output.is_empty() {
            self.changes.push(Change::PutOutput {
                task: lease.task,
                token: lease.token,
                output: output.within_bounds(),
            });
        }
    }

    pub(super) fn forget_rows(&mut self, id: TaskId, row: TaskRow, record: Record) {
        self.task_rows.insert(id, None);
        self.records.insert(id, None);
        let known = self.rules(&id);
        let ruled = known.is_some();
        self.rules.insert(id, None);
        if let Some(parts) = known.and_then(|rules| rules.in_parts()) {
            self.delete_parts(PayloadId::arguments(id), parts.count);
        }
        if let Outcome::CompletedInParts(parts) = &record.outcome {
            self.delete_parts(PayloadId { task: id, token: record.token }, parts.count);
        }
        self.changes.push(Change::Forget { id, row, record, ruled });
    }

    /// Marks a live task (one that is, or was until just now) for writing at the end of the entry.
    pub(super) fn touch(&mut self, slot: Slot) {
        self.touched.push(self.state.live.cell(slot).id);
    }

    pub(super) fn set_phase(&mut self, slot: Slot, phase: Phase) {
        self.state.live.update(slot, |standing| standing.phase = phase);
        self.touch(slot);
    }

    /// Tells the holder, if there is one, that it holds no more.
    pub(super) fn revoke(&mut self, slot: Slot) {
        let Some(worker) = self.state.lease(slot).map(|lease| lease.worker) else { return };
        let cell = self.state.live.cell(slot);
        self.events.push(Event::Revoked { task: cell.id, token: cell.standing.token, worker });
    }

    /// Writes the task's one terminal record, lets it live no more, and tells.
    pub(super) fn finish(&mut self, slot: Slot, outcome: Outcome) {
        let (id, status) = (self.state.live.cell(slot).id, outcome.status());
        self.events.push(Event::Finished { task: id, status });
        self.end(slot, outcome);
        self.tell_dependents(id, status);
        self.count_item(&id, status);
    }

    /// The same of a task whose end was told before it became one.
    pub(super) fn end(&mut self, slot: Slot, outcome: Outcome) {
        self.touch(slot);
        let id = self.state.live.cell(slot).id;
        let schedule = self.state.live.terms(slot).schedule;
        let task = self.state.live.remove(slot);
        if let Some(schedule) = schedule {
            self.state.schedules.count(schedule, false);
        }
        self.put_record(id, outcome, &task);
    }

    fn put_record(&mut self, id: TaskId, outcome: Outcome, task: &Task) {
        let worker = match &task.phase {
            Phase::Leased(lease) => Some(lease.worker),
            Phase::Waiting { .. } | Phase::Scheduled { .. } | Phase::Blocked { .. } | Phase::Ready => None,
        };
        let record = Record {
            outcome,
            token: task.token,
            worker,
            counters: task.counters,
            finished_wall: self.state.scalars.wall_time,
            expires: self.now().after(task.retention),
        };
        self.records.insert(id, Some(self.changes.len()));
        self.changes.push(Change::PutRecord { id, record });
    }

    /// Writes a record again: what only a planted bug does.
    #[cfg(feature = "mutants")]
    pub(super) fn overwrite(&mut self, id: TaskId, outcome: Outcome, record: Record) {
        self.changes.push(Change::PutRecord { id, record: Record { outcome, ..record } });
    }

    /// The task that `lease` was the newest grant of; or, if somebody was granted it since, or it ended, what to answer.
    pub(super) fn check_newest(&self, lease: &LeaseRef) -> Result<Slot, Superseded> {
        let Some(slot) = self.state.live.find(&lease.task) else {
            let record = self.record(&lease.task);
            return Err(record.map_or(Superseded::Stale(Rejection::UnknownTask(lease.task)), |record| {
                Superseded::Ended(Box::new(record))
            }));
        };
        let newest = self.state.live.cell(slot).standing.token;
        if (newest == lease.token || mutant("M6")) && newest != Token(0) {
            return Ok(slot);
        }
        Err(Superseded::Stale(stale(lease, newest)))
    }
}

/// Why a lease speaks for its task no more.
pub(super) enum Superseded {
    /// There is a newer grant, or no such task.
    Stale(Rejection),
    /// The task has its record.
    Ended(Box<Record>),
}

impl Superseded {
    /// The refusal to send when a repeat of the same report does not explain the record.
    pub(super) fn refuse(self, lease: &LeaseRef) -> Rejection {
        match self {
            Self::Stale(rejection) => rejection,
            Self::Ended(record) if record.token == lease.token => {
                Rejection::AlreadyFinished { task: lease.task, status: record.outcome.status() }
            }
            Self::Ended(record) => stale(lease, record.token),
        }
    }
}

pub(super) const fn stale(lease: &LeaseRef, current: Token) -> Rejection {
    Rejection::StaleLease { task: lease.task, offered: lease.token, current }
}
