//! Raft, and everything that knows openraft.
//!
//! [`handle::RaftHandle`] is what the rest of the node uses; [`types`] names what openraft's generic types become;
//! [`network`] and [`server`] are the two ends of a connection between peers, `wire` is what goes over it, `acks` which of
//! it was answered, and [`transfer`] how snapshots get there; [`own`] says who a node is and [`admission`] how it comes
//! into a cluster; `vigil` notices that a leader is gone, `brevity` that the log grows long; [`log_store`] adapts the
//! durable log; [`image`] is how Raft's types look in bytes.

mod acks;
pub mod admission;
mod blocking;
mod brevity;
pub mod dial;
pub mod handle;
pub mod hello;
pub mod image;
pub mod leadership;
mod link;
pub mod log_store;
mod members;
pub mod membership;
pub mod network;
pub mod own;
pub mod server;
pub mod settings;
pub mod snapshot;
pub mod state_machine;
#[cfg(test)]
mod tests;
pub mod transfer;
pub mod types;
mod vigil;
mod wire;

pub use handle::RaftHandle;
pub use leadership::{LeadershipWatch, RaftLeadership};
pub use settings::RaftSettings;
