//! The rows of a shell that has registered one function and finished nothing: what they cost is not the kernel's.

use raftwork_kernel::{Function, FunctionId, Record, Rows, Rules, TaskId, TaskRow};

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
}
