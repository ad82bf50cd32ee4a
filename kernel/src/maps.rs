//! The maps that live, and those that are being sent: what memory holds of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{MapId, TaskId};
use crate::limits::{MAP_LIVE_MAX, MAP_LIVE_MIN, MAPS_LIVE_MAX};
use crate::map::{MapRow, MapStanding};
use crate::time::LogTime;
use crate::uploads::Uploads;

/// A map with items that have not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveMap {
    pub(crate) row: Arc<MapRow>,
    pub(crate) standing: MapStanding,
    /// Number of items, which the row would have to add up.
    pub(crate) items: u32,
    /// Places of the items that live as tasks.
    pub(crate) tasks: BTreeSet<u32>,
}

impl LiveMap {
    pub(crate) fn new(row: MapRow, standing: MapStanding) -> Self {
        Self { items: row.items(), row: Arc::new(row), standing, tasks: BTreeSet::new() }
    }

    /// Items that had no turn and may still have one.
    pub(crate) const fn unborn(&self) -> u32 {
        self.items - self.standing.next
    }

    fn live(&self) -> u32 {
        u32::try_from(self.tasks.len()).expect("bounded by MAP_LIVE_MAX")
    }
}

/// The maps, and the orders in which they are looked up.
///
/// Invariants, checked by [`Maps::check`]: a map is hungry exactly if it has begun and has items that had no turn; it starts
/// exactly if it has not begun; none has ended; every item is counted once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Maps {
    live: BTreeMap<MapId, LiveMap>,
    /// Those that have begun and have items that had no turn, the one with the fewest live tasks first.
    hungry: BTreeSet<(u32, MapId)>,
    /// Those that have not begun.
    starts: BTreeSet<(LogTime, MapId)>,
    /// Those that are being sent.
    pub(crate) uploads: Uploads<MapId>,
}

impl Maps {
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    pub(crate) fn get(&self, id: &MapId) -> Option<&LiveMap> {
        self.live.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&MapId, &LiveMap)> {
        self.live.iter()
    }

    /// Whether a task has the id of an item of a map that lives. No task is made under it but by the item's turn: one that had
    /// been cancelled or forgotten before would be taken for an item that has not ended by [`Maps::adopt`].
    pub(crate) fn has_item(&self, task: &TaskId) -> bool {
        let Some((id, index)) = task.as_item() else { return false };
        self.live.get(&id).is_some_and(|map| index < map.items)
    }

    /// A task lives: if it is an item that had its turn, it is one of its map's.
    pub(crate) fn adopt(&mut self, task: &TaskId) {
        let Some((id, index)) = task.as_item() else { return };
        if self.live.get(&id).is_some_and(|map| index < map.standing.next) {
            self.update(&id, |map| map.tasks.extend([index]));
        }
    }

    /// Takes in a map as of `now`.
    pub(crate) fn insert(&mut self, id: MapId, map: LiveMap, now: LogTime) {
        if map.row.begins > now {
            self.starts.insert((map.row.begins, id));
        }
        self.live.insert(id, map);
        self.index(id);
    }

    pub(crate) fn remove(&mut self, id: &MapId) -> Option<LiveMap> {
        self.unindex(*id);
        let map = self.live.remove(id)?;
        self.starts.remove(&(map.row.begins, *id));
        Some(map)
    }

    /// Changes where a map stands and keeps the orders true.
    pub(crate) fn update(&mut self, id: &MapId, change: impl FnOnce(&mut LiveMap)) {
        self.unindex(*id);
        if let Some(map) = self.live.get_mut(id) {
            change(map);
        }
        self.index(*id);
    }

    fn index(&mut self, id: MapId) {
        self.hungry.extend(self.live.get(&id).and_then(|map| self.hunger(id, map)));
    }

    fn unindex(&mut self, id: MapId) {
        if let Some(hunger) = self.live.get(&id).and_then(|map| self.hunger(id, map)) {
            self.hungry.remove(&hunger);
        }
    }

    fn hunger(&self, id: MapId, map: &LiveMap) -> Option<(u32, MapId)> {
        let has_begun = !self.starts.contains(&(map.row.begins, id));
        (has_begun && map.unborn() > 0).then(|| (map.live(), id))
    }

    /// The first moment at which a map begins.
    pub(crate) fn next_start(&self) -> Option<LogTime> {
        self.starts.first().map(|(begins, _)| *begins)
    }

    /// Lets maps begin whose time has come.
    pub(crate) fn begin(&mut self, now: LogTime) {
        while let Some((begins, id)) = self.starts.first().copied().filter(|(begins, _)| *begins <= now) {
            self.starts.remove(&(begins, id));
            self.index(id);
        }
    }

    /// The map whose items are next to become tasks, and how many there is room for.
    pub(crate) fn hungriest(&self) -> Option<(MapId, usize)> {
        let (live, id) = self.hungry.first()?;
        let room = self.window().saturating_sub(*live as usize);
        (room > 0).then_some((*id, room))
    }

    /// Maps whose items would become tasks in the next entry, and how many would at most.
    pub(crate) fn expandable(&self) -> impl Iterator<Item = (&LiveMap, usize)> {
        let window = self.window();
        self.hungry.iter().map_while(move |(live, id)| {
            let room = window.checked_sub(*live as usize).filter(|room| *room > 0)?;
            let map = self.live.get(id)?;
            Some((map, room.min(map.unborn() as usize)))
        })
    }

    /// Live tasks that each map may have.
    fn window(&self) -> usize {
        (MAPS_LIVE_MAX / self.live.len().max(1)).clamp(MAP_LIVE_MIN, MAP_LIVE_MAX)
    }

    /// # Errors
    /// The first broken invariant, in words.
    pub(crate) fn check(&self, now: LogTime) -> Result<(), String> {
        let mut anew = Self::default();
        for (id, upload) in self.uploads.iter() {
            anew.uploads.put(*id, upload.clone());
        }
        for (id, map) in &self.live {
            let MapStanding { next, ended, ahead, finished, .. } = &map.standing;
            if finished.is_some() || ended.total() >= map.items {
                return Err(format!("map {id} has ended and lives"));
            }
            if *next as usize + ahead.len() != ended.total() as usize + map.tasks.len() {
                return Err(format!("the items of map {id} do not add up"));
            }
            if map.standing.ahead.first().is_some_and(|index| *index < map.standing.next) {
                return Err(format!("map {id} keeps a cancelled item that had its turn"));
            }
            anew.insert(*id, map.clone(), now);
        }
        if anew == *self { Ok(()) } else { Err("the orders of maps are not what the maps say".to_owned()) }
    }
}
