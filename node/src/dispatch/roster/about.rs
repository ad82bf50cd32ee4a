//! What a worker says of itself.

use raftwork_api::stream::Hello;
use raftwork_api::workers::WorkerMode;
use raftwork_kernel::PythonVersion;

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct About {
    pub(super) name: String,
    pub(super) python: PythonVersion,
    pub(super) slots: u16,
    pub(super) capacity: u16,
    pub(super) mode: WorkerMode,
}

impl About {
    pub(super) fn of(hello: &Hello) -> Self {
        Self {
            name: hello.name.clone(),
            python: hello.python,
            slots: hello.slots,
            capacity: hello.capacity,
            mode: hello.mode,
        }
    }

    pub(super) const fn unknown() -> Self {
        let python = PythonVersion { major: 0, minor: 0 };
        Self { name: String::new(), python, slots: 0, capacity: 0, mode: WorkerMode::Pull }
    }
}
