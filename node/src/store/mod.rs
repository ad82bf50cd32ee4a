//! What a node keeps on disk: whose folder it is, and the log.

pub mod durable;
pub mod folder;
pub mod generation;
pub mod identity;
pub mod log;
pub mod rows;

pub use log::fatal_io;
