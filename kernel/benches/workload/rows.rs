//! The rows of a shell that has registered one function and finished nothing: what they cost is not the kernel's.

use bytes::Bytes;
use raftwork_kernel::{
    Function, FunctionId, Limit, LimitName, MapId, MapRow, MapStanding, PayloadId, Piece, Record, Rows,
    Rules, Schedule, TaskId, TaskRow, Upload,
};

pub(crate) struct OneFunction(pub(crate) Function);

impl Rows for OneFunction {
    fn function(&self, _: &FunctionId) -> Option<Function> {
        Some(self.0.clone())
    }

    fn task(&self, _: &TaskId) -> Option<TaskRow> {
        None
    }

    fn record(&self, _: &TaskId) -> Option<Record> {
        None
    }

    fn rules(&self, _: &TaskId) -> Option<Rules> {
        None
    }

    fn limits(&self) -> Vec<(LimitName, Limit)> {
        Vec::new()
    }

    fn schedules(&self) -> Vec<(String, Schedule)> {
        Vec::new()
    }

    fn map(&self, _: &MapId) -> Option<(MapRow, MapStanding)> {
        None
    }

    fn live_maps(&self) -> Vec<(MapId, MapRow, MapStanding)> {
        Vec::new()
    }

    fn uploads(&self) -> Vec<(MapId, Upload)> {
        Vec::new()
    }

    fn piece(&self, _: &MapId, _: u32) -> Option<Piece> {
        None
    }

    fn payload_uploads(&self) -> Vec<(PayloadId, Upload)> {
        Vec::new()
    }

    fn part(&self, _: &PayloadId, _: u32) -> Option<Bytes> {
        None
    }
}
