//! The node daemon `raftworkd` as a library.

mod audit;
pub mod config;
pub mod dispatch;
pub mod failpoint;
pub mod group;
pub mod http;
mod join;
mod node;
mod parts;
pub mod raft;
pub mod replica;
mod schedule;
pub mod store;
pub mod telemetry;

pub use node::{Node, StartError};
pub use parts::Embedded;
