//! Lists of rows, a page at a time, newest first.

use raftwork_kernel::{Function, FunctionId, LogTime, Seq, TaskId};

use super::columns::Column;
use super::{RowStore, keys};
use crate::store::disk::RawRow;
use crate::store::fatal_io;

impl RowStore {
    /// Tasks in the order of acceptance, newest first, from below `before`.
    pub fn tasks_before(&self, before: Option<Seq>) -> impl Iterator<Item = (Seq, TaskId)> + '_ {
        let last = before.map_or([u8::MAX; 8], |before| keys::seq(Seq(before.0.saturating_sub(1))));
        self.scan_back(Column::BySeq, last)
            .map(|(key, value)| {
                let seq = key.as_ref().try_into().expect("every key of this column is a seq");
                let id = value.as_ref().try_into().expect("every value of this column is a task id");
                (Seq(u64::from_be_bytes(seq)), TaskId::from_bytes(id))
            })
            .filter(move |(seq, _)| before.is_none_or(|before| *seq < before))
    }

    /// Functions, newest id first, from below `before`. Ids that raftwork makes rise with time.
    pub fn functions_before(
        &self,
        before: Option<FunctionId>,
    ) -> impl Iterator<Item = (FunctionId, Function)> + '_ {
        let last = before.map_or([u8::MAX; 16], |before| *before.as_bytes());
        self.scan_back(Column::Functions, last)
            .map(|(key, value)| {
                let id = key.as_ref().try_into().expect("every key of this column is a function id");
                (FunctionId::from_bytes(id), self.decoded("function", &value))
            })
            .filter(move |(id, _)| before.is_none_or(|before| *id < before))
    }

    /// Finished tasks that may be forgotten by `now`, the longest due first; scanning begins at `from`.
    pub fn expired(&self, from: LogTime, now: LogTime, limit: usize) -> Vec<(LogTime, TaskId)> {
        let start = keys::expiry(from, TaskId::from_u128(0));
        self.db
            .ascend(Column::ByExpiry.name(), &start, None)
            .map(|item| item.unwrap_or_else(|error| fatal_io("scan rows", &error)))
            .map_while(|(key, _)| keys::parse_expiry(&key).filter(|(expires, _)| *expires <= now))
            .take(limit)
            .collect()
    }

    pub(super) fn scan_back<const N: usize>(
        &self,
        column: Column,
        last: [u8; N],
    ) -> impl Iterator<Item = RawRow> + use<'_, N> {
        self.db
            .descend(column.name(), &last)
            .map(|item| item.unwrap_or_else(|error| fatal_io("scan rows", &error)))
    }
}
