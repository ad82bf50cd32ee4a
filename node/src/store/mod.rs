//! What a node keeps on disk: whose folder it is, the log and the rows, and the disk that they are on.

pub mod disk;
pub mod durable;
pub mod folder;
pub mod generation;
pub mod identity;
pub mod log;
pub mod rows;

pub use log::fatal_io;
