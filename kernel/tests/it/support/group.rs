//! One Raft group without Raft: it applies entries, writes the changes to maps, and distrusts both.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use raftwork_kernel::{
    Applied, Change, Command, Entry, Firing, Function, FunctionId, Limit, LimitName, MapId, MapRow,
    MapStanding, Outcome, Output, PayloadId, Piece, Record, Rows, Rules, Schedule, State, Task, TaskId,
    TaskRow, Token, Upload, decode, encode,
};

use super::names::label;

/// The rows that a node keeps on disk, as plain maps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) functions: BTreeMap<FunctionId, (Function, Bytes)>,
    pub(crate) tasks: BTreeMap<TaskId, TaskRow>,
    pub(crate) live: BTreeMap<TaskId, Task>,
    pub(crate) records: BTreeMap<TaskId, Record>,
    pub(crate) rules: BTreeMap<TaskId, Rules>,
    pub(crate) limits: BTreeMap<LimitName, Limit>,
    pub(crate) schedules: BTreeMap<String, Schedule>,
    pub(crate) outputs: BTreeMap<(TaskId, Token), Output>,
    pub(crate) maps: BTreeMap<MapId, MapRow>,
    pub(crate) map_standings: BTreeMap<MapId, MapStanding>,
    pub(crate) uploads: BTreeMap<MapId, Upload>,
    pub(crate) pieces: BTreeMap<(MapId, u32), Piece>,
    pub(crate) payload_uploads: BTreeMap<PayloadId, Upload>,
    pub(crate) parts: BTreeMap<(PayloadId, u32), Bytes>,
}

impl Rows for Store {
    fn function(&self, id: &FunctionId) -> Option<Function> {
        self.functions.get(id).map(|(function, _)| function.clone())
    }

    fn task(&self, id: &TaskId) -> Option<TaskRow> {
        self.tasks.get(id).cloned()
    }

    fn record(&self, id: &TaskId) -> Option<Record> {
        self.records.get(id).cloned()
    }

    fn rules(&self, id: &TaskId) -> Option<Rules> {
        self.rules.get(id).cloned()
    }

    fn schedules(&self) -> Vec<(String, Schedule)> {
        let schedules = self.schedules.iter().rev();
        schedules.map(|(name, schedule)| (name.clone(), through_disk(schedule))).collect()
    }

    fn limits(&self) -> Vec<(LimitName, Limit)> {
        let limits = self.limits.iter().rev();
        limits.map(|(name, limit)| (name.clone(), through_disk(limit))).collect()
    }

    fn map(&self, id: &MapId) -> Option<(MapRow, MapStanding)> {
        Some((self.maps.get(id)?.clone(), self.map_standings.get(id)?.clone()))
    }

    fn live_maps(&self) -> Vec<(MapId, MapRow, MapStanding)> {
        let live = self.map_standings.iter().rev().filter(|(_, standing)| standing.finished.is_none());
        live.map(|(id, standing)| (*id, through_disk(&self.maps[id]), through_disk(standing))).collect()
    }

    fn uploads(&self) -> Vec<(MapId, Upload)> {
        self.uploads.iter().rev().map(|(id, upload)| (*id, through_disk(upload))).collect()
    }

    fn piece(&self, map: &MapId, index: u32) -> Option<Piece> {
        self.pieces.get(&(*map, index)).map(through_disk)
    }

    fn payload_uploads(&self) -> Vec<(PayloadId, Upload)> {
        self.payload_uploads.iter().rev().map(|(of, upload)| (*of, through_disk(upload))).collect()
    }

    fn part(&self, of: &PayloadId, index: u32) -> Option<Bytes> {
        self.parts.get(&(*of, index)).cloned()
    }
}

fn through_disk<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    decode("row", &encode(value)).expect("a row survives the disk")
}

