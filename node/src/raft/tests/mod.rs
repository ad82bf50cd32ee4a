//! Raft over the real log and real sockets, with a state machine small enough to see through.

mod cluster;
mod gate;
mod machine;
mod network;
mod reads;
mod recovery;
mod suite;
mod vigil;
