//! Rows of maps: what was sent, what was accepted, and where it stands.

use raftwork_kernel::{Change, MapId, MapRow, MapStanding, Piece, TaskId, Unborn, Upload, encode};

use super::columns::Column;
use super::{RowStore, keys, put};
use crate::store::disk::{Batch, RawRow};
use crate::store::fatal_io;

impl RowStore {
    /// Stages a change that is about a map; others are none of its business.
    pub(super) fn stage_map(batch: &mut dyn Batch, change: &Change) {
        match change {
            Change::PutUpload { id, upload } => put(batch, Column::Uploads, id.as_bytes(), &encode(upload)),
            Change::DeleteUpload { id } => batch.delete(Column::Uploads.name(), id.as_bytes()),
            Change::PutPiece { map, index, piece } => {
                put(batch, Column::Pieces, &keys::piece(*map, *index), &encode(piece));
            }
            Change::DeletePieces { map, from, to } => {
                for index in *from..*to {
                    batch.delete(Column::Pieces.name(), &keys::piece(*map, index));
                }
            }
            Change::PutMap { id, row } => put(batch, Column::Maps, id.as_bytes(), &encode(row)),
            Change::PutMapStanding { id, standing } => {
                put(batch, Column::MapStandings, id.as_bytes(), &encode(standing));
                if let Some(finished) = standing.finished {
                    put(batch, Column::ByExpiry, &keys::expiry(finished.expires, named(*id)), &[]);
                }
            }
            Change::ForgetMap { id, expires } => {
                batch.delete(Column::Maps.name(), id.as_bytes());
                batch.delete(Column::MapStandings.name(), id.as_bytes());
                batch.delete(Column::ByExpiry.name(), &keys::expiry(*expires, named(*id)));
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

    pub(super) fn map_row(&self, id: &MapId) -> Option<MapRow> {
        self.row(Column::Maps, "map", id.as_bytes())
    }

    pub(super) fn map_standing(&self, id: &MapId) -> Option<MapStanding> {
        self.row(Column::MapStandings, "standing of a map", id.as_bytes())
    }

    pub(super) fn piece_row(&self, map: &MapId, index: u32) -> Option<Piece> {
        let value = bytes::Bytes::from(self.get(Column::Pieces, &keys::piece(*map, index))?);
        let piece = raftwork_kernel::decode_shared("piece", &value);
        Some(piece.unwrap_or_else(|error| fatal_io("decode a row", &self.damaged(error))))
    }

    /// Reads every standing: only when the state is rebuilt.
    pub(super) fn maps_that_live(&self) -> Vec<(MapId, MapRow, MapStanding)> {
        let standings = self.scan_prefix(Column::MapStandings, &[]);
        let standings = standings
            .map(|(key, value)| (map_of(&key), self.decoded::<MapStanding>("standing of a map", &value)));
        let live = standings.filter(|(_, standing)| standing.finished.is_none());
        live.filter_map(|(id, standing)| Some((id, self.map_row(&id)?, standing))).collect()
    }

    pub(super) fn all_uploads(&self) -> Vec<(MapId, Upload)> {
        let rows = self.scan_prefix(Column::Uploads, &[]);
        rows.map(|(key, value)| (map_of(&key), self.decoded("upload", &value))).collect()
    }

    /// What becomes of an item of a map that has no row of its own; `None` if the task is none.
    pub fn unborn(&self, task: &TaskId) -> Option<(MapRow, MapStanding, Unborn)> {
        let (map, index) = task.as_item()?;
        let standing = self.map_standing(&map)?;
        let row = self.map_row(&map)?;
        let unborn = standing.unborn(&row, index)?;
        Some((row, standing, unborn))
    }

    /// Maps, newest id first, from below `before`. Ids that raftwork makes rise with time.
    pub fn maps_before(&self, before: Option<MapId>) -> impl Iterator<Item = MapId> + '_ {
        let last = before.map_or([u8::MAX; 16], |before| *before.as_bytes());
        self.scan_back(Column::Maps, last)
            .map(|(key, _): RawRow| map_of(&key))
            .filter(move |id| before.is_none_or(|before| *id < before))
    }
}

fn map_of(key: &[u8]) -> MapId {
    MapId::from_bytes(key.try_into().expect("every key of this column is a map id"))
}

/// Maps share the index of what is due with tasks.
fn named(map: MapId) -> TaskId {
    TaskId::from(map.as_uuid())
}
