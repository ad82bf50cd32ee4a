//! Rows: what the kernel reads of the past and what it asks the shell to write, as plain data.
//!
//! The shell answers [`Rows`] from storage as of the last applied entry, and writes all [`Change`]s of an entry
//! together with its index. The kernel sees its own changes of the same entry without the shell's help.

use bytes::Bytes;

use crate::function::Function;
use crate::ids::{FunctionId, MapId, TaskId, Token};
use crate::limit::{Limit, LimitName};
use crate::map::{MapRow, MapStanding};
use crate::pack::Piece;
use crate::parts::PayloadId;
use crate::record::{Output, Record};
use crate::rules::Rules;
use crate::schedule::Schedule;
use crate::task::{Task, TaskRow};
use crate::time::LogTime;
use crate::uploads::Upload;

/// Look-ups as of the last applied entry. Must be a function of the applied log alone.
///
/// A shell whose storage fails while it answers must stop the process: a wrong "no such row" would make replicas differ.
pub trait Rows {
    /// The function's row.
    fn function(&self, id: &FunctionId) -> Option<Function>;
    /// The task's row: there from acceptance until it is forgotten.
    fn task(&self, id: &TaskId) -> Option<TaskRow>;
    /// The task's terminal record: there from its end until it is forgotten.
    fn record(&self, id: &TaskId) -> Option<Record>;
    /// The rules under which the task was submitted, if there were any: there from acceptance until it is forgotten.
    fn rules(&self, id: &TaskId) -> Option<Rules>;
    /// Every limit that is stored: only a state that is rebuilt asks.
    fn limits(&self) -> Vec<(LimitName, Limit)>;
    /// Every schedule that is stored, by name: only a state that is rebuilt asks.
    fn schedules(&self) -> Vec<(String, Schedule)>;
    /// The map's row and where it stands: there from acceptance until it is forgotten.
    fn map(&self, id: &MapId) -> Option<(MapRow, MapStanding)>;
    /// Every map that has not ended, in any order: asked when the state is rebuilt.
    fn live_maps(&self) -> Vec<(MapId, MapRow, MapStanding)>;
    /// Every map that is being sent, in any order: asked when the state is rebuilt.
    fn uploads(&self) -> Vec<(MapId, Upload)>;
    /// A piece of a map: there until all its items have become tasks.
    fn piece(&self, map: &MapId, index: u32) -> Option<Piece>;
    /// Every large payload that is being sent, in any order: asked when the state is rebuilt.
    fn payload_uploads(&self) -> Vec<(PayloadId, Upload)>;
    /// A part of a large payload: there until its upload is dropped, or its task forgotten.
    fn part(&self, of: &PayloadId, index: u32) -> Option<Bytes>;
}

