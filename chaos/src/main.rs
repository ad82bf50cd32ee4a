//! raftwork-chaos.
fn main() {}
