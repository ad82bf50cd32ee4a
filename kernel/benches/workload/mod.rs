//! The work that the benchmarks of the kernel measure: entries as a busy cluster makes them, on a queue of any length.

mod operations;
mod queue;

pub(crate) use operations::{OPERATIONS, Operation};
pub(crate) use queue::Queue;
