//! The work that the benchmarks of the kernel measure: entries as a busy cluster makes them, on a queue of any length.

pub(crate) mod operations;
pub(crate) mod queue;
mod rows;
