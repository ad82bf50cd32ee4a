//! `cancel_map`: ends all items of a map before they end themselves.

use super::transition::Transition;
use crate::command::CancelMap;
use crate::ids::{MapId, TaskId};
use crate::limits::MAP_AHEAD_MAX;
use crate::map::Unborn;
use crate::maps::LiveMap;
use crate::record::{Outcome, Status};
use crate::reply::{Accepted, Rejection, Reply};
use crate::rows::Rows;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn cancel_map(&mut self, command: &CancelMap) -> Reply {
        let id = command.map;
        let Some(map) = self.state.maps.get(&id) else {
            let (_, standing) = self.map_of(&id).ok_or(Rejection::UnknownMap(id))?;
            let cancelled = standing.cancelled_from.is_some();
            return if cancelled { Ok(Accepted::Cancelled) } else { Err(Rejection::MapFinished(id)) };
        };
        let LiveMap { standing, tasks, .. } = map;
        let (first, pieces, row) = (standing.next, map.row.pieces.len(), std::sync::Arc::clone(&map.row));
        let tasks: Vec<TaskId> = tasks.iter().map(|index| id.item(*index)).collect();
        if let Some((place, _)) = map.row.piece_of(first) {
            self.delete_pieces(id, place, u32::try_from(pieces).expect("bounded by MAP_PIECES_MAX"));
        }
        self.give_no_more_turns(id);
        self.tell_dependents_of_items(id, &row, first);
        for task in tasks {
            let slot = self.state.live.find(&task).expect("a map knows which of its items live");
            self.revoke(slot);
            self.finish(slot, Outcome::Cancelled);
        }
        self.end_map_if_done(id);
        Ok(Accepted::Cancelled)
    }

    fn give_no_more_turns(&mut self, id: MapId) {
        self.touch_map(id);
        self.state.maps.update(&id, |map| {
            let ahead = u32::try_from(map.standing.ahead.len()).expect("bounded by MAP_AHEAD_MAX");
            map.standing.ended.cancelled += map.unborn() - ahead;
            map.standing.ahead.clear();
            map.standing.cancelled_from = Some(map.standing.next);
            map.standing.next = map.items;
        });
    }

    /// Cancels an item that had no turn; `None` if the task is none.
    pub(super) fn cancel_unborn(&mut self, task: &TaskId) -> Option<Reply> {
        let (id, index) = task.as_item()?;
        let (row, standing) = self.map_of(&id)?;
        match standing.unborn(&row, index)? {
            Unborn::Cancelled(_) => return Some(Ok(Accepted::Cancelled)),
            Unborn::Queued => {}
        }
        let what = "the number of items of one map that are cancelled, each for itself, before their turn";
        if let Err(rejection) = super::bounds::within(what, standing.ahead.len() + 1, MAP_AHEAD_MAX) {
            return Some(Err(rejection));
        }
        self.state.maps.update(&id, |map| {
            map.standing.ahead.insert(index);
            map.standing.ended.count(Status::Cancelled);
        });
        self.touch_map(id);
        self.push_event(crate::event::Event::Finished { task: *task, status: Status::Cancelled });
        self.tell_dependents(*task, Status::Cancelled);
        self.end_map_if_done(id);
        Some(Ok(Accepted::Cancelled))
    }
}