impl Store {
    /// Writes the changes of one entry; panics when one of them breaks a promise of [`Change`].
    fn write(&mut self, changes: &[Change]) {
        let (mut live_written, mut names_written) = (BTreeSet::new(), BTreeSet::new());
        let mut maps_written = BTreeSet::new();
        let mut payloads_written = BTreeSet::new();
        for change in changes {
            self.write_map(change, &mut maps_written);
            self.write_part(change, &mut payloads_written);
            match change.clone() {
                Change::PutFunction { id, function, code } => {
                    assert_eq!(
                        self.functions.insert(id, (function, code)),
                        None,
                        "{id} was registered twice"
                    );
                }
                Change::PutTask { id, row } => {
                    assert_eq!(self.tasks.insert(id, row), None, "{id} was accepted twice");
                }
                Change::PutRules { id, rules } => {
                    assert!(!rules.is_empty(), "{id} has a row of no rules");
                    assert_eq!(self.rules.insert(id, rules), None, "{id} was put under rules twice");
                }
                Change::PutRecord { id, record } => {
                    assert_eq!(self.records.insert(id, record), None, "{id} has two terminal records");
                }
                Change::PutLive { id, task } => {
                    assert!(live_written.insert(id), "{id} was written twice in one entry");
                    self.live.insert(id, task);
                }
                Change::DeleteLive { id } => {
                    assert!(live_written.insert(id), "{id} was written twice in one entry");
                    self.live.remove(&id);
                }
                Change::PutOutput { task, token, output } => {
                    self.outputs.insert((task, token), output);
                }
                Change::PutLimit { .. }
                | Change::DeleteLimit { .. }
                | Change::PutSchedule { .. }
                | Change::DeleteSchedule { .. } => self.write_named(change, &mut names_written),
                Change::PutUpload { .. }
                | Change::DeleteUpload { .. }
                | Change::PutPiece { .. }
                | Change::DeletePieces { .. }
                | Change::PutMap { .. }
                | Change::PutMapStanding { .. }
                | Change::ForgetMap { .. }
                | Change::PutPayloadUpload { .. }
                | Change::DeletePayloadUpload { .. }
                | Change::PutPart { .. }
                | Change::DeleteParts { .. } => {}
                Change::Forget { id, row, record, ruled } => {
                    assert_eq!(
                        self.rules.remove(&id).is_some(),
                        ruled,
                        "{id} was forgotten with other rules"
                    );
                    self.forget(id, &row, &record);
                }
            }
        }
    }

    /// Writes a change that is about a map; others are none of its business.
    fn write_map(&mut self, change: &Change, written: &mut BTreeSet<MapId>) {
        match change.clone() {
            Change::PutUpload { id, upload } => {
                assert!(written.insert(id), "{id} was written twice in one entry");
                self.uploads.insert(id, upload);
            }
            Change::DeleteUpload { id } => drop(self.uploads.remove(&id)),
            Change::PutPiece { map, index, piece } => {
                let before = self.pieces.insert((map, index), piece);
                assert_eq!(before, None, "piece {index} of {map} was written twice");
            }
            Change::DeletePieces { map, from, to } => {
                for index in from..to {
                    self.pieces.remove(&(map, index));
                }
            }
            Change::PutMap { id, row } => {
                assert_eq!(self.maps.insert(id, row), None, "{id} was accepted twice");
            }
            Change::PutMapStanding { id, standing } => {
                assert!(written.insert(id), "{id} was written twice in one entry");
                self.map_standings.insert(id, standing);
            }
            Change::ForgetMap { id, expires } => {
                let standing = self.map_standings.remove(&id).and_then(|standing| standing.finished);
                assert_eq!(standing.map(|finished| finished.expires), Some(expires), "{id}");
                assert!(self.maps.remove(&id).is_some(), "{id} was forgotten twice");
                // Another may be made under its id.
                written.remove(&id);
            }
            Change::PutFunction { .. }
            | Change::PutTask { .. }
            | Change::PutRules { .. }
            | Change::PutLive { .. }
            | Change::DeleteLive { .. }
            | Change::PutRecord { .. }
            | Change::PutOutput { .. }
            | Change::PutLimit { .. }
            | Change::DeleteLimit { .. }
            | Change::PutSchedule { .. }
            | Change::DeleteSchedule { .. }
            | Change::PutPayloadUpload { .. }
            | Change::DeletePayloadUpload { .. }
            | Change::PutPart { .. }
            | Change::DeleteParts { .. }
            | Change::Forget { .. } => {}
        }
    }

