//! `forget`: drops finished tasks whose retention is over.

use super::transition::Transition;
use crate::command::Forget;
use crate::ids::{MapId, TaskId};
use crate::reply::Accepted;
use crate::rows::Rows;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn forget(&mut self, command: &Forget) -> Accepted {
        let mut forgotten = 0;
        for id in &command.tasks {
            forgotten += u32::from(self.forget_one(*id));
        }
        Accepted::Forgotten(forgotten)
    }

    fn forget_one(&mut self, id: TaskId) -> bool {
        let Some(record) = self.record(&id) else { return self.forget_map(MapId::of(id.as_uuid()), id) };
        // What a live task runs after is kept as long: it is asked again.
        if record.expires > self.now() || self.state.live.dependencies.is_needed(&id) {
            return false;
        }
        let row = self.task_row(&id).expect("a finished task keeps its row as long as its record");
        self.forget_rows(id, row, record);
        true
    }

    /// Maps are named as tasks are: the two kinds of id have nothing in common but their index of what is due.
    fn forget_map(&mut self, map: MapId, named: TaskId) -> bool {
        if map.as_uuid() != named.as_uuid() {
            return false;
        }
        let finished = self.map_of(&map).and_then(|(_, standing)| standing.finished);
        let Some(finished) = finished.filter(|finished| finished.expires <= self.now()) else {
            return false;
        };
        self.forget_map_rows(map, finished.expires);
        true
    }
}