/// One write that the shell must make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A function was registered.
    PutFunction {
        /// Its id.
        id: FunctionId,
        /// Its row.
        function: Function,
        /// Its code, kept apart so that submits need not read it.
        code: Bytes,
    },
    /// A task was accepted.
    PutTask {
        /// Its id.
        id: TaskId,
        /// Its row.
        row: TaskRow,
    },
    /// A task was accepted under rules.
    PutRules {
        /// Its id.
        id: TaskId,
        /// The rules.
        rules: Rules,
    },
    /// A live task stands elsewhere than before. At most one for each task and entry.
    PutLive {
        /// Its id.
        id: TaskId,
        /// Where it stands.
        task: Task,
    },
    /// A task lives no more.
    DeleteLive {
        /// Its id.
        id: TaskId,
    },
    /// A task ended.
    PutRecord {
        /// Its id.
        id: TaskId,
        /// Its terminal record.
        record: Record,
    },
    /// An attempt printed something.
    PutOutput {
        /// The task.
        task: TaskId,
        /// The attempt's token.
        token: Token,
        /// What it printed.
        output: Output,
    },
    /// A limit says something else, or counts other starts. At most one for each limit and entry.
    PutLimit {
        /// Which.
        name: LimitName,
        /// What is known of it.
        limit: Limit,
    },
    /// Nothing speaks of a limit any more. There may be no row of it.
    DeleteLimit {
        /// Which.
        name: LimitName,
    },
    /// A schedule stands elsewhere than before. At most one for each schedule and entry.
    PutSchedule {
        /// Its name.
        name: String,
        /// How it stands.
        schedule: Schedule,
    },
    /// A schedule was deleted. There may be no row of it.
    DeleteSchedule {
        /// Its name.
        name: String,
    },
    /// A large payload is being sent, and more of it is there than before. At most one for each payload and entry.
    PutPayloadUpload {
        /// Which.
        of: PayloadId,
        /// What is there.
        upload: Upload,
    },
    /// A large payload is being sent no more: it is its task's now, or was dropped.
    DeletePayloadUpload {
        /// Which.
        of: PayloadId,
    },
    /// A part of a large payload is kept.
    PutPart {
        /// Of which payload.
        of: PayloadId,
        /// Place of the part.
        index: u32,
        /// The part.
        bytes: Bytes,
    },
    /// All parts of a large payload go; some may not be there.
    DeleteParts {
        /// Of which payload.
        of: PayloadId,
        /// The place after the last one.
        count: u32,
    },
    /// Task row, record, rules and outputs go.
    Forget {
        /// The task.
        id: TaskId,
        /// Its row, so that the shell can find its index entries.
        row: TaskRow,
        /// Its record, likewise.
        record: Record,
        /// Whether it has rules.
        ruled: bool,
    },
    /// A map is being sent, and more of it is there than before. At most one for each map and entry.
    PutUpload {
        /// Its id.
        id: MapId,
        /// What is there.
        upload: Upload,
    },
    /// A map is being sent no more: it was accepted, or forgotten.
    DeleteUpload {
        /// Its id.
        id: MapId,
    },
    /// Items of a map are kept.
    PutPiece {
        /// The map.
        map: MapId,
        /// Place of the piece.
        index: u32,
        /// The items.
        piece: Piece,
    },
    /// Pieces of a map are needed no more.
    DeletePieces {
        /// The map.
        map: MapId,
        /// The first one.
        from: u32,
        /// The one after the last.
        to: u32,
    },
    /// A map was accepted.
    PutMap {
        /// Its id.
        id: MapId,
        /// Its row.
        row: MapRow,
    },
    /// A map stands elsewhere than before. At most one for each map and entry.
    PutMapStanding {
        /// Its id.
        id: MapId,
        /// Where it stands.
        standing: MapStanding,
    },
    /// Row and standing of a map go.
    ForgetMap {
        /// Its id.
        id: MapId,
        /// When it was due, so that the shell can find its index entry.
        expires: LogTime,
    },
}

/// The rows of a group that has applied nothing yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRows;

impl Rows for NoRows {
    fn function(&self, _: &FunctionId) -> Option<Function> {
        None
    }

    fn task(&self, _: &TaskId) -> Option<TaskRow> {
        None
    }

    fn record(&self, _: &TaskId) -> Option<Record> {
        None
    }

    fn rules(&self, _: &TaskId) -> Option<Rules> {
        None
    }

    fn limits(&self) -> Vec<(LimitName, Limit)> {
        Vec::new()
    }

    fn schedules(&self) -> Vec<(String, Schedule)> {
        Vec::new()
    }

    fn map(&self, _: &MapId) -> Option<(MapRow, MapStanding)> {
        None
    }

    fn live_maps(&self) -> Vec<(MapId, MapRow, MapStanding)> {
        Vec::new()
    }

    fn uploads(&self) -> Vec<(MapId, Upload)> {
        Vec::new()
    }

    fn piece(&self, _: &MapId, _: u32) -> Option<Piece> {
        None
    }

    fn payload_uploads(&self) -> Vec<(PayloadId, Upload)> {
        Vec::new()
    }

    fn part(&self, _: &PayloadId, _: u32) -> Option<Bytes> {
        None
    }
}
