//! raftworkd.
fn main() {}
