//! What one entry does to maps: which it moved, ended or forgot, and what was sent of those that are not accepted yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::lookup::Lookup;
use super::transition::Transition;
use crate::ids::MapId;
use crate::map::{MapRow, MapStanding};
use crate::maps::LiveMap;
use crate::pack::Piece;
use crate::rows::{Change, Rows};
use crate::state::State;
use crate::time::LogTime;
use crate::uploads::Upload;

/// Made by the first command of an entry that is about a map: most entries have none.
#[derive(Debug, Default)]
pub(super) struct MapChanges {
    /// Maps that the entry moved, or ended: each is written once, as it stands at the end of the entry. Those that live
    /// are in the state.
    touched: BTreeSet<MapId>,
    ended: BTreeMap<MapId, Option<LiveMap>>,
    uploads: BTreeSet<MapId>,
    /// Pieces that the entry wrote.
    pieces: Lookup<(MapId, u32), Piece>,
}

impl MapChanges {
    /// The rows of all that were moved, at the end of the entry.
    pub(super) fn rows(&self, state: &State) -> Vec<Change> {
        let uploads = self.uploads.iter().filter_map(|id| {
            state.maps.uploads.get(id).map(|upload| Change::PutUpload { id: *id, upload: upload.clone() })
        });
        let maps = self.touched.iter().filter_map(|id| {
            let ended = self.ended.get(id).and_then(Option::as_ref);
            let map = state.maps.get(id).or(ended)?;
            Some(Change::PutMapStanding { id: *id, standing: map.standing.clone() })
        });
        uploads.chain(maps).collect()
    }
}

impl<R: Rows> Transition<'_, R> {
    /// The map's row and where it stands, whether it lives or has ended.
    pub(super) fn map_of(&self, id: &MapId) -> Option<(Arc<MapRow>, MapStanding)> {
        let in_short = |map: &LiveMap| (Arc::clone(&map.row), map.standing.clone());
        if let Some(map) = self.state.maps.get(id) {
            return Some(in_short(map));
        }
        match self.maps.as_ref().and_then(|maps| maps.ended.get(id)) {
            Some(ended) => ended.as_ref().map(in_short),
            None => self.rows.map(id).map(|(row, standing)| (Arc::new(row), standing)),
        }
    }

    pub(super) fn put_map(&mut self, id: MapId, row: MapRow) {
        self.changes.push(Change::PutMap { id, row });
    }

    pub(super) fn touch_map(&mut self, id: MapId) {
        self.maps_mut().touched.insert(id);
    }

    pub(super) fn put_ended_map(&mut self, id: MapId, map: LiveMap) {
        let maps = self.maps_mut();
        maps.touched.insert(id);
        maps.ended.insert(id, Some(map));
    }

    /// A map that ended in this very entry is not written before it goes.
    pub(super) fn forget_map_rows(&mut self, id: MapId, expires: LogTime) {
        let maps = self.maps_mut();
        maps.touched.remove(&id);
        if let Some(Some(ended)) = maps.ended.insert(id, None) {
            self.changes.push(Change::PutMapStanding { id, standing: ended.standing });
        }
        self.changes.push(Change::ForgetMap { id, expires });
    }

    pub(super) fn piece(&self, map: &MapId, index: u32) -> Option<Piece> {
        let written = self.maps.as_ref().and_then(|maps| maps.pieces.get(&(*map, index)).cloned());
        written.or_else(|| self.rows.piece(map, index))
    }

    pub(super) fn put_piece(&mut self, map: MapId, index: u32, piece: Piece) {
        self.maps_mut().pieces.insert((map, index), piece.clone());
        self.changes.push(Change::PutPiece { map, index, piece });
    }

    pub(super) fn delete_pieces(&mut self, map: MapId, from: u32, to: u32) {
        if from < to {
            self.changes.push(Change::DeletePieces { map, from, to });
        }
    }

    pub(super) fn put_upload(&mut self, id: MapId, upload: Upload) {
        self.state.maps.uploads.put(id, upload);
        self.maps_mut().uploads.insert(id);
    }

    pub(super) fn delete_upload(&mut self, id: MapId) {
        self.maps_mut().uploads.remove(&id);
        self.changes.push(Change::DeleteUpload { id });
    }

    fn maps_mut(&mut self) -> &mut MapChanges {
        self.maps.get_or_insert_default()
    }
}
