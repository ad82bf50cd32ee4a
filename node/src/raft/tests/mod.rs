//! Raft over the real log and real sockets, with a state machine small enough to see through.

mod cluster;
mod machine;
mod network;
mod recovery;
mod suite;
mod vigil;
