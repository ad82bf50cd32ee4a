//! Raft over the real log and real sockets, with a state machine small enough to see through.

mod cluster;
mod machine;
mod recovery;
mod suite;
