//! Checkers: each invariant in a file of its own, pure over what was observed.

pub mod digests;
