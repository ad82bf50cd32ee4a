//! The HTTP and stream contract of Raftwork, once, for everybody who speaks it.

pub mod frame;