    /// Writes a change that is about a large payload; others are none of its business.
    fn write_part(&mut self, change: &Change, written: &mut BTreeSet<PayloadId>) {
        if let Change::PutPayloadUpload { of, upload } = change {
            assert!(written.insert(*of), "{of:?} was written twice in one entry");
            self.payload_uploads.insert(*of, upload.clone());
        } else if let Change::DeletePayloadUpload { of } = change {
            self.payload_uploads.remove(of);
        } else if let Change::PutPart { of, index, bytes } = change {
            let before = self.parts.insert((*of, *index), bytes.clone());
            assert_eq!(before, None, "part {index} of {of:?} was written twice");
        } else if let Change::DeleteParts { of, count } = change {
            (0..*count).for_each(|index| drop(self.parts.remove(&(*of, index))));
        }
    }

    /// Writes a change that is about a limit or a schedule.
    fn write_named(&mut self, change: &Change, written: &mut BTreeSet<String>) {
        let what = if let Change::PutLimit { name, limit } = change {
            self.limits.insert(name.clone(), limit.clone());
            name.to_string()
        } else if let Change::DeleteLimit { name } = change {
            self.limits.remove(name);
            name.to_string()
        } else if let Change::PutSchedule { name, schedule } = change {
            self.schedules.insert(name.clone(), schedule.clone());
            format!("schedule {name}")
        } else if let Change::DeleteSchedule { name } = change {
            self.schedules.remove(name);
            format!("schedule {name}")
        } else {
            unreachable!("{change:?} has no name")
        };
        assert!(written.insert(what.clone()), "the {what} was written twice in one entry");
    }

    fn forget(&mut self, id: TaskId, row: &TaskRow, record: &Record) {
        assert_eq!(self.tasks.remove(&id).as_ref(), Some(row), "{id} was forgotten with another row");
        assert_eq!(self.records.remove(&id).as_ref(), Some(record), "{id} was forgotten with another record");
        self.outputs.retain(|(task, _), _| *task != id);
    }
}

/// A state and its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) state: State,
    pub(crate) store: Store,
}

impl Group {
    /// Applies an entry as it comes from the log, as bytes, and checks everything that must hold at any time.
    pub(crate) fn apply(&mut self, entry: &Entry) -> Applied {
        let entry: Entry = decode("entry", &encode(entry)).expect("an entry survives the log");
        self.label(&entry);
        let applied = self.state.apply(&entry, &self.store);
        assert_eq!(applied.replies.len(), entry.commands.len(), "each command has one reply");
        self.store.write(&applied.changes);
        self.check();
        applied
    }

    /// Tasks of schedules have ids that nobody can read: they are called by schedule and nominal time.
    fn label(&self, entry: &Entry) {
        for command in &entry.commands {
            let Command::Fire(fire) = command else { continue };
            self.label_firings(&fire.firings);
        }
    }

    fn label_firings(&self, firings: &[Firing]) {
        for firing in firings {
            if let Some((schedule, _)) = self.state.schedule(&firing.name) {
                firing
                    .nominal
                    .iter()
                    .for_each(|nominal| label(schedule.id, *nominal, schedule.task(*nominal)));
            }
        }
    }

    /// The same group after its process died and started again: all it has left is what it wrote.
    pub(crate) fn restarted(&self) -> Self {
        let scalars = decode("scalars", &encode(&self.state.scalars())).expect("scalars survive the disk");
        let live = self
            .store
            .live
            .iter()
            .map(|(id, task)| (*id, decode("task", &encode(task)).expect("a task survives the disk")));
        // Storage may list rows in an order of its own.
        let state = State::restore(scalars, live.rev(), &self.store);
        Self { state, store: self.store.clone() }
    }

