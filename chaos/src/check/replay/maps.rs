//! Maps in the replay: items stand as jobs from the acceptance of their map, and have their turns in the order of the guide.

use std::collections::{BTreeMap, BTreeSet};

use raftwork_api::kernel::{FunctionId, MapId, Status, TaskId};

use super::job::At;
use super::model::{Answer, Model};
use crate::check::evidence::request_of;
use crate::history::{Fingerprint, Options, Refusal};

/// Milliseconds after which an upload that does not go on is forgotten.
const UPLOAD_KEPT_MS: u64 = 600_000;
/// Most items that one entry gives a turn, and of one map before another has its turn.
const TURNS_MAX: usize = 1024;
const TURNS_AT_ONCE_MAX: usize = 256;
/// Most items of one map that live as tasks.
const LIVE_MAX: usize = 8192;

/// What the maps of a log imply. Sizes are those of a load that checks: bounds in bytes and of many maps are not modelled.
#[derive(Debug, Default)]
pub(super) struct Maps {
    /// Pieces of maps that are being sent, and when they are forgotten.
    uploads: BTreeMap<MapId, (BTreeMap<u32, Vec<Fingerprint>>, u64)>,
    charts: BTreeMap<MapId, Chart>,
    /// Turns given in the entry that is being applied.
    turns: usize,
}

/// One map.
#[derive(Debug)]
struct Chart {
    request: (FunctionId, Options, u32, Fingerprint),
    /// Items in each piece.
    pieces: Vec<usize>,
    items: usize,
    begins: u64,
    next: usize,
    live: BTreeSet<TaskId>,
    ended: usize,
    cancelled: bool,
    retention_ms: u64,
    /// When it is forgotten, once all items have ended.
    expires: Option<u64>,
}

impl Chart {
    fn is_hungry(&self, now: u64) -> bool {
        self.expires.is_none() && self.begins <= now && self.next < self.items
    }

    /// Items from the next one to the end of its piece.
    fn left_of_piece(&self) -> usize {
        let mut end = 0;
        for piece in &self.pieces {
            end += piece;
            if self.next < end {
                return end - self.next;
            }
        }
        0
    }
}

fn item(map: MapId, index: usize) -> TaskId {
    map.item(u32::try_from(index).expect("the maps of a load are short"))
}

impl Model {
    /// What an entry does before its commands.
    pub(super) fn begin_turns(&mut self) {
        let now = self.now;
        self.maps.uploads.retain(|_, (_, end)| *end > now);
        self.maps.turns = 0;
        self.give_turns();
    }

    fn give_turns(&mut self) {
        while self.maps.turns < TURNS_MAX {
            let hungry = self.maps.charts.iter().filter(|(_, chart)| chart.is_hungry(self.now));
            let Some((map, chart)) = hungry.min_by_key(|(map, chart)| (chart.live.len(), **map)) else {
                return;
            };
            let most = chart.left_of_piece().min(TURNS_AT_ONCE_MAX).min(TURNS_MAX - self.maps.turns);
            let (map, count) = (*map, most.min(LIVE_MAX - chart.live.len()));
            if count == 0 {
                return;
            }
            for _ in 0..count {
                self.maps.turns += 1;
                self.give_turn(map);
                // It has ended if this item ended at once, and all that come after it were cancelled before.
                if self.maps.charts[&map].expires.is_some() {
                    break;
                }
            }
        }
    }

    fn give_turn(&mut self, map: MapId) {
        let chart = self.maps.charts.get_mut(&map).expect("a hungry map is there");
        let task = item(map, chart.next);
        chart.next += 1;
        if matches!(self.jobs[&task].at, At::Ended(..)) {
            // Cancelled before its turn: its record is written now, and so has its place in the order of acceptance.
            self.take_place(task);
            self.end(task, Status::Cancelled, None);
            return;
        }
        chart.live.insert(task);
        self.take_place(task);
        let date = self.jobs[&task].options.run_at_ms.filter(|at| *at > self.calendar);
        self.put(task, date.map_or(At::Ready, At::Dated));
        if self.jobs[&task].deadline().is_some_and(|at| at <= self.now) {
            self.end(task, Status::Failed, None);
        }
    }

    pub(super) fn store(&mut self, map: MapId, index: u32, items: &[Fingerprint]) {
        if self.maps.charts.contains_key(&map) {
            return;
        }
        let end = self.now.saturating_add(UPLOAD_KEPT_MS);
        let (pieces, kept_until) = self.maps.uploads.entry(map).or_default();
        pieces.entry(index).or_insert_with(|| {
            *kept_until = end;
            items.to_vec()
        });
    }

