//! The HTTP side against real nodes: real Raft, real disks, real sockets.
#![expect(unreachable_pub, clippy::unwrap_used, reason = "tests")]

mod after;
mod bad_input;
mod course;
mod daemon;
mod documents;
mod explain;
mod leases;
mod limits;
mod maps;
mod parts;
mod schedules;
mod several_nodes;
mod stream;
mod support;
mod tasks;
