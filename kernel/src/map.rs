//! Maps: one function over many items, accepted as a whole and turned into tasks a window at a time.
//!
//! An item has its id from the beginning (see [`MapId::item`]), and is a task like any other from its turn on. What is kept
//! of the items that have not had it is one number: how many have.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::command::Map;
use crate::function::{FunctionSpec, PythonVersion};
use crate::ids::{FunctionId, Seq, Token};
use crate::record::{Outcome, Record, Status};
use crate::rules::Rules;
use crate::task::{Counters, Phase, Task, TaskOptions, TaskRow};
use crate::time::{LogTime, Millis, WallTime};

/// The row of a map: written once, dropped when the map is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapRow {
    /// What to run.
    pub function: FunctionId,
    /// With which options, each item.
    pub options: TaskOptions,
    /// Under which rules, each item.
    pub rules: Rules,
    /// Number of items in each piece.
    pub pieces: Vec<u32>,
    /// Digest of all pieces, by whoever sent them.
    pub digest: [u8; 32],
    /// Place in the cluster's order of acceptance. Items have places of their own, from when they became tasks.
    pub seq: Seq,
    /// When it was accepted, for people.
    pub submitted_wall: WallTime,
    /// No item becomes a task before this.
    pub begins: LogTime,
    /// The Python that items need; `None`: any.
    pub python: Option<PythonVersion>,
    /// How long the map is kept once all items have ended.
    pub retention: Millis,
}

impl MapRow {
    /// Number of items.
    pub fn items(&self) -> u32 {
        self.pieces.iter().sum()
    }

    /// The piece that holds an item, and the item's place in it.
    pub fn piece_of(&self, index: u32) -> Option<(u32, u32)> {
        let mut before = 0;
        for (piece, len) in (0..).zip(&self.pieces) {
            if index - before < *len {
                return Some((piece, index - before));
            }
            before += len;
        }
        None
    }

    /// How an item that has had no turn looks to those who ask for it.
    pub fn task_to_be(&self) -> Task {
        let delayed = self.options.delay > Millis(0);
        let phase = if delayed { Phase::Waiting { due: self.begins } } else { Phase::Ready };
        Task {
            seq: self.seq,
            token: Token(0),
            phase: self.rules.run_at().map_or(phase, |at| Phase::Scheduled { at }),
            counters: Counters::default(),
            priority: self.options.priority,
            python: self.python,
            retry: self.options.retry.unwrap_or_default(),
            run_max: self.options.run_max,
            retention: self.retention,
            deadlines: self.rules.deadlines(self.accepted()),
        }
    }

    /// The row that such an item would have, but for its arguments.
    pub fn task_row_to_be(&self) -> TaskRow {
        TaskRow {
            function: self.function,
            options: self.options.clone(),
            args: Bytes::new(),
            seq: self.seq,
            submitted_wall: self.submitted_wall,
            retention: self.retention,
        }
    }

    /// When it was accepted: what deadlines count from.
    pub(crate) const fn accepted(&self) -> LogTime {
        LogTime(self.begins.0.saturating_sub(self.options.delay.0))
    }

    pub(crate) fn same_request(&self, map: &Map) -> bool {
        self.function == map.function
            && self.options == map.options
            && self.rules == map.rules
            && self.digest == map.digest
            && self.pieces.len() == map.pieces as usize
    }

    pub(crate) fn new(
        map: &Map,
        pieces: Vec<u32>,
        function: &FunctionSpec,
        seq: Seq,
        (now, wall): (LogTime, WallTime),
    ) -> Self {
        Self {
            function: map.function,
            options: map.options.clone(),
            rules: map.rules.clone(),
            pieces,
            digest: map.digest,
            seq,
            submitted_wall: wall,
            begins: now.after(map.options.delay),
            python: map.options.python.or(function.python),
            retention: function.retention,
        }
    }
}

/// How many items of a map have ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// With a result.
    pub completed: u32,
    /// With an error.
    pub failed: u32,
    /// Parked.
    pub parked: u32,
    /// Cancelled.
    pub cancelled: u32,
}

impl Ended {
    /// How many there are in all.
    pub const fn total(&self) -> u32 {
        self.completed + self.failed + self.parked + self.cancelled
    }

    pub(crate) const fn count(&mut self, status: Status) {
        match status {
            Status::Completed => self.completed += 1,
            Status::Failed => self.failed += 1,
            Status::Parked => self.parked += 1,
            Status::Cancelled => self.cancelled += 1,
            Status::Waiting | Status::Queued | Status::Running => {}
        }
    }
}

/// Where a map stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapStanding {
    /// The first item that has not become a task.
    pub next: u32,
    /// How many items have ended.
    pub ended: Ended,
    /// Items that were cancelled before their turn, each for itself.
    pub ahead: BTreeSet<u32>,
    /// If the whole map was cancelled: the first item that never became a task, and never will.
    pub cancelled_from: Option<u32>,
    /// Once all items have ended.
    pub finished: Option<MapFinished>,
}

/// When a map ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapFinished {
    /// For people.
    pub wall: WallTime,
    /// When it may be forgotten.
    pub expires: LogTime,
}

/// What is known of an item that is no task, or no task any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unborn {
    /// Its turn comes.
    Queued,
    /// It was cancelled before its turn: the record that it would have.
    Cancelled(Box<Record>),
}

impl MapStanding {
    /// What becomes of an item that had no turn; `None` if it had one, or does not exist.
    pub fn unborn(&self, row: &MapRow, index: u32) -> Option<Unborn> {
        if index >= row.items() {
            return None;
        }
        let cancelled = self.ahead.contains(&index) || self.cancelled_from.is_some_and(|from| index >= from);
        if cancelled {
            return Some(Unborn::Cancelled(Box::new(self.record_of_cancelled(row))));
        }
        (index >= self.next).then_some(Unborn::Queued)
    }

    fn record_of_cancelled(&self, row: &MapRow) -> Record {
        Record {
            outcome: Outcome::Cancelled,
            token: Token(0),
            worker: None,
            counters: Counters::default(),
            finished_wall: self.finished.map_or(row.submitted_wall, |finished| finished.wall),
            expires: self.finished.map_or(LogTime(u64::MAX), |finished| finished.expires),
        }
    }
}
