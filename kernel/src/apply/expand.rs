//! Maps: turns items into tasks as room becomes free, and counts how they end.

use std::sync::Arc;

use bytes::Bytes;

use super::transition::Transition;
use crate::command::Submit;
use crate::event::Event;
use crate::function::FunctionSpec;
use crate::ids::{MapId, TaskId};
use crate::limits::{EXPANDED_AT_ONCE_MAX, EXPANDED_BYTES_MAX, EXPANDED_PER_ENTRY_MAX};
use crate::map::{MapFinished, MapRow};
use crate::maps::LiveMap;
use crate::record::{Outcome, Status};
use crate::rows::Rows;
use crate::task::TaskOptions;
use crate::time::Millis;

/// What one entry has spent on turning items into tasks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Expanded {
    tasks: usize,
    bytes: usize,
}

impl<R: Rows> Transition<'_, R> {
    /// Gives items their turn: of the map with the fewest live tasks first, up to what one entry may do.
    pub(super) fn expand(&mut self) {
        while self.expanded.tasks < EXPANDED_PER_ENTRY_MAX
            && self.expanded.bytes < EXPANDED_BYTES_MAX
            && let Some((map, room)) = self.state.maps.hungriest()
        {
            let left = EXPANDED_PER_ENTRY_MAX - self.expanded.tasks;
            self.expand_one(map, room.min(left).min(EXPANDED_AT_ONCE_MAX));
        }
    }

    /// Gives the next items of a map their turn, of one piece at most.
    fn expand_one(&mut self, id: MapId, most: usize) {
        let LiveMap { row, standing, .. } = self.state.maps.get(&id).expect("a hungry map lives");
        let (row, first) = (Arc::clone(row), standing.next);
        let (place, offset) = row.piece_of(first).expect("a hungry map has an item that had no turn");
        let piece = self.piece(&id, place).expect("a piece is kept until all its items had their turn");
        let function = self.function(&row.function).expect("a function is never dropped");
        let left = (row.pieces[place as usize] - offset) as usize;
        let mut taken = 0;
        for args in piece.from(offset as usize).take(most) {
            self.expanded.bytes += args.len();
            self.give_turn(id, &row, &function.spec, args);
            taken += 1;
            // It has ended if this item ended at once, and all that come after it were cancelled before.
            if self.expanded.bytes >= EXPANDED_BYTES_MAX || self.state.maps.get(&id).is_none() {
                break;
            }
        }
        self.expanded.tasks += taken;
        if taken == left {
            self.delete_pieces(id, place, place + 1);
        }
        self.end_map_if_done(id);
    }

    /// The next item of the map becomes a task, unless there is one under its id, or it was cancelled before.
    fn give_turn(&mut self, map: MapId, row: &MapRow, function: &FunctionSpec, args: Bytes) {
        let LiveMap { standing, .. } = self.state.maps.get(&map).expect("its items have their turns");
        let (index, cancelled) = (standing.next, standing.ahead.contains(&standing.next));
        let task = map.item(index);
        let before = self.record(&task).map(|record| record.outcome.status());
        let lives = self.state.live.find(&task).is_some();
        self.touch_map(map);
        self.state.maps.update(&map, |map| {
            map.standing.next += 1;
            map.standing.ahead.remove(&index);
            // One that was cancelled was counted then.
            match before {
                Some(status) if !cancelled => map.standing.ended.count(status),
                None if !cancelled => map.tasks.extend([index]),
                Some(_) | None => {}
            }
        });
        if before.is_some() || lives {
            return;
        }
        let options = TaskOptions { delay: Millis(0), ..row.options.clone() };
        let submit = Submit { function: row.function, options, items: Vec::new() };
        self.accept(task, &submit, &row.rules, function, (row.accepted(), args));
        let slot = self.state.live.find(&task).expect("it was just accepted");
        if cancelled {
            self.end(slot, Outcome::Cancelled);
        } else {
            // Its deadline counts from the acceptance of the map, and may have passed meanwhile.
            self.end_if_late(slot);
        }
    }

    /// A task has ended: if it was an item that had its turn, it counts.
    pub(super) fn count_item(&mut self, task: &TaskId, status: Status) {
        if self.state.maps.is_empty() {
            return;
        }
        let Some((id, index)) = task.as_item() else { return };
        if !self.state.maps.get(&id).is_some_and(|map| map.tasks.contains(&index)) {
            return;
        }
        self.state.maps.update(&id, |map| {
            map.tasks.remove(&index);
            map.standing.ended.count(status);
        });
        self.touch_map(id);
        self.end_map_if_done(id);
    }

    /// Lets a map live no more once all its items have ended.
    pub(super) fn end_map_if_done(&mut self, id: MapId) {
        let done = |map: &LiveMap| map.standing.ended.total() == map.items;
        if !self.state.maps.get(&id).is_some_and(done) {
            return;
        }
        let mut map = self.state.maps.remove(&id).expect("it was just there");
        // Items that were cancelled before their turn will have none.
        if let Some((place, _)) = map.row.piece_of(map.standing.next) {
            self.delete_pieces(id, place, u32::try_from(map.row.pieces.len()).expect("bounded"));
        }
        let expires = self.now().after(map.row.retention);
        map.standing.finished = Some(MapFinished { wall: self.state.scalars.wall_time, expires });
        self.put_ended_map(id, map);
        self.push_event(Event::MapFinished { map: id });
    }
}
