//! `map`: accepts a map, all of whose items have been stored. A repeat changes nothing.

use super::bounds::within;
use super::store::check_map_id;
use super::submit::{check_options, check_spans};
use super::transition::Transition;
use crate::command::Map;
use crate::ids::MapId;
use crate::limits::MAPS_MAX;
use crate::map::{MapRow, MapStanding};
use crate::maps::LiveMap;
use crate::reply::{Accepted, Rejection, Reply};
use crate::rows::Rows;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn map(&mut self, command: &Map) -> Reply {
        check_map_id(command.map)?;
        command.rules.check_shared().map_err(Rejection::Invalid)?;
        if command.rules.after().is_some() {
            return Err(Rejection::Invalid("a map cannot wait for tasks: leave after out".to_owned()));
        }
        check_options(&command.options)?;
        check_spans(&command.options, &command.rules)?;
        if let Some((row, _)) = self.map_of(&command.map) {
            return if row.same_request(command) {
                Ok(Accepted::Mapped { items: row.items(), created: false })
            } else {
                Err(Rejection::MapConflict(command.map))
            };
        }
        let function =
            self.function(&command.function).ok_or(Rejection::UnknownFunction(command.function))?;
        self.check_room_for(&command.rules)?;
        within("the number of maps that live", self.state.maps.len() + 1, MAPS_MAX)?;
        let pieces = self.stored_pieces(command)?;
        let scalars = self.state.scalars;
        let seq = self.state.next_seq();
        let times = (scalars.log_time, scalars.wall_time);
        let row = MapRow::new(command, pieces, &function.spec, seq, times);
        let items = row.items();
        self.accept_map(command.map, row);
        self.declare(&command.rules);
        Ok(Accepted::Mapped { items, created: true })
    }

    /// The number of items in each piece, if the map's pieces are there, and no others.
    fn stored_pieces(&self, command: &Map) -> Result<Vec<u32>, Rejection> {
        let map = command.map;
        let Some(upload) = self.state.maps.uploads.get(&map) else {
            let missing = Rejection::MapIncomplete { map, piece: 0 };
            return if command.pieces == 0 { Ok(Vec::new()) } else { Err(missing) };
        };
        let there = upload.unbroken();
        if there < command.pieces {
            return Err(Rejection::MapIncomplete { map, piece: there });
        }
        if upload.pieces.len() > command.pieces as usize {
            return Err(Rejection::MapConflict(map));
        }
        Ok(upload.pieces.values().copied().collect())
    }

    fn accept_map(&mut self, id: MapId, row: MapRow) {
        if self.state.maps.uploads.remove(&id).is_some() {
            self.delete_upload(id);
        }
        self.put_map(id, row.clone());
        self.state.maps.insert(id, LiveMap::new(row, MapStanding::default()), self.now());
        self.touch_map(id);
        self.end_map_if_done(id);
        self.expand();
    }
}
