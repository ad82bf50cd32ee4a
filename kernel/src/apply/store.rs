//! `store`: keeps some items of a map that is being sent. A repeat changes nothing.

use super::bounds::within;
use super::transition::Transition;
use crate::command::Store;
use crate::ids::MapId;
use crate::limits::{MAP_ITEMS_MAX, MAP_PIECES_MAX, UPLOAD_KEPT, UPLOADS_MAX};
use crate::reply::{Accepted, Rejection, Reply};
use crate::rows::Rows;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn store(&mut self, command: &Store) -> Reply {
        let Store { map, index, piece } = command;
        check_map_id(*map)?;
        piece.check().map_err(Rejection::Invalid)?;
        within("the number of pieces", (*index as usize).saturating_add(1), MAP_PIECES_MAX)?;
        if self.map_of(map).is_some() {
            // Accepted already, by an upload whose answer was lost: the map itself is compared when it is sent again.
            return Ok(Accepted::Stored);
        }
        let known = self.state.maps.uploads.get(map);
        if known.is_some_and(|upload| upload.pieces.contains_key(index)) {
            let same = self.piece(map, *index).as_ref() == Some(piece);
            return if same { Ok(Accepted::Stored) } else { Err(Rejection::MapConflict(*map)) };
        }
        if known.is_none() {
            within("the number of maps that are being sent", self.state.maps.uploads.len() + 1, UPLOADS_MAX)?;
        }
        let mut upload = known.cloned().unwrap_or_default();
        let before = usize::try_from(upload.size()).expect("bounded by MAP_ITEMS_MAX");
        within("the number of items", before + piece.len(), MAP_ITEMS_MAX as usize)?;
        let len = u32::try_from(piece.len()).expect("bounded by MAP_ITEMS_MAX");
        upload.pieces.insert(*index, len);
        upload.expires = self.now().after(UPLOAD_KEPT);
        self.put_piece(*map, *index, piece.clone());
        self.put_upload(*map, upload);
        Ok(Accepted::Stored)
    }
}

/// The ids of items are made out of the map's: it must leave room for them.
pub(super) fn check_map_id(map: MapId) -> Result<(), Rejection> {
    if map.is_well_formed() {
        return Ok(());
    }
    Err(Rejection::Invalid(format!("{map} is no id of a map: its last 32 bits are not zero")))
}