    /// The tasks of the map with their requests, and what the cluster should answer. A map that is refused for another one
    /// under its id is refused for each of its items, those among them that are the same in both.
    pub(super) fn map(
        &mut self,
        map: MapId,
        request: (FunctionId, Options, u32, Fingerprint),
    ) -> (Vec<(TaskId, Fingerprint)>, Answer) {
        if let Some(chart) = self.maps.charts.get(&map) {
            let tasks = (0..chart.items).map(|index| item(map, index));
            let known = tasks.filter_map(|task| Some((task, self.jobs.get(&task)?.request)));
            // A repeat is answered for its items, too: as of its own entry, and not as of the first one's.
            let answer = if chart.request == request { Ok(None) } else { Err((Refusal::TaskConflict, None)) };
            return (known.collect(), answer);
        }
        let (function, options, count, _) = request.clone();
        let Some(spec) = self.functions.get(&function).cloned() else {
            return (Vec::new(), Err((Refusal::UnknownFunction, None)));
        };
        let there = self.maps.uploads.get(&map).map(|(pieces, _)| pieces.len()).unwrap_or_default();
        if there != count as usize {
            return (Vec::new(), Err((Refusal::TaskConflict, None)));
        }
        let pieces = self.maps.uploads.remove(&map).map(|(pieces, _)| pieces).unwrap_or_default();
        self.next_place();
        let mut tasks = Vec::new();
        for args in pieces.values().flatten() {
            let (task, request) = (item(map, tasks.len()), request_of(function, &options, *args));
            self.accept_unborn(task, request, function, &spec, &options);
            tasks.push((task, request));
        }
        let chart = Chart {
            request,
            pieces: pieces.values().map(Vec::len).collect(),
            items: tasks.len(),
            begins: self.now.saturating_add(options.delay_ms()),
            next: 0,
            live: BTreeSet::new(),
            ended: 0,
            cancelled: false,
            retention_ms: spec.retention_ms,
            expires: None,
        };
        self.maps.charts.insert(map, chart);
        self.end_map(map);
        self.give_turns();
        self.declare(&options);
        (tasks, Ok(None))
    }

    /// The items that this cancels, if there is such a map and it has not ended.
    pub(super) fn cancel_map(&mut self, map: MapId) -> Vec<TaskId> {
        let Some(chart) = self.maps.charts.get_mut(&map).filter(|chart| chart.expires.is_none()) else {
            return Vec::new();
        };
        chart.cancelled = true;
        let unborn = (chart.next..chart.items).map(|index| item(map, index));
        let tasks: Vec<TaskId> = chart.live.iter().copied().chain(unborn).collect();
        let ends = |task: &TaskId| !matches!(self.jobs[task].at, At::Ended(..));
        let tasks: Vec<TaskId> = tasks.into_iter().filter(ends).collect();
        for task in &tasks {
            self.end(*task, Status::Cancelled, None);
        }
        if let Some(chart) = self.maps.charts.get_mut(&map) {
            chart.next = chart.items;
        }
        tasks
    }

    /// A job has ended: if it is an item of a map, it counts there.
    pub(super) fn count_item(&mut self, task: TaskId, before: At) {
        let Some((map, _)) = task.as_item() else { return };
        if matches!(before, At::Ended(..)) {
            return;
        }
        if let Some(chart) = self.maps.charts.get_mut(&map) {
            chart.live.remove(&task);
            chart.ended += 1;
            self.end_map(map);
        }
    }

    fn end_map(&mut self, map: MapId) {
        let now = self.now;
        let chart = self.maps.charts.get_mut(&map).expect("the caller has it");
        if chart.expires.is_none() && chart.ended == chart.items {
            chart.expires = Some(now.saturating_add(chart.retention_ms));
        }
    }

    /// Whether the id is that of a map that is forgotten now; items that never had a turn go with it.
    pub(super) fn forget_map(&mut self, named: TaskId) {
        let map = MapId::of(named.as_uuid());
        let due = |chart: &Chart| chart.expires.is_some_and(|expires| expires <= self.now);
        if map.as_uuid() != named.as_uuid() || !self.maps.charts.get(&map).is_some_and(due) {
            return;
        }
        if let Some(chart) = self.maps.charts.remove(&map) {
            for index in 0..chart.items {
                let task = item(map, index);
                if self.jobs.get(&task).is_some_and(|job| job.seq == 0) {
                    self.jobs.remove(&task);
                    self.touched.insert(task);
                }
            }
        }
    }
}