    fn check(&self) {
        self.state.check_invariants().expect("invariants hold after every entry");
        assert!(self.state.tasks().eq(self.store.live.clone()), "the live rows are not the live tasks");
        let schedules = self.state.schedules_after(None).map(|(name, schedule, _)| (name, schedule));
        let rows = self.store.schedules.iter().map(|(name, schedule)| (name.as_str(), schedule));
        assert!(schedules.eq(rows), "the rows of schedules are not the schedules");
        let limits = self.state.limits().map(|limit| (limit.name, limit.limit));
        assert!(limits.eq(self.store.limits.clone()), "the rows of limits are not the limits");
        for (id, row) in &self.store.tasks {
            let task = self.state.task(id);
            let ended = self.store.records.contains_key(id);
            assert_ne!(task.is_some(), ended, "{id} must either live or have ended");
            assert!(task.is_none_or(|task| task.seq == row.seq), "{id} stands in two places");
        }
        assert!(self.store.rules.keys().all(|id| self.store.tasks.contains_key(id)), "rules of no task");
        self.check_maps();
        self.check_parts();
        let rows = self.store.tasks.len();
        assert_eq!(rows, self.state.live_len() + self.store.records.len(), "a task has no row");
    }

    /// Each part belongs to what is being sent, or to a task; and none is missing.
    fn check_parts(&self) {
        let uploads = self.state.payload_uploads().map(|(of, upload)| (of, upload.clone()));
        assert!(uploads.eq(self.store.payload_uploads.clone()), "the rows of uploads are not the uploads");
        let sent = self.store.payload_uploads.iter();
        let sent =
            sent.flat_map(|(of, upload)| upload.pieces.iter().map(|(index, len)| ((*of, *index), *len)));
        let sent: BTreeMap<_, _> = sent.collect();
        let arguments = self
            .store
            .rules
            .iter()
            .filter_map(|(id, rules)| Some((PayloadId::arguments(*id), rules.in_parts()?)));
        let results = self.store.records.iter().filter_map(|(id, record)| match record.outcome {
            Outcome::CompletedInParts(parts) => Some((PayloadId { task: *id, token: record.token }, parts)),
            Outcome::Completed(_) | Outcome::Failed(_) | Outcome::Parked(_) | Outcome::Cancelled => None,
        });
        let mut kept = sent.clone();
        for (of, parts) in arguments.chain(results) {
            let lens = (0..parts.count).map(|index| self.store.parts[&(of, index)].len() as u64);
            assert_eq!(lens.sum::<u64>(), parts.bytes, "{of:?} is not whole");
            for index in 0..parts.count {
                assert_eq!(kept.insert((of, index), 0), None, "part {index} of {of:?} has two owners");
            }
        }
        assert!(kept.keys().eq(self.store.parts.keys()), "a part is of no use, or missing");
        for (key, len) in sent {
            assert_eq!(self.store.parts[&key].len() as u64, u64::from(len), "{key:?}");
        }
    }

    fn check_maps(&self) {
        let live = self.state.maps().map(|(id, row, standing)| (id, row.clone(), standing.clone()));
        let mut rows = self.store.live_maps();
        rows.reverse();
        assert!(live.eq(rows), "the rows of maps are not the maps that live");
        let uploads = self.state.uploads().map(|(id, upload)| (id, upload.clone()));
        assert!(uploads.eq(self.store.uploads.clone()), "the rows of uploads are not the uploads");
        assert!(self.store.maps.keys().eq(self.store.map_standings.keys()), "a map stands nowhere");
        for (map, index) in self.store.pieces.keys() {
            let is_sent = self.store.uploads.get(map).is_some_and(|upload| upload.pieces.contains_key(index));
            let is_live = self.state.map(map).is_some_and(|(row, standing)| {
                row.piece_of(standing.next).is_some_and(|(next, _)| *index >= next)
            });
            assert_ne!(is_sent, is_live, "piece {index} of {map} is of no use");
        }
    }
}
