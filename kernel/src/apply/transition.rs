//! One entry's work in progress: the state, the rows with this entry's own changes on top, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::LeaseRef;
use crate::event::Event;
use crate::function::Function;
use crate::ids::{FunctionId, TaskId, Token, WorkerId};
use crate::record::{Outcome, Output, Record};
use crate::reply::Rejection;
use crate::rows::{Change, Rows};
use crate::state::State;
use crate::task::{Phase, TaskRow};
use crate::time::LogTime;

pub(super) struct Transition<'a, R> {
    pub(super) state: &'a mut State,
    rows: &'a R,
    /// Rows that this entry wrote; `None` says dropped.
    functions: BTreeMap<FunctionId, Function>,
    task_rows: BTreeMap<TaskId, Option<TaskRow>>,
    records: BTreeMap<TaskId, Option<Record>>,
    /// Live tasks that this entry moved: each is written once, as it stands at the end of the entry.
    touched: BTreeSet<TaskId>,
    events: Vec<Event>,
    changes: Vec<Change>,
}

impl<'a, R: Rows> Transition<'a, R> {
    pub(super) const fn new(state: &'a mut State, rows: &'a R) -> Self {
        Self {
            state,
            rows,
            functions: BTreeMap::new(),
            task_rows: BTreeMap::new(),
            records: BTreeMap::new(),
            touched: BTreeSet::new(),
            events: Vec::new(),
            changes: Vec::new(),
        }
    }

    pub(super) fn finish_entry(mut self) -> (Vec<Event>, Vec<Change>) {
        for id in self.touched {
            self.changes.push(match self.state.task(&id) {
                Some(task) => Change::PutLive { id, task: task.clone() },
                None => Change::DeleteLive { id },
            });
        }
        (self.events, self.changes)
    }

    pub(super) const fn now(&self) -> LogTime {
        self.state.scalars.log_time
    }

    pub(super) fn function(&self, id: &FunctionId) -> Option<Function> {
        self.functions.get(id).cloned().or_else(|| self.rows.function(id))
    }

    pub(super) fn task_row(&self, id: &TaskId) -> Option<TaskRow> {
        self.task_rows.get(id).map_or_else(|| self.rows.task(id), Clone::clone)
    }

    pub(super) fn record(&self, id: &TaskId) -> Option<Record> {
        self.records.get(id).map_or_else(|| self.rows.record(id), Clone::clone)
    }

    pub(super) fn put_function(&mut self, id: FunctionId, function: Function, code: bytes::Bytes) {
        self.functions.insert(id, function.clone());
        self.changes.push(Change::PutFunction { id, function, code });
    }

    pub(super) fn put_task_row(&mut self, id: TaskId, row: TaskRow) {
        self.task_rows.insert(id, Some(row.clone()));
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
        self.changes.push(Change::Forget { id, row, record });
    }

    /// Marks a live task (one that is, or was until just now) for writing at the end of the entry.
    pub(super) fn touch(&mut self, id: TaskId) {
        self.touched.insert(id);
    }

    pub(super) fn set_phase(&mut self, id: &TaskId, phase: Phase) {
        self.state.update(id, |task| task.phase = phase);
        self.touch(*id);
    }

    /// Tells the holder, if there is one, that it holds no more.
    pub(super) fn revoke(&mut self, id: &TaskId) {
        let Some(task) = self.state.task(id) else { return };
        if let Phase::Leased(lease) = &task.phase {
            self.events.push(Event::Revoked { task: *id, token: task.token, worker: lease.worker });
        }
    }

    /// Writes the task's one terminal record and lets it live no more.
    pub(super) fn finish(&mut self, id: &TaskId, outcome: Outcome) {
        let worker = self.state.lease(id).map(|lease| lease.worker);
        let task = self.state.remove(id);
        self.touch(*id);
        self.events.push(Event::Finished { task: *id, status: outcome.status() });
        self.put_record(*id, outcome, worker, &task);
    }

    fn put_record(
        &mut self,
        id: TaskId,
        outcome: Outcome,
        worker: Option<WorkerId>,
        task: &crate::task::Task,
    ) {
        let record = Record {
            outcome,
            token: task.token,
            worker,
            counters: task.counters,
            finished_wall: self.state.scalars.wall_time,
            expires: self.now().after(task.retention),
        };
        self.records.insert(id, Some(record.clone()));
        self.changes.push(Change::PutRecord { id, record });
    }

    /// Checks that nobody was granted the task after `lease`; says what to answer if somebody was, or if it ended.
    pub(super) fn check_newest(&self, lease: &LeaseRef) -> Result<(), Superseded> {
        match self.state.task(&lease.task) {
            Some(task) if task.token == lease.token && lease.token != Token(0) => Ok(()),
            Some(task) => Err(Superseded::Stale(stale(lease, task.token))),
            None => Err(self
                .record(&lease.task)
                .map_or(Superseded::Stale(Rejection::UnknownTask(lease.task)), |record| {
                    Superseded::Ended(Box::new(record))
                })),
        }
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
